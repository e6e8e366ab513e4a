//! What was checked and what was found, for people and for programs.
use std::fmt;

use event_log::{Log, Position};
use serde::Serialize;

/// One thing that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The chain of each partition.
    Chain,
    /// The chain of each merchant.
    MerchantChain,
    /// What the records say.
    Body,
    /// The versions of each stream.
    StreamVersion,
    /// The times of the records.
    Time,
    /// The ledger of each account.
    Ledger,
    /// The lots of each account.
    Lots,
    /// What passes between accounts.
    Between,
    /// The erasures and their certificates.
    Erasure,
    /// What the read models remember of the log.
    Checkpoint,
    /// The key store's count.
    KeyCount,
    /// The rows of the read models.
    ReadModel,
}

impl Check {
    /// All checks, in the order in which they are told, one line each.
    pub const ALL: &[(Self, &'static str, &'static str)] = &[
        (
            Self::Chain,
            "chain",
            "every record extends its partition's chain, terms rise, the store ends where its records do",
        ),
        (Self::MerchantChain, "merchant-chain", "every merchant's records are all there, in their order"),
        (Self::Body, "body", "every record can be read and is what its kind says"),
        (Self::StreamVersion, "stream-version", "every stream's versions are gapless, in one partition"),
        (Self::Time, "time", "recorded times never go back and nothing happened after it was recorded"),
        (
            Self::Ledger,
            "ledger",
            "every event's postings sum to zero and all of them to its balances, nothing counts twice",
        ),
        (
            Self::Lots,
            "lots",
            "every point is in a lot, no part of a lot is lost, nothing ends before its date",
        ),
        (Self::Between, "between", "transfers and merged accounts arrive as they left, once"),
        (
            Self::Erasure,
            "erasure",
            "erasures go step by step, and each certificate is genuine and states what the log does",
        ),
        (Self::Checkpoint, "checkpoint", "what the read models remember of the log is in it"),
        (Self::KeyCount, "key-count", "the key store has counted at least as far as the records saw"),
        (Self::ReadModel, "read-model", "the read models are what the log gives when folded afresh"),
    ];

    /// Those that reading the log once answers.
    pub(super) const HISTORY: &[Self] = &[
        Self::Chain,
        Self::MerchantChain,
        Self::Body,
        Self::StreamVersion,
        Self::Time,
        Self::Ledger,
        Self::Lots,
        Self::Between,
        Self::Erasure,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(check, ..)| *check == self).map_or("", |(_, name, _)| name)
    }
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// Nothing is wrong.
    Passed,
    /// The fault is of this check.
    Failed,
    /// A fault was found before this check was through.
    Unfinished,
    /// There is nothing to check.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Something kept it from looking.
    Unable {
        /// What.
        reason: String,
    },
}

/// A check with its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The check.
    pub check: Check,
    /// What holds if it passes.
    pub says: &'static str,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The first fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The check that found it.
    pub check: Check,
    /// The partition, if it is a record's.
    pub partition: Option<u16>,
    /// The record at which it shows: the damaged one or the first that does not fit it any more.
    #[serde(serialize_with = "number")]
    pub position: Option<Position>,
    /// What is wrong.
    pub reason: String,
}

fn number<S: serde::Serializer>(position: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    position.map(Position::get).serialize(serializer)
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Records of all kinds.
    pub records: u64,
    /// Events in them.
    pub events: u64,
    /// Refused commands, and commands that changed nothing.
    pub outcomes: u64,
    /// Streams.
    pub streams: u64,
    /// Accounts among them.
    pub accounts: u64,
    /// Shops.
    pub merchants: u64,
    /// Records that are no history, because they came too late: of an owner that had lost its partition, or repeated.
    pub stale: u64,
    /// The same of those behind a gap.
    pub orphans: u64,
    /// What is no record at all.
    pub undecodable: u64,
}

