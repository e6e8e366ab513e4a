//! Who makes discount codes: a port, and our own issuer for wherever no shop credentials are set.
use async_trait::async_trait;
use event_schemas::{Code, MerchantId, Money, RedemptionId};
use privacy::KeyStore;

/// A code to be made.
#[derive(Clone, Debug)]
pub struct CodeOrder {
    /// The shop.
    pub merchant: MerchantId,
    /// The redemption that it is for.
    pub redemption: RedemptionId,
    /// The code, as [`CodeIssuer::code`] says it.
    pub code: String,
    /// What the code gives.
    pub discount: Money,
}

/// A code was not made or not made void.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// It will never be; the redemption fails for this reason.
    #[error("the code was refused: {0}")]
    Refused(Code),
    /// It may be, later.
    #[error("the issuer cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Makes and voids discount codes. Each call may be repeated and then does nothing more.
#[async_trait]
pub trait CodeIssuer: Send + Sync {
    /// Who it is, as the event says it.
    fn name(&self) -> Code;
    /// The code of a redemption. It follows from the redemption alone, so a repeated call never makes a second code.
    ///
    /// # Errors
    /// The key store failed.
    fn code(&self, merchant: MerchantId, redemption: RedemptionId) -> Result<String, privacy::Error>;
    /// Makes the code good.
    async fn issue(&self, order: &CodeOrder) -> Result<(), NotIssued>;
    /// Makes the redemption's code void.
    async fn void(&self, merchant: MerchantId, redemption: RedemptionId) -> Result<(), NotIssued>;
}

/// Our own issuer: the code is a keyed hash of the redemption, and the log is all that remembers it.
#[derive(Clone, Debug)]
pub struct LocalIssuer {
    keys: KeyStore,
}

/// Digits and letters that nobody confuses when reading aloud.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// 60 bits: nobody guesses another's code.
const CODE_LEN: usize = 12;

impl LocalIssuer {
    /// The issuer of an installation.
    #[must_use]
    pub const fn new(keys: KeyStore) -> Self {
        Self { keys }
    }
}

#[async_trait]
impl CodeIssuer for LocalIssuer {
    fn name(&self) -> Code {
        Code::fixed("local")
    }

    fn code(&self, merchant: MerchantId, redemption: RedemptionId) -> Result<String, privacy::Error> {
        let hash = self.keys.hash(merchant, "discount-code", &redemption.bytes())?;
        let letters = hash.iter().take(CODE_LEN).map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        Ok("LN-".chars().chain(letters).collect())
    }

    /// There is no shop to tell; the event that follows makes the code good.
    async fn issue(&self, _: &CodeOrder) -> Result<(), NotIssued> {
        Ok(())
    }

    /// Our own codes open nothing by themselves, so a cancelled redemption is all that makes one void.
    async fn void(&self, _: MerchantId, _: RedemptionId) -> Result<(), NotIssued> {
        Ok(())
    }
}
