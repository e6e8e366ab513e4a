//! Bugs that the laws must catch, one line each. Without the feature `planted-bugs` nobody can plant one.

macro_rules! bugs {
    ($( #[doc = $doc:literal] $name:ident; )*) => {
        /// A mistake that one of the rules could make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug { $( #[doc = $doc] $name, )* }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];
        }
    };
}

bugs! {
    /// A clawback leaves the points that it takes available.
    ClawbackLeavesPoints;
    /// Points that became debt are not counted as clawed back.
    DebtNotClawedBack;
    /// An older assessment of an order is applied after a newer one.
    OlderVersionApplies;
    /// An assessment that moves nothing is forgotten, so an older one that comes later moves points.
    NewerVersionForgotten;
    /// Points that are released stay pending.
    ReleaseLeavesPending;
    /// Points that are voided do not count as taken back.
    VoidForgotten;
    /// Points come in without repaying debt.
    CreditIgnoresDebt;
    /// Points do not come back to a lot that has no others.
    EmptyLotIsLost;
    /// Lots end a day early.
    ExpiryADayEarly;
    /// Lots are spent as they were earned, whatever their dates.
    LotsSpentAsEarned;
    /// A redemption takes points whose date is over.
    DateNotAsked;
    /// A reservation that was released is spent.
    CommitAfterRelease;
    /// Points of a cancelled redemption come back again.
    ReinstatedTwice;
    /// A transfer arrives again.
    TransferArrivesTwice;
    /// A business key is forgotten at once.
    KeyForgotten;
    /// A frozen account redeems.
    FrozenAccountGoesOn;
    /// An account takes commands after its end.
    MergedAccountGoesOn;
    /// An erased account takes what is asked of it.
    ErasedAccountGoesOn;
    /// Points of an erased account are neither released nor do they end.
    ErasedPointsStay;
    /// A merge leaves debt beside points.
    MergeLeavesDebt;
    /// A merge drops what was owed.
    MergeDropsDebt;
    /// A merge forgets what was taken back of orders.
    MergeForgetsClawbacks;
    /// A merge leaves business keys behind.
    MergeForgetsKeys;
    /// A merge leaves reserved points behind.
    MergeForgetsReservations;
    /// Nobody is told that points are to be released.
    ReleaseNotDue;
    /// A kept account forgets which warnings it gave.
    SnapshotForgetsWarnings;
    /// An older state of an order replaces a newer one.
    OlderStateApplies;
    /// A refund that only an older state of its order tells of is dropped.
    RefundOfOlderStateDropped;
    /// Of two states of the same time the earlier stage counts.
    EarlierStageWins;
    /// A verdict that is in force is given again.
    VerdictRepeated;
    /// Each refund is rounded by itself.
    RefundsRoundedApart;
    /// Refunds of more than an order earned take more.
    RefundsGoBelowZero;
    /// What one refund holds back of its lines is not what another pays beyond its own.
    MoneyBeyondLinesApart;
    /// A code is given back with every state of an order that came to nothing.
    CodeReturnedTwice;
    /// An order gives its code back as soon as a part of it is refunded.
    PartRefundReturnsCode;
    /// A redemption that failed keeps its points.
    FailureReleasesNothing;
    /// A second code is recorded.
    SecondCode;
}

/// Whether the bug is planted: never, in an honest build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use dishonest::{planted, with};

#[cfg(feature = "planted-bugs")]
pub(crate) use dishonest::is;

#[cfg(feature = "planted-bugs")]
mod dishonest {
    use std::cell::Cell;

    use super::Bug;

    #[cfg(not(debug_assertions))]
    compile_error!("planted-bugs must never be part of a release build");

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// The bug on this thread.
    #[must_use]
    pub fn planted() -> Option<Bug> {
        PLANTED.get()
    }

    pub(crate) fn is(bug: Bug) -> bool {
        planted() == Some(bug)
    }

    /// Runs it with the bug on this thread, which is honest again afterwards, also after a panic.
    pub fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
        struct Weeded;
        impl Drop for Weeded {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        let _weeded = Weeded;
        PLANTED.set(Some(bug));
        run()
    }
}
