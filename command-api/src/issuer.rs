//! Who makes discount codes: a port, Shopify for shops with credentials, and our own issuer for all others.
mod local;
pub(crate) mod shopify;

use std::sync::Arc;

use async_trait::async_trait;
use event_schemas::{Code, MerchantId, RedemptionId, ShopDomain, Timestamp, reward::Benefit};
use privacy::KeyStore;

pub use local::LocalIssuer;
pub use shopify::{Credentials, NotConfigured, Shopify};

use crate::shops::Shops;

/// A code of one redemption: what is to be made, or made void.
#[derive(Clone, Debug)]
pub struct CodeOrder {
    /// The shop's domain.
    pub shop: ShopDomain,
    /// The redemption that it is for.
    pub redemption: RedemptionId,
    /// The code, as [`Issuers::code`] says it.
    pub code: String,
}

/// What a code is worth.
#[derive(Clone, Copy, Debug)]
pub struct Worth {
    /// What the code gives.
    pub benefit: Benefit,
    /// From when on it is good.
    pub from: Timestamp,
}

/// A code was not made or not made void.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// It will never be; the redemption fails for this reason.
    #[error("the code was refused: {0}")]
    Refused(Code),
    /// It may be, later. Whether it was made is not known.
    #[error("the issuer cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Makes and voids discount codes. Each call may be repeated and then does nothing more.
#[async_trait]
pub trait CodeIssuer: Send + Sync {
    /// Who it is, as the event says it.
    fn name(&self) -> Code;
    /// Makes the code good.
    async fn issue(&self, order: &CodeOrder, worth: Worth) -> Result<(), NotIssued>;
    /// Makes the redemption's code void, if there is one.
    async fn void(&self, order: &CodeOrder) -> Result<(), NotIssued>;
    /// Whether an order used the redemption's code. It stays so once the code is void.
    async fn is_used(&self, order: &CodeOrder) -> Result<bool, NotIssued>;
}

/// All issuers, and which shop has which; cheap to clone.
#[derive(Clone)]
pub struct Issuers {
    keys: KeyStore,
    shops: Shops,
    local: Arc<dyn CodeIssuer>,
    shopify: Option<Arc<Shopify>>,
}

/// Digits and letters that nobody confuses when reading aloud.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// 60 bits: nobody guesses another's code.
const CODE_LEN: usize = 12;

impl Issuers {
    /// The issuers of an installation: shops for which `shopify` has credentials get their codes there.
    #[must_use]
    pub fn new(keys: KeyStore, shops: Shops, shopify: Option<Shopify>) -> Self {
        Self { keys, shops, local: Arc::new(LocalIssuer), shopify: shopify.map(Arc::new) }
    }

    /// The code of a redemption. It follows from the redemption alone, so a repeated call never makes a second code.
    ///
    /// # Errors
    /// The key store failed.
    pub fn code(&self, merchant: MerchantId, redemption: RedemptionId) -> Result<String, privacy::Error> {
        let hash = self.keys.hash(merchant, "discount-code", &redemption.bytes())?;
        let letters = hash.iter().take(CODE_LEN).map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        Ok("LN-".chars().chain(letters).collect())
    }

    /// Who makes this shop's codes now; the local one for a shop that is not known.
    pub(crate) fn of(&self, shop: &ShopDomain) -> &dyn CodeIssuer {
        match &self.shopify {
            Some(shopify) if shopify.serves(shop) => &**shopify,
            _ => &*self.local,
        }
    }

    /// Who can void a code that `name` made; none if its credentials are gone.
    pub(crate) fn named(&self, name: &Code, shop: &ShopDomain) -> Option<&dyn CodeIssuer> {
        [&*self.local, self.of(shop)].into_iter().find(|issuer| issuer.name() == *name)
    }

    /// What is to be made or made void; none if the shop is not known.
    pub(crate) fn order(
        &self,
        merchant: MerchantId,
        redemption: RedemptionId,
    ) -> Result<Option<CodeOrder>, privacy::Error> {
        let Some(shop) = self.shops.by_id(merchant) else { return Ok(None) };
        let code = self.code(merchant, redemption)?;
        Ok(Some(CodeOrder { shop: shop.domain.clone(), redemption, code }))
    }
}
