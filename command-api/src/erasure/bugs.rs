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
}
