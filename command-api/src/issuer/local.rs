//! Our own issuer: the code is a keyed hash of the redemption, and the log is all that remembers it.
use async_trait::async_trait;
use event_schemas::Code;

use super::{CodeIssuer, CodeOrder, NotIssued, Worth};

/// Needs nobody: for development, and for shops without credentials.
#[derive(Clone, Copy, Debug)]
pub struct LocalIssuer;

#[async_trait]
impl CodeIssuer for LocalIssuer {
    fn name(&self) -> Code {
        Code::fixed("local")
    }

    /// There is no shop to tell; the event that follows makes the code good.
    async fn issue(&self, _: &CodeOrder, _: Worth) -> Result<(), NotIssued> {
        Ok(())
    }

    /// Our own codes open nothing by themselves, so a cancelled redemption is all that makes one void.
    async fn void(&self, _: &CodeOrder) -> Result<(), NotIssued> {
        Ok(())
    }

    /// Nobody tells us; whoever honours our codes cancels those only that were not used.
    async fn is_used(&self, _: &CodeOrder) -> Result<bool, NotIssued> {
        Ok(false)
    }
}
