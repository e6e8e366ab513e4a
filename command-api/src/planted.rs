//! The log's writer as owners use it. With the feature `planted-bugs` an environment variable makes it break its word; it
//! names one bug or several, with commas between them.
//!
//! `LOYALNEST_PLANTED_BUG=ack-before-commit`: commands are answered at once and their records written a while later;
//! `ack-long-before-commit`: a second later.
//! `policy-progress-first`: a policy is said to be done with a record before it is. `forwarded-twice`: what is sent to
//! another node is sent once more as another command, with ids of its own. `serves-revoked`: an owner that lost its
//! partition goes on refusing by what it knew. `assigned-everything`: every node is told to own every partition, and
//! `hears-late`: an owner is not told that it lost one; the log's claims must bear both. `clock-ahead`, `clock-behind`:
//! the machine's clock is a day off, which must be refused. `answered-on-sending`, `asked-anew` and `left-unfolded`
//! strike only who is marked (`planted/marked.rs`).
//!
//! `destroy-without-fence`: an erasure raises no fence before it destroys the keys. `erasures-not-resumed`: a start goes on
//! with no erasure that began before it.
//!
//! An erasure may be stopped, or held (`privacy::planted`), at `<place>:before` and `<place>:after` of what a step does
//! (`named`, `fence`, `follow`, `destroy`, `mark`, `purge`, `verify`, `certify`, `certify-final`, `rotate`) and of the
//! record that it ends in (`fenced`, `destroyed`, `purged`, `verified`, `completed`, `finalized`).
pub(crate) mod marked;

use event_schemas::{RequestId, Timestamp, privacy_request::RedactionStep};

#[cfg(not(feature = "planted-bugs"))]
mod honest {
    use event_log::{AppendError, Covering, NewRecord, Pending, Watch};
    use tokio::sync::oneshot;

    /// The answer to come for one record.
    pub(crate) type Hand = Pending;

    /// The log's own writer.
    pub(crate) struct Writer(event_log::Writer);

    impl Writer {
        pub(crate) const fn new(writer: event_log::Writer) -> Self {
            Self(writer)
        }

        pub(crate) fn append(&mut self, record: NewRecord) -> Result<Hand, AppendError> {
            self.0.append(record)
        }

        pub(crate) fn covering_of_sent(&self) -> oneshot::Receiver<Covering> {
            self.0.covering_of_sent()
        }

        /// Tells what is admitted.
        #[expect(clippy::unnecessary_wraps, reason = "the dishonest one has none")]
        pub(crate) fn watch(&self) -> Option<Watch> {
            Some(self.0.watch())
        }

        #[cfg(test)]
        pub(crate) fn covering(&self) -> Option<Covering> {
            Some(self.0.covering())
        }
    }
}

#[cfg(feature = "planted-bugs")]
mod dishonest {
    use std::{future::Future, pin::Pin, time::Duration};

    use event_log::{AppendError, Appended, Covering, NewRecord, Stopped, Watch};
    use futures::FutureExt as _;
    use tokio::{sync::mpsc, sync::oneshot, time::sleep};

    use super::{RequestId, Timestamp};

    #[cfg(not(debug_assertions))]
    compile_error!("planted-bugs must never be part of a release build");

    /// How long records are held back: long enough for a kill to fall into it.
    const HELD_BACK: Duration = Duration::from_millis(100);
    /// The same so long that a node that is killed surely has some.
    const HELD_BACK_LONG: Duration = Duration::from_secs(1);

    /// Whether answers come before commits.
    pub(crate) fn acks_before_commit() -> bool {
        is("ack-before-commit") || acks_long_before()
    }

    fn acks_long_before() -> bool {
        is("ack-long-before-commit")
    }

    /// Whether a policy's progress is saved before its step is done.
    pub(crate) fn saves_progress_first() -> bool {
        is("policy-progress-first")
    }

    /// Whether commands to other nodes are sent twice, the second time under a key of their own.
    pub(crate) fn forwards_twice() -> bool {
        is("forwarded-twice")
    }

    /// Whether an owner answers from its own state without a proof that it is one.
    pub(crate) fn serves_revoked() -> bool {
        is("serves-revoked")
    }

    /// Whether an owner hears of the loss of a partition from its log only.
    pub(crate) fn hears_late() -> bool {
        is("hears-late")
    }

    /// Whether all partitions are proposed to every node.
    pub(crate) fn is_proposed_everything() -> bool {
        is("assigned-everything")
    }

    /// How far the machine's clock is off, in microseconds.
    pub(crate) fn clock_wrong_us() -> i64 {
        const DAY_US: i64 = 86_400_000_000;
        match (is("clock-ahead"), is("clock-behind")) {
            (true, _) => DAY_US,
            (_, true) => -DAY_US,
            _ => 0,
        }
    }

    /// Whether an erasure destroys keys that are not fenced.
    pub(crate) fn destroys_without_fence() -> bool {
        is("destroy-without-fence")
    }

    /// Whether a process leaves an erasure alone that began before it started.
    pub(crate) fn leaves_alone(request: RequestId, started: Timestamp) -> bool {
        let began_us = request.0.get_timestamp().map(|began| {
            let (s, ns) = began.to_unix();
            s.saturating_mul(1_000_000).saturating_add(u64::from(ns / 1_000))
        });
        is("erasures-not-resumed") && began_us.is_some_and(|began| began < started.micros().unsigned_abs())
    }

