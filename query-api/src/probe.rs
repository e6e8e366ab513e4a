//! How health is asked of parts that this crate does not see.

/// One part of the process, such as a store or a queue.
pub trait Probe: Send + Sync {
    /// Its name, such as `log`.
    fn name(&self) -> &'static str;

    /// Whether it works; asked at every health request, so it must be cheap.
    ///
    /// # Errors
    /// Why it does not, in words that may be shown to anybody.
    fn check(&self) -> Result<(), String>;

    /// What is wrong with a part of it while the rest serves, in words that may be shown to anybody; as cheap.
    fn trouble(&self) -> Option<String> {
        None
    }
}
