//! Mistakes that tests plant, to see that they are caught. An honest build has none.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// The search ends where the log ended, whatever is still on its way.
    ScansEarly,
    /// Keys are destroyed although some process may still use them.
    DestroysAtOnce,
    /// Somebody who was merged into them meanwhile is left alone.
    TrustsSubjects,
    /// Who was merged into them is looked for before the keys are destroyed, and never again.
    LooksForMergesOnce,
    /// What finds their deliveries is forgotten before the keys are destroyed.
    ForgetsEarly,
    /// A search for a shop panics.
    PanicsAtShops,
    /// A request that is done counts as open where it is due once more.
    TellsOfTheEnded,
}

/// The mistakes of one installation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bugs(#[cfg(test)] pub(super) std::sync::Arc<Vec<Bug>>);

impl Bugs {
    #[cfg(test)]
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.0.contains(&bug)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests plant them")]
    pub(super) const fn has(&self, _: Bug) -> bool {
        false
    }

    /// Panics if there is occasion for the mistake.
    #[cfg(test)]
    pub(super) fn panic_at(&self, bug: Bug, is_met: bool) {
        assert!(!(is_met && self.has(bug)), "planted");
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests plant them")]
    pub(super) const fn panic_at(&self, _: Bug, _: bool) {}
}