/// The whole answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is wrong with what there is.
    Sound,
    /// A fault was found.
    Faulty,
    /// No fault was found, but something could not be looked at.
    Unchecked,
}

/// What `verify` says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The log's id in hex.
    pub log_id: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// How much was read.
    pub counted: Counted,
    /// Every check.
    pub checks: Vec<Checked>,
    /// Remarks that are no faults.
    pub notes: Vec<String>,
    /// The first fault, if there is one.
    pub fault: Option<Fault>,
}

impl Report {
    /// Nothing is checked yet; without a log, nothing will be.
    pub(super) fn new(log: Option<&Log>) -> Self {
        let checks = Check::ALL.iter().map(|(check, _, says)| Checked {
            check: *check,
            says,
            outcome: Outcome::Unfinished,
        });
        Self {
            log_id: log.map_or_else(|| "unknown".to_owned(), |log| log.id().to_string()),
            partitions: log.map_or(0, Log::partitions),
            counted: Counted::default(),
            checks: checks.collect(),
            notes: Vec::new(),
            fault: None,
        }
    }

    /// The whole answer in one word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let unable = self.checks.iter().any(|checked| matches!(checked.outcome, Outcome::Unable { .. }));
        match &self.fault {
            Some(_) => Verdict::Faulty,
            None if unable => Verdict::Unchecked,
            None => Verdict::Sound,
        }
    }

    pub(super) fn set(&mut self, check: Check, outcome: Outcome) {
        if let Some(checked) = self.checks.iter_mut().find(|checked| checked.check == check) {
            checked.outcome = outcome;
        }
    }

    /// Notes a fault, unless there is one already.
    pub(super) fn found(&mut self, fault: Fault) {
        if self.fault.is_none() {
            self.set(fault.check, Outcome::Failed);
            self.fault = Some(fault);
        }
    }

    /// The log was read to its end without a fault.
    pub(super) fn history_passed(&mut self, remembered: bool) {
        for check in Check::HISTORY {
            self.set(*check, Outcome::Passed);
        }
        if remembered {
            self.set(Check::Checkpoint, Outcome::Passed);
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FAULT")?;
        if let Some(partition) = self.partition {
            write!(f, " in partition {partition}")?;
        }
        if let Some(position) = self.position {
            write!(f, " at position {position}")?;
        }
        write!(f, " ({}): {}", self.check.name(), self.reason)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { records, events, outcomes, streams, accounts, merchants, stale, orphans, undecodable } =
            self.counted;
        writeln!(f, "log {} of {} partitions", self.log_id, self.partitions)?;
        writeln!(f, "  {records} records, {events} events and {outcomes} answers without events")?;
        writeln!(f, "  {streams} streams of {merchants} shops, {accounts} accounts among them")?;
        if stale + orphans + undecodable > 0 {
            writeln!(
                f,
                "  skipped by every reader: {stale} records too late, {orphans} behind a gap, {undecodable} unreadable"
            )?;
        }
        for Checked { check, says, outcome } in &self.checks {
            let name = check.name();
            match outcome {
                Outcome::Passed => writeln!(f, "  ok          {name:<15} {says}")?,
                Outcome::Failed => writeln!(f, "  FAULT       {name:<15} {says}")?,
                Outcome::Unfinished => writeln!(f, "  unfinished  {name:<15} {says}")?,
                Outcome::Skipped { reason } => writeln!(f, "  skipped     {name:<15} {reason}")?,
                Outcome::Unable { reason } => writeln!(f, "  UNABLE      {name:<15} {reason}")?,
            }
        }
        for note in &self.notes {
            writeln!(f, "  note        {note}")?;
        }
        match (&self.fault, self.verdict()) {
            (Some(fault), _) => writeln!(f, "{fault}"),
            (None, Verdict::Unchecked) => {
                writeln!(f, "No fault was found, but not everything could be checked.")
            }
            (None, _) => writeln!(f, "Sound: nothing is wrong with what was checked."),
        }
    }
}
