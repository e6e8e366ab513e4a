//! Which shop a body is of, and what a shop's own bodies change.
use domain::{StreamRef, merchant};
use event_schemas::{Currency, MerchantId, TimeZone};
use privacy::{EVERY_MERCHANT, Kind, Reference};

use super::{Run, Setback};
use crate::webhooks::translate::NamedShop;

impl Run<'_> {
    /// Whether the body names the shop it came for; a body that names another one has no effect here.
    ///
    /// A domain decides alone. A numeric id counts once a signed body named it together with a domain.
    pub(super) async fn is_named(&self, named: &NamedShop) -> Result<bool, Setback> {
        let own = match (&named.domain, &named.id) {
            (Some(domain), id) => {
                let own = *domain == self.shop.domain;
                if own && let Some(id) = id {
                    self.bind(id).await?;
                }
                own
            }
            (None, Some(id)) => {
                let bound = self.executor.keys.find(EVERY_MERCHANT, Kind::ShopId, id).await?;
                let Some(bound) = bound else { return Ok(false) };
                MerchantId(bound.id) == self.delivery.merchant
            }
            (None, None) => return Ok(false),
        };
        if own { Ok(true) } else { Err(Setback::Never("names-another-shop".to_owned())) }
    }

    async fn bind(&self, id: &str) -> Result<(), Setback> {
        // An edited body is the merchant's word, not Shopify's.
        if self.delivery.edited {
            return Ok(());
        }
        let merchant = self.delivery.merchant;
        let reference = Reference::new(Kind::ShopId, id, merchant.0, None);
        let bound = self.executor.keys.resolve(EVERY_MERCHANT, reference).await?;
        if bound.id != merchant.0 {
            tracing::warn!(merchant.id = %merchant, "A shop's numeric id is bound to another shop; the domain decides");
        }
        Ok(())
    }

    pub(super) async fn shop_updated(
        &mut self,
        currency: Option<Currency>,
        timezone: Option<TimeZone>,
    ) -> Result<(), Setback> {
        let update = merchant::UpdateCurrencySettings {
            currency: currency.unwrap_or(self.shop.currency),
            timezone: timezone.unwrap_or_else(|| self.shop.timezone.clone()),
        };
        if update.currency == self.shop.currency && update.timezone == self.shop.timezone {
            return Ok(());
        }
        let stream = StreamRef::merchant(self.delivery.merchant);
        self.send("shop", stream, update, None, self.delivery.received_at).await?;
        self.in_force().await
    }

    pub(super) async fn uninstalled(&mut self) -> Result<(), Setback> {
        let stream = StreamRef::merchant(self.delivery.merchant);
        self.send("uninstall", stream, merchant::UninstallMerchant {}, None, self.delivery.received_at)
            .await?;
        self.in_force().await
    }

    /// What this delivery changed holds for those behind it.
    async fn in_force(&self) -> Result<(), Setback> {
        match self.last {
            Some(at) => Ok(self.executor.shops.wait_until(at).await?),
            None => Ok(()),
        }
    }
}
