//! How far a long job has come: a bar on a terminal, plain lines elsewhere, nothing when a program reads the answer.
use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows on standard error how many records were read.
pub struct Progress {
    shown: Shown,
}

enum Shown {
    Nothing,
    Lines { step: String, records: u64 },
    Bar(ProgressBar),
}

impl Progress {
    /// Shows nothing.
    #[must_use]
    pub const fn silent() -> Self {
        Self { shown: Shown::Nothing }
    }

    /// A bar if standard error is a terminal, else a line when a step begins and one when it ends.
    #[must_use]
    pub fn on_stderr() -> Self {
        let shown = if stderr().is_terminal() {
            Shown::Bar(ProgressBar::hidden())
        } else {
            Shown::Lines { step: String::new(), records: 0 }
        };
        Self { shown }
    }

    /// Begins a step over about this many records.
    pub fn begin(&mut self, step: &str, about: u64) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { step: current, records } => {
                eprintln!("{step}: about {about} records");
                (*current, *records) = (step.to_owned(), 0);
            }
            Shown::Bar(bar) => {
                *bar = ProgressBar::new(about);
                let template = "{prefix} {wide_bar} {pos}/{len} records, {per_sec}, {eta} left";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix(step.to_owned());
            }
        }
    }

    /// So many more records are done.
    pub fn advance(&mut self, more: u64) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { records, .. } => *records += more,
            Shown::Bar(bar) => bar.inc(more),
        }
    }

    /// Ends the step.
    pub fn end(&mut self) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Lines { step, records } => eprintln!("{step}: {records} records read"),
            Shown::Bar(bar) => bar.finish_and_clear(),
        }
    }
}