    /// Ends the process here, or waits, if a test says so.
    pub(crate) async fn erasure_at(place: &str) {
        stop_at(&format!("{place}:before")).await;
    }

    /// The same behind the place.
    pub(crate) async fn erasure_past(place: &str) {
        stop_at(&format!("{place}:after")).await;
    }

    async fn stop_at(place: &str) {
        privacy::planted::abort_at(place);
        privacy::planted::hold_at(place).await;
    }

    pub(super) fn is(bug: &str) -> bool {
        #[cfg(feature = "simulated")]
        if seeded::is_planted(bug) {
            return true;
        }
        std::env::var("LOYALNEST_PLANTED_BUG").is_ok_and(|all| all.split(',').any(|planted| planted == bug))
    }

    /// The answer to come for one record.
    pub(crate) type Hand = Pin<Box<dyn Future<Output = Result<Appended, Stopped>> + Send>>;

    type Held = (NewRecord, oneshot::Sender<Result<Appended, Stopped>>);

    /// The log's writer, or a queue in front of it.
    pub(crate) enum Writer {
        Prompt(event_log::Writer),
        Late(mpsc::UnboundedSender<Held>),
    }

    impl Writer {
        pub(crate) fn new(writer: event_log::Writer) -> Self {
            if !acks_before_commit() {
                return Self::Prompt(writer);
            }
            let (hold, held) = mpsc::unbounded_channel();
            tokio::spawn(write_late(writer, held));
            Self::Late(hold)
        }

        pub(crate) fn append(&mut self, record: NewRecord) -> Result<Hand, AppendError> {
            match self {
                Self::Prompt(writer) => Ok(writer.append(record)?.boxed()),
                Self::Late(hold) => {
                    let (answer, answered) = oneshot::channel();
                    drop(hold.send((record, answer)));
                    Ok(async { answered.await.unwrap_or_else(|_| Err(lost())) }.boxed())
                }
            }
        }

        /// Nothing comes of records that are held back.
        pub(crate) fn covering_of_sent(&self) -> oneshot::Receiver<Covering> {
            match self {
                Self::Prompt(writer) => writer.covering_of_sent(),
                Self::Late(_) => oneshot::channel().1,
            }
        }

        /// Nothing is told of records that are held back.
        pub(crate) fn watch(&self) -> Option<Watch> {
            match self {
                Self::Prompt(writer) => Some(writer.watch()),
                Self::Late(_) => None,
            }
        }

        #[cfg(test)]
        pub(crate) fn covering(&self) -> Option<Covering> {
            match self {
                Self::Prompt(writer) => Some(writer.covering()),
                Self::Late(_) => None,
            }
        }
    }

    fn lost() -> Stopped {
        Stopped::Fenced { partition: 0, number: 0 }
    }

    async fn write_late(mut writer: event_log::Writer, mut held: mpsc::UnboundedReceiver<Held>) {
        let held_back = if acks_long_before() { HELD_BACK_LONG } else { HELD_BACK };
        while let Some(first) = held.recv().await {
            sleep(held_back).await;
            let mut due = vec![first];
            while let Ok(next) = held.try_recv() {
                due.push(next);
            }
            for (record, answer) in due {
                let Ok(pending) = writer.append(record) else { return };
                tokio::spawn(async move { drop(answer.send(pending.await)) });
            }
        }
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use dishonest::{
    Hand, Writer, acks_before_commit, clock_wrong_us, destroys_without_fence, erasure_at, erasure_past,
    forwards_twice, hears_late, is_proposed_everything, leaves_alone, saves_progress_first, serves_revoked,
};
#[cfg(not(feature = "planted-bugs"))]
pub(crate) use honest::{Hand, Writer};

/// Whether answers come before commits: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn acks_before_commit() -> bool {
    false
}

/// Whether a policy's progress is saved before its step is done: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn saves_progress_first() -> bool {
    false
}

/// Whether commands to other nodes are sent twice: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn forwards_twice() -> bool {
    false
}

/// Whether an owner answers without a proof that it is one: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn serves_revoked() -> bool {
    false
}

/// Whether an owner hears of the loss of a partition from its log only: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn hears_late() -> bool {
    false
}

/// Whether all partitions are proposed to every node: never, in an honest build.
#[cfg(all(feature = "postgres", not(feature = "planted-bugs")))]
pub(crate) const fn is_proposed_everything() -> bool {
    false
}

/// How far the machine's clock is off: not at all, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn clock_wrong_us() -> i64 {
    0
}

/// The name of the record that a step of an erasure ends in, for who kills the process around it.
pub(crate) const fn recorded(step: RedactionStep) -> &'static str {
    match step {
        RedactionStep::Fence => "fenced",
        RedactionStep::Destroy => "destroyed",
        RedactionStep::Mark => "marked",
        RedactionStep::Purge => "purged",
        RedactionStep::Verify => "verified",
        RedactionStep::Certify => "completed",
        RedactionStep::Finalize => "finalized",
    }
}

/// Whether an erasure destroys keys that are not fenced: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn destroys_without_fence() -> bool {
    false
}

/// Whether a process leaves an erasure alone that began before it started: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn leaves_alone(_: RequestId, _: Timestamp) -> bool {
    false
}

/// Where a step of an erasure begins: nothing happens, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) async fn erasure_at(_: &str) {}

/// Where a step of an erasure is done: nothing happens, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) async fn erasure_past(_: &str) {}
