//! How many tests passed, failed and were skipped, as their programs say.
use std::ops::AddAssign;

use anyhow::ensure;

#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    ignored: u64,
}

impl Counts {
    /// Adds a line like `test result: ok. 3 passed; 0 failed; 0 ignored; …`, if it is one.
    pub(crate) fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let before = rest.split(word).next().unwrap_or_default().trim_end();
            before.rsplit([' ', ';']).next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.ignored += number("ignored");
    }

    /// The line that a reader trusts, and the verdict.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed);
        ensure!(self.ignored == 0, "{} tests were skipped: the project has no skipped tests", self.ignored);
        ensure!(self.passed > 0, "no test ran");
        ensure!(self.failed == 0, "{} tests failed", self.failed);
        Ok(())
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_targets_are_added_up() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.08s",
        );
        counts.add(
            "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1s",
        );
        counts.add("test something ... ok");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (15, 2, 1));
    }
}
