//! Which shop a body is of, and what a shop's own bodies change.
use domain::{
    Command, StreamRef, merchant,
    product::{RemoveProduct, SyncProduct},
};
use event_schemas::{Code, MerchantId, ProductId, Timestamp, Title};
use privacy::{EVERY_MERCHANT, Kind, Reference};

use super::{Run, Setback};
use crate::webhooks::translate::{NamedShop, OwnFacts, is_compliance};

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
        // An edited body is the merchant's word, not Shopify's; and what asks to be forgotten makes nothing known.
        if self.delivery.edited || is_compliance(&self.delivery.topic) {
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

    pub(super) async fn shop_updated(&mut self, facts: OwnFacts) -> Result<(), Setback> {
        let update = merchant::UpdateCurrencySettings {
            currency: facts.currency.unwrap_or(self.shop.currency),
            timezone: facts.timezone.unwrap_or_else(|| self.shop.timezone.clone()),
            updated_at: facts.updated_at,
        };
        self.tell_shop("shop", update).await
    }

    pub(super) async fn subscribed(
        &mut self,
        name: Title,
        status: Code,
        updated_at: Timestamp,
    ) -> Result<(), Setback> {
        self.tell_shop("subscription", merchant::UpdateSubscription { name, status, updated_at }).await
    }

    /// A product as it is now. Orders behind this delivery are judged by it.
    pub(super) async fn product(&mut self, sync: SyncProduct) -> Result<(), Setback> {
        let stream = StreamRef::product(self.delivery.merchant, &sync.product);
        let at = sync.updated_at;
        self.send("product", stream, sync, None, at).await?;
        self.in_force().await
    }

    pub(super) async fn product_deleted(&mut self, product: &ProductId) -> Result<(), Setback> {
        let (at, stream) = (self.delivery.received_at, StreamRef::product(self.delivery.merchant, product));
        self.send("product", stream, RemoveProduct { at }, None, at).await
    }

    async fn tell_shop(&mut self, step: &str, command: impl Into<Command>) -> Result<(), Setback> {
        let stream = StreamRef::merchant(self.delivery.merchant);
        self.send(step, stream, command, None, self.delivery.received_at).await?;
        self.in_force().await
    }

    pub(super) async fn uninstalled(&mut self) -> Result<(), Setback> {
        self.tell_shop("uninstall", merchant::UninstallMerchant {}).await
    }

    /// What this delivery changed holds for those behind it.
    async fn in_force(&self) -> Result<(), Setback> {
        match self.last {
            Some(at) => Ok(self.executor.shops.wait_until(at).await?),
            None => Ok(()),
        }
    }
}
