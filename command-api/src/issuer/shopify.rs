//! Shopify's discount codes over the Admin API: made and made void by name, so that no call counts twice.
//!
//! The code is named after its redemption, and so is the discount's title. A create that was answered by nobody is
//! simply sent again: if it had taken effect the code is taken, and its title says whether it was taken by us. A create
//! that takes effect only after its code was made void finds the code taken, too: by a discount that is long over.
mod calls;
mod client;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use event_schemas::{Code, RedemptionId, ShopDomain, Timestamp, reward::Benefit};

use super::{CodeIssuer, CodeOrder, NotIssued, Worth};
use calls::{Deactivate, FindByCode, Found, Made};
use client::{Client, Failure, Pace};

/// Access tokens of shops that let us make discounts. Never shown.
#[derive(Clone, Default)]
pub struct Credentials(HashMap<ShopDomain, String>);

impl FromIterator<(ShopDomain, String)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (ShopDomain, String)>>(tokens: I) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials of {} shops", self.0.len())
    }
}

/// The issuer cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum NotConfigured {
    /// The version is not one of Shopify's.
    #[error("expected a version of the Admin API such as 2026-10")]
    ApiVersion,
    /// The address of the Admin API is not one.
    #[error("expected an address such as https://example.com")]
    AdminUrl,
    /// A token cannot stand in a header.
    #[error("the access token of {0} is not visible ASCII text")]
    Token(ShopDomain),
    /// The HTTP client cannot start.
    #[error("the HTTP client cannot start")]
    Client(#[from] reqwest::Error),
}

/// Makes codes at the shops whose credentials it has.
#[derive(Debug)]
pub struct Shopify {
    client: Client,
    credentials: Credentials,
}

impl Shopify {
    /// An issuer for these shops. `admin_url` stands for every shop's own address in tests.
    ///
    /// # Errors
    /// [`NotConfigured`] names what is wrong.
    pub fn new(
        credentials: Credentials,
        api_version: &str,
        admin_url: Option<&str>,
    ) -> Result<Self, NotConfigured> {
        let bad = credentials
            .0
            .iter()
            .find(|(_, token)| token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()));
        match bad {
            Some((shop, _)) => Err(NotConfigured::Token(shop.clone())),
            None => Ok(Self { client: Client::new(api_version, admin_url, Pace::LIVE)?, credentials }),
        }
    }

    pub(crate) fn serves(&self, shop: &ShopDomain) -> bool {
        self.credentials.0.contains_key(shop)
    }

    async fn call<C: calls::Call>(&self, shop: &ShopDomain, call: &C) -> Result<C::Answer, Failure> {
        let token = self.credentials.0.get(shop).ok_or(Failure::NoCredentials)?;
        self.client.call(shop, token, call).await
    }

    /// The discount that has this code, with whether it is the redemption's own.
    async fn find(&self, order: &CodeOrder) -> Result<Option<(Found, bool)>, Failure> {
        let found = self.call(&order.shop, &FindByCode { code: &order.code }).await?;
        Ok(found.map(|found| {
            let is_own = found.title == title(order.redemption);
            (found, is_own)
        }))
    }

    /// Takes a code that nobody made, because a create that was answered by nobody may still be on its way.
    async fn occupy(&self, order: &CodeOrder) -> Result<(), Failure> {
        let (from, until) = (Timestamp::from_micros(OVER_FROM), Timestamp::from_micros(OVER_UNTIL));
        let title = format!("{}, void", title(order.redemption));
        let worth = Worth { benefit: Benefit::Percentage { percent: 1 }, from };
        let create = calls::Create { title: &title, code: &order.code, worth, until: Some(until) };
        match self.call(&order.shop, &create).await? {
            Made::Taken => match self.find(order).await? {
                Some((own, true)) => self.call(&order.shop, &Deactivate { id: &own.id }).await,
                Some((_, false)) | None => Ok(()),
            },
            // What the shop refuses to have it will not have later either.
            Made::Done | Made::Refused(_) => Ok(()),
        }
    }
}

/// The one day in 2020 on which a discount was good that only keeps its code from being made, in microseconds.
const OVER_FROM: i64 = 1_577_836_800_000_000;
const OVER_UNTIL: i64 = 1_577_923_200_000_000;

/// What tells our discounts from all others, also for the merchant who reads it.
fn title(redemption: RedemptionId) -> String {
    format!("LoyalNest redemption {redemption}")
}

#[async_trait]
impl CodeIssuer for Shopify {
    fn name(&self) -> Code {
        Code::fixed("shopify")
    }

    async fn issue(&self, order: &CodeOrder, worth: Worth) -> Result<(), NotIssued> {
        let title = title(order.redemption);
        let create = calls::Create { title: &title, code: &order.code, worth, until: None };
        match self.call(&order.shop, &create).await? {
            Made::Done => Ok(()),
            Made::Taken => match self.find(order).await? {
                Some((_, true)) => Ok(()),
                Some((_, false)) => Err(NotIssued::Refused(Code::fixed("code-taken"))),
                None => Err(Failure::Contradiction.into()),
            },
            Made::Refused(code) => Err(NotIssued::Refused(code)),
        }
    }

    async fn void(&self, order: &CodeOrder) -> Result<(), NotIssued> {
        match self.find(order).await? {
            Some((own, true)) => Ok(self.call(&order.shop, &Deactivate { id: &own.id }).await?),
            // Somebody else's, or never good.
            Some((_, false)) => Ok(()),
            None => Ok(self.occupy(order).await?),
        }
    }

    async fn is_used(&self, order: &CodeOrder) -> Result<bool, NotIssued> {
        let found = self.find(order).await?;
        Ok(found.is_some_and(|(found, is_own)| is_own && found.used > 0))
    }
}

impl From<Failure> for NotIssued {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.into())
    }
}
