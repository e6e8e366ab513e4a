//! Bugs that strike only an adjustment whose reason code is the bug's name, if `LOYALNEST_PLANTED_BUG` names it too.
//! So one outage shows what must hold of everybody else, and beside it that a bug of that outage is seen.
use std::time::Duration;

use domain::{Command, points_account};
use event_log::AdmittedRecord;
use event_schemas::{CommandKey, EntryId};
use tokio::time::sleep;
use uuid::Uuid;

use crate::commands::{Commander, Envelope};

#[cfg(feature = "planted-bugs")]
use super::dishonest::is as is_planted;

/// Whether a bug is planted: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
const fn is_planted(_: &str) -> bool {
    false
}

/// Between two tries of who takes no for an answer.
const INSISTS_EVERY: Duration = Duration::from_millis(100);

/// Who forgets what the log asks for.
#[derive(Clone, Copy)]
pub(crate) enum Bug {
    /// An owner answers when the record is handed to the log, not when it is admitted.
    AnsweredOnSending,
    /// Whoever is not told what became of a command asks for it as another one, without a look at the first.
    AskedAnew,
    /// Who stands by or takes over leaves the record out.
    LeftUnfolded,
}

impl Bug {
    const fn name(self) -> &'static str {
        match self {
            Self::AnsweredOnSending => "answered-on-sending",
            Self::AskedAnew => "asked-anew",
            Self::LeftUnfolded => "left-unfolded",
        }
    }

    /// Whether it strikes this command.
    pub(crate) fn strikes(self, command: &Command) -> bool {
        let Command::PointsAccount(points_account::Command::AdjustPoints(adjust)) = command else {
            return false;
        };
        is_planted(self.name()) && adjust.reason.as_str() == self.name()
    }

    /// Whether it strikes this command's record.
    pub(crate) fn strikes_record(self, record: &AdmittedRecord) -> bool {
        let name = self.name().as_bytes();
        is_planted(self.name()) && record.body.windows(name.len()).any(|text| text == name)
    }
}

/// The same command once more, with ids of its own: for an adjustment, the entry's.
pub(crate) fn another(envelope: &Envelope) -> Envelope {
    let mut envelope = Envelope { key: CommandKey(Uuid::now_v7()), ..envelope.clone() };
    if let Command::PointsAccount(points_account::Command::AdjustPoints(adjust)) = &mut envelope.command {
        adjust.entry = EntryId(Uuid::now_v7());
    }
    envelope
}

/// Asks until there is an answer, also when nobody waits for it any more.
pub(crate) async fn insist(commander: Commander, envelope: Envelope) {
    let insisting = async move {
        while commander.ask_once(envelope.clone(), |_| ()).await.is_err() {
            sleep(INSISTS_EVERY).await;
        }
    };
    drop(tokio::spawn(insisting).await);
}
