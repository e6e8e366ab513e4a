//! Business keys that were honoured, for ever, each with what its first answer needs.
use event_schemas::{
    Code, Digest, EntryId, Points,
    points_account::{Balances, PosEntry, Source},
};
use serde::{Deserialize, Serialize};

/// What is honoured once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Key {
    Api(Digest),
    Action(Code, Digest),
    Pos(PosEntry),
    Adjustment(EntryId),
}

impl Key {
    /// The key of an award; an order's is its version.
    pub(super) fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Order { .. } => None,
            Source::Api { id } => Some(Self::Api(*id)),
            Source::Action { action, id, .. } => Some(Self::Action(action.clone(), *id)),
            Source::Pos(entry) => Some(Self::Pos(*entry)),
        }
    }
}

impl Key {
    /// The award's source, if it is one. A key holds for ever; in which period its action counted is told apart from it.
    pub(super) fn source(&self) -> Option<Source> {
        match self {
            Self::Api(id) => Some(Source::Api { id: *id }),
            Self::Action(action, id) => {
                Some(Source::Action { action: action.clone(), id: *id, period: Code::fixed("lifetime") })
            }
            Self::Pos(entry) => Some(Source::Pos(*entry)),
            Self::Adjustment(_) => None,
        }
    }
}

/// One movement under a business key, as it is answered at the first and at every later asking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry.
    pub entry: EntryId,
    /// What it changed, signed.
    pub points: Points,
    /// The account after it.
    #[serde(with = "super::packed::balances")]
    pub after: Balances,
    /// Keyed digest of the command's content.
    pub content: Option<Digest>,
}
