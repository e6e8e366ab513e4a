//! How far a long job has come: a bar on a terminal, plain lines elsewhere, nothing when a program reads the answer.
use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How far a job has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// What it is doing.
    pub step: String,
    /// About how many records this step reads.
    pub about: u64,
    /// How many of them it has read.
    pub records: u64,
}

/// Shows on standard error how many records were read, or tells another task.
pub struct Progress {
    reached: Reached,
    shown: Shown,
}

enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
    Told(watch::Sender<Reached>),
}

impl Progress {
    fn new(shown: Shown) -> Self {
        Self { reached: Reached::default(), shown }
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(Shown::Nothing)
    }

    /// A bar if standard error is a terminal, else a line when a step begins and one when it ends.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self::new(if stderr().is_terminal() { Shown::Bar(ProgressBar::hidden()) } else { Shown::Lines })
    }

    /// Tells whoever watches.
    #[must_use]
    pub fn told(watched: watch::Sender<Reached>) -> Self {
        Self::new(Shown::Told(watched))
    }

    /// Begins a step over about this many records.
    pub fn begin(&mut self, step: &str, about: u64) {
        self.reached = Reached { step: step.to_owned(), about, records: 0 };
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines => eprintln!("{step}: about {about} records"),
            Shown::Bar(bar) => {
                *bar = ProgressBar::new(about);
                let template = "{prefix} {wide_bar} {pos}/{len} records, {per_sec}, {eta} left";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix(step.to_owned());
            }
            Shown::Told(watched) => drop(watched.send_replace(self.reached.clone())),
        }
    }

    /// So many more records are done.
    pub fn advance(&mut self, more: u64) {
        self.reached.records = self.reached.records.saturating_add(more);
        match &self.shown {
            Shown::Nothing | Shown::Lines => {}
            Shown::Bar(bar) => bar.inc(more),
            Shown::Told(watched) => drop(watched.send_replace(self.reached.clone())),
        }
    }

    /// Ends the step.
    pub fn end(&mut self) {
        let Reached { step, records, .. } = std::mem::take(&mut self.reached);
        match &self.shown {
            Shown::Nothing | Shown::Told(_) => {}
            Shown::Lines => eprintln!("{step}: {records} records read"),
            Shown::Bar(bar) => bar.finish_and_clear(),
        }
    }

    /// Shows how far a job has come that another process does; nothing once it has ended.
    pub fn follow(&mut self, other: Option<&Reached>) {
        let step = other.map_or("", |other| other.step.as_str());
        if step != self.reached.step {
            if !self.reached.step.is_empty() {
                self.end();
            }
            if let Some(other) = other {
                self.begin(step, other.about);
            }
        }
        if let Some(other) = other {
            self.advance(other.records.saturating_sub(self.reached.records));
        }
    }
}
