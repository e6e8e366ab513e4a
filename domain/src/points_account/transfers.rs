//! How far each transfer came, as this side of it knows.
use event_schemas::{CustomerId, Points};
use serde::{Deserialize, Serialize};

use super::lots::Held;

/// How far a transfer came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Transfer {
    /// It left and neither arrived nor came back.
    InTransit(Transit),
    /// It left an account that was merged into this one, and had arrived here before that.
    Arrived(Transit),
    /// It left and arrived.
    Completed,
    /// It left and came back.
    Returned,
    /// It arrived here.
    Received,
}

/// Points on their way to another customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Transit {
    pub(super) to: CustomerId,
    pub(super) points: Points,
    pub(super) held: Vec<Held>,
}

/// How far a transfer came, for those who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStanding {
    /// It neither arrived nor came back.
    InTransit,
    /// It arrived.
    Completed,
    /// It came back.
    Returned,
}

impl TransferStanding {
    /// The standing in a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InTransit => "pending",
            Self::Completed => "completed",
            Self::Returned => "returned",
        }
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        !matches!(self, Self::InTransit)
    }
}

impl Transfer {
    pub(super) const fn standing(&self) -> Option<TransferStanding> {
        match self {
            Self::InTransit(_) | Self::Arrived(_) => Some(TransferStanding::InTransit),
            Self::Completed => Some(TransferStanding::Completed),
            Self::Returned => Some(TransferStanding::Returned),
            Self::Received => None,
        }
    }

    /// Whether it may be what was asked for: once it ended, nobody knows its content any more.
    pub(super) fn sent_as(&self, to: CustomerId, points: Points) -> bool {
        match self {
            Self::InTransit(transit) | Self::Arrived(transit) => transit.to == to && transit.points == points,
            Self::Completed | Self::Returned => true,
            Self::Received => false,
        }
    }
}
