//! Requests about people's data: who is meant by an id or an address, and the way into the request's own stream.
//!
//! Whom a request is about is kept before anything is asked of the log. When the request comes again, after a crash or
//! from its sender, it is about the same people although nothing leads to them any more.
mod closure;
mod kept;

use std::{collections::BTreeMap, fmt};

use domain::{
    Aggregate, Command, StreamRef,
    privacy_request::{OpenDataRequest, OpenRedaction},
};
use event_schemas::{
    CertificateId, CommandKey, CustomerId, Digest, MerchantId, OrderId, RefundId, RequestId, Timestamp,
    privacy_request::{RedactionScope, RequestSource},
};
use group_commit::{Fault, Session, Store};
use privacy::{Entry, KeyStore, Kind};
use uuid::Uuid;

pub(crate) use closure::closure;
pub(crate) use kept::{
    Kept, add_people, drop_ended, forget, keep_export, people, read as read_kept, remove_unasked, unasked,
};

use crate::{
    clock::Clock,
    commands::{Answered, Commander, Envelope, Lane, Origin, Unavailable},
    idempotency::{self, KeptAs},
    planted,
    webhooks::{blind, translate::Private},
};

/// A person as a request names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    /// Our own id.
    pub(crate) customer: Option<CustomerId>,
    /// Shopify's customer id.
    pub(crate) shopify: Option<Private>,
    /// E-mail address.
    pub(crate) email: Option<Private>,
    /// Phone number. Nobody is looked up by it.
    pub(crate) phone: Option<Private>,
    /// Shopify's ids of orders.
    pub(crate) orders: Vec<Private>,
}

/// Who asks, when, and under which ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) merchant: MerchantId,
    pub(crate) request: RequestId,
    pub(crate) source: RequestSource,
    pub(crate) key: CommandKey,
    pub(crate) origin: Origin,
    pub(crate) lane: Lane,
    pub(crate) at: Timestamp,
    /// What is to be kept of the call, with the request itself: it goes with whom that is about.
    pub(crate) call: Option<KeptAs>,
}

/// A request that was not taken, or perhaps was: it may be made again under the same ids.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The address is that of several people, and what is held of one must not be shown to another.
    #[error("the address is that of several people")]
    Ambiguous,
    /// Another request came by the same idempotency key meanwhile.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the request could not be recorded")]
    Command(#[from] Unavailable),
    #[error("the keys are not available")]
    Keys(#[from] privacy::Error),
    #[error("the request could not be kept")]
    Work(#[from] Fault),
}

/// What a request says of itself once it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) kept: Kept,
    pub(crate) answered: Answered,
}

/// That a person was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redacted {
    /// The newest certificate, once there is one.
    pub(crate) certificate: Option<CertificateId>,
}

/// The way to requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Requests {
    commander: Commander,
    keys: KeyStore,
    work: Store,
    clock: Clock,
}

impl Requests {
    pub(crate) const fn new(commander: Commander, keys: KeyStore, work: Store, clock: Clock) -> Self {
        Self { commander, keys, work, clock }
    }

    /// Asks that a person be forgotten: everybody whom the id or the address names, with everybody who turned out to be
    /// them. Who asks by an address alone asks for all that is held under it.
    ///
    /// What belongs to nobody yet becomes theirs, so that it goes with them: orders that the request names, and guests'
    /// orders under the address. If nobody is known, those are a person of their own. What Shopify names and nobody here
    /// has is never taken in later.
    pub(crate) async fn redact(&self, asking: &Asking, named: &Named) -> Result<Taken, NotTaken> {
        let kept = match self.kept_again(asking.request).await? {
            Some(kept) => kept,
            None => {
                // Before anybody is looked for: who becomes known in between would be missed, and stay.
                self.bury_unknown(asking, named).await?;
                let people = self.people_named(asking.merchant, named).await?;
                planted::erasure_past("named").await;
                let mut people = closure(&self.commander, asking.merchant, people).await?;
                if people.is_empty() && !self.unowned(asking.merchant, named, &people).await?.is_empty() {
                    people.insert(CustomerId(Uuid::new_v5(&asking.request.0, b"guest")), None);
                }
                self.keep(asking, kept::REDACTION, &people, Some(named)).await?
            }
        };
        self.take_in(asking, named, &kept).await?;
        let scope = RedactionScope::Customer;
        self.open(asking, kept, |subjects| open_redaction(asking, scope, subjects)).await
    }

    /// Asks that a shop be forgotten, with everybody in it.
    pub(crate) async fn redact_shop(&self, asking: &Asking) -> Result<Taken, NotTaken> {
        let kept = match self.kept_again(asking.request).await? {
            Some(kept) => kept,
            None => self.keep(asking, kept::SHOP_REDACTION, &BTreeMap::new(), None).await?,
        };
        self.open(asking, kept, |_| open_redaction(asking, RedactionScope::Shop, Vec::new())).await
    }

    /// Asks for what is held of a person, with everybody who turned out to be them, and of orders that the request names
    /// and nobody else owns: by their numbers or, unless an id says who asks, by the address. Beside an id, an address that
    /// nobody verified would show a guest's orders to whoever gave it.
    ///
    /// # Errors
    /// [`NotTaken::Ambiguous`] if only an address is given and several people have it.
    pub(crate) async fn export(&self, asking: &Asking, named: &Named) -> Result<Taken, NotTaken> {
        let kept = match self.kept_again(asking.request).await? {
            Some(kept) => kept,
            None => {
                let mut named = named.clone();
                if self.named_by_id(asking.merchant, &named).await?.is_some() {
                    named.email = None;
                }
                let people = self.people_named(asking.merchant, &named).await?;
                let people = closure(&self.commander, asking.merchant, people).await?;
                if people.values().filter(|into| into.is_none()).count() > 1 {
                    return Err(NotTaken::Ambiguous);
                }
                self.keep(asking, kept::EXPORT, &people, Some(&named)).await?
            }
        };
        self.open(asking, kept, |subjects| {
            OpenDataRequest { subjects, source: asking.source, requested_at: asking.at }.into()
        })
        .await
    }

    /// What is kept of a request.
    pub(crate) async fn kept(&self, request: RequestId) -> Result<Option<Kept>, Fault> {
        self.work.read(move |work| kept::find(work, request)).await
    }

    /// Orders that a request named and nobody else owns, by their numbers or under a guest's address.
    pub(crate) async fn orders_named<E: From<Fault> + From<privacy::Error>>(
        &self,
        kept: &Kept,
    ) -> Result<Vec<Uuid>, E> {
        let request = kept.request;
        let named = self.work.read(move |work| people(work, request)).await?.unwrap_or_default();
        let orders = self.keys.entries_of(kept.merchant, blind::of_orders(&named).collect()).await?;
        let is_theirs = |entry: &Entry| entry.subject.is_none_or(|owner| kept.subjects.contains(&owner));
        Ok(orders.into_iter().filter(is_theirs).map(|entry| entry.id).collect())
    }

    /// The same for whoever makes it again.
    async fn kept_again(&self, request: RequestId) -> Result<Option<Kept>, Fault> {
        let now = self.clock.now();
        self.work.run(move |work| kept::again(work, request, now)).await
    }

    /// Whether a person was erased, or is being. The key store says it for as long as there is one.
    pub(crate) async fn redacted(
        &self,
        merchant: MerchantId,
        customer: CustomerId,
    ) -> Result<Option<Redacted>, privacy::Error> {
        if !self.keys.is_erased(merchant, Some(customer)).await? {
            return Ok(None);
        }
        let certificate = self.keys.certificate_of(merchant, customer).await?;
        let certificate = certificate.and_then(|id| id.parse().ok()).map(CertificateId);
        Ok(Some(Redacted { certificate }))
    }

    async fn keep(
        &self,
        asking: &Asking,
        kind: &'static str,
        people: &BTreeMap<CustomerId, Option<CustomerId>>,
        named: Option<&Named>,
    ) -> Result<Kept, NotTaken> {
        let merchant = asking.merchant;
        let route = match kind {
            kept::SHOP_REDACTION => merchant.0,
            _ => {
                let lives_on = people.iter().find(|(_, into)| into.is_none()).or(people.iter().next());
                lives_on.map_or(asking.request.0, |(customer, _)| customer.0)
            }
        };
        let subjects = people.keys().copied().collect();
        let references = match named {
            Some(named) => blind::references(&self.keys, merchant, named.references())?,
            None => Vec::new(),
        };
        let kept = Kept { request: asking.request, merchant, route, subjects };
        // Not when it was asked for: a delivery may have waited for days, and its day to reach the log begins now.
        let (at, call) = (self.clock.now(), asking.call);
        let keep = move |work: &dyn Session| {
            let mut kept = kept;
            if let Some(call) = call {
                // Of two calls at once, both ask for the one that was kept first.
                let Some(first) = idempotency::keep_with(work, call, kept.request.0)? else {
                    return Ok(None);
                };
                kept.request = RequestId(first);
                let people = kept.subjects.iter().map(|subject| subject.0);
                idempotency::name(work, call, people.chain([first]))?;
            }
            kept::keep(work, &kept, kind, &references, at).map(Some)
        };
        self.work.run(keep).await?.ok_or(NotTaken::KeyReused)
    }

    async fn open(
        &self,
        asking: &Asking,
        kept: Kept,
        command: impl FnOnce(Vec<CustomerId>) -> Command,
    ) -> Result<Taken, NotTaken> {
        // The request's id and nothing of what it says: a digest of an address would stay in the log for ever.
        let content = self.keys.global_hash("privacy-request", kept.request.0.as_bytes());
        let envelope = Envelope {
            merchant: asking.merchant,
            stream: kept.stream(),
            command: command(kept.subjects.clone()),
            key: asking.key,
            content: Digest(content.first_chunk().copied().unwrap_or_default()),
            occurred_at: asking.at,
            origin: asking.origin,
            lane: asking.lane,
        };
        let answered = self.commander.send(envelope).await?;
        Ok(Taken { kept, answered })
    }

    /// The customer whom an id names.
    async fn named_by_id(&self, merchant: MerchantId, named: &Named) -> Result<Option<CustomerId>, NotTaken> {
        if let Some(customer) = named.customer {
            let known = self.commander.read(merchant, StreamRef::customer(customer), |known| match known {
                Aggregate::Customer(known) => {
                    known.registered() || known.merged_into().is_some() || known.redacted()
                }
                _ => false,
            });
            return Ok(known.await?.then_some(customer));
        }
        let Some(Private(number)) = &named.shopify else { return Ok(None) };
        let found = self.keys.find(merchant, Kind::ShopifyCustomer, number).await?;
        Ok(found.map(|entry| CustomerId(entry.id)))
    }

    /// The customers whom the id names, or the address if there is no id. If Shopify's id leads to nobody, those who have
    /// the address and no id at Shopify: whoever has another one is somebody else.
    async fn people_named(&self, merchant: MerchantId, named: &Named) -> Result<Vec<CustomerId>, NotTaken> {
        let by_id = self.named_by_id(merchant, named).await?;
        if by_id.is_some() || named.customer.is_some() {
            return Ok(by_id.into_iter().collect());
        }
        let mut people = Vec::new();
        let Some(Private(email)) = &named.email else { return Ok(people) };
        for kind in [Kind::Email, Kind::VerifiedEmail] {
            for entry in self.keys.find_all(merchant, kind, email).await? {
                let known_to_shopify = self.keys.reveal(merchant, Kind::ShopifyCustomer, entry.id);
                if named.shopify.is_none() || known_to_shopify.await?.is_none() {
                    people.push(CustomerId(entry.id));
                }
            }
        }
        Ok(people)
    }

    /// What the request names and nobody else owns: orders, and guests' orders under the address.
    async fn unowned(
        &self,
        merchant: MerchantId,
        named: &Named,
        people: &BTreeMap<CustomerId, Option<CustomerId>>,
    ) -> Result<Vec<OrderId>, NotTaken> {
        let mut found = Vec::new();
        for Private(order) in &named.orders {
            found.extend(self.keys.find(merchant, Kind::Order, order).await?);
        }
        if let Some(Private(email)) = &named.email {
            found.extend(self.keys.find_all(merchant, Kind::GuestEmail, email).await?);
        }
        // Also what is theirs already: a crash may have come before the rest of it was.
        let free = |entry: &Entry| entry.subject.is_none_or(|owner| people.contains_key(&owner));
        Ok(found.into_iter().filter(free).map(|entry| OrderId(entry.id)).collect())
    }

    /// Makes theirs what belongs to nobody. What is erased already stays as it is.
    async fn take_in(&self, asking: &Asking, named: &Named, kept: &Kept) -> Result<(), NotTaken> {
        let merchant = asking.merchant;
        let people = kept.subjects.iter().map(|subject| (*subject, None)).collect();
        if let Some(subject) = kept.subjects.first() {
            for order in self.unowned(merchant, named, &people).await? {
                match self.take(merchant, order, *subject).await {
                    Err(NotTaken::Keys(error)) if is_erased(&error) => return Ok(()),
                    taken => taken?,
                }
            }
        }
        Ok(())
    }

    /// Makes all rows of an order theirs.
    async fn take(&self, merchant: MerchantId, order: OrderId, subject: CustomerId) -> Result<(), NotTaken> {
        for kind in [Kind::Order, Kind::GuestEmail] {
            self.keys.attach_for_request(merchant, kind, order.0, subject).await?;
        }
        for refund in refunds_of(&self.commander, merchant, order).await? {
            self.keys.attach_for_request(merchant, Kind::Refund, refund.0, subject).await?;
        }
        Ok(())
    }

    /// Has whom Shopify names and nobody here knows never become known, and so the orders.
    async fn bury_unknown(&self, asking: &Asking, named: &Named) -> Result<(), NotTaken> {
        if asking.source != RequestSource::Shopify {
            return Ok(());
        }
        let ids = named.shopify.iter().map(|id| (Kind::ShopifyCustomer, id));
        let unknown = ids.chain(named.orders.iter().map(|order| (Kind::Order, order)));
        let unknown = unknown.map(|(kind, Private(text))| (kind, text.clone())).collect();
        match self.keys.bury(asking.merchant, unknown).await {
            Err(error) if is_erased(&error) => Ok(()),
            buried => Ok(buried.map(drop)?),
        }
    }
}

impl Named {
    /// What it is found by, in the inbox and in the directory.
    fn references(&self) -> Vec<(Kind, Private)> {
        let of = |kind: Kind, text: &Option<Private>| text.clone().map(|text| (kind, text));
        of(Kind::ShopifyCustomer, &self.shopify)
            .into_iter()
            .chain(of(Kind::Email, &self.email))
            .chain(of(Kind::GuestEmail, &self.email))
            .chain(of(Kind::Phone, &self.phone))
            .chain(self.orders.iter().map(|order| (Kind::Order, order.clone())))
            .collect()
    }
}

/// The refunds that an order's stream knows: they are whose the order is. Whoever gives an order to somebody looks for them
/// after that, and whoever records a refund of an order that was nobody's looks for its owner after that, so that none
/// stays behind.
pub(crate) async fn refunds_of(
    commander: &Commander,
    merchant: MerchantId,
    order: OrderId,
) -> Result<Vec<RefundId>, Unavailable> {
    let refunds = commander.read(merchant, StreamRef::order(order), |order| match order {
        Aggregate::LoyaltyOrder(order) => order.refunds().collect(),
        _ => Vec::new(),
    });
    refunds.await
}

fn open_redaction(asking: &Asking, scope: RedactionScope, subjects: Vec<CustomerId>) -> Command {
    OpenRedaction { scope, subjects, source: asking.source, requested_at: asking.at }.into()
}

pub(crate) const fn is_erased(error: &privacy::Error) -> bool {
    matches!(
        error,
        privacy::Error::Erased { .. } | privacy::Error::Redacted { .. } | privacy::Error::ShopErased { .. }
    )
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use event_schemas::{
        CorrelationId,
        record::{Actor, Trace},
    };

    use super::*;
    use crate::{testing::Bench, upkeep::Upkeep};

    /// Catches, tried: a delivery's own time, by which what was kept a moment ago has waited for days.
    #[tokio::test]
    async fn what_is_kept_of_an_old_delivery_has_a_day_to_reach_the_log() {
        let bench = Bench::start().await;
        let merchant = bench.install("demo-1.myshopify.com").await;
        let Bench { commander, keys, work, clock, .. } = &bench;
        let requests = Requests::new(commander.clone(), keys.clone(), work.clone(), clock.clone());
        let later = |days: i64| {
            let time = clock.now().utc().checked_add_signed(TimeDelta::days(days)).unwrap();
            Timestamp::from_micros(time.timestamp_micros())
        };
        let (request, correlation) = (RequestId(Uuid::now_v7()), CorrelationId(Uuid::now_v7()));
        let asking = Asking {
            merchant,
            request,
            source: RequestSource::Shopify,
            key: CommandKey(Uuid::now_v7()),
            origin: Origin { actor: Actor::System, correlation, trace: Trace::default(), causation: None },
            lane: Lane::Interactive,
            at: later(-3),
            call: None,
        };
        requests.keep(&asking, kept::EXPORT, &BTreeMap::new(), None).await.unwrap();
        let upkeep = Upkeep::new(&bench.parts());
        upkeep.forget_unasked(clock.now()).await.unwrap();
        assert!(requests.kept(request).await.unwrap().is_some());
        upkeep.forget_unasked(later(2)).await.unwrap();
        assert_eq!(requests.kept(request).await.unwrap(), None);
    }

    /// Catches, tried: a request that is made again and not noted, and a look that forgets it although it is.
    #[tokio::test]
    async fn a_request_that_is_made_again_has_its_day_anew() {
        let bench = Bench::start().await;
        let merchant = bench.install("demo-1.myshopify.com").await;
        let Bench { commander, keys, work, clock, .. } = &bench;
        let requests = Requests::new(commander.clone(), keys.clone(), work.clone(), clock.clone());
        let request = RequestId(Uuid::now_v7());
        let kept = Kept { request, merchant, route: request.0, subjects: Vec::new() };
        let long_ago = Timestamp::EPOCH;
        let keep = move |work: &dyn Session| kept::keep(work, &kept, kept::REDACTION, &[1], long_ago);
        work.run(keep).await.unwrap();
        let now = clock.now();
        let unasked = work.read(move |work| unasked(work, now.micros())).await.unwrap();
        let [found] = &unasked[..] else { panic!("{unasked:?}") };
        assert_eq!(requests.kept_again(request).await.unwrap().as_ref(), Some(found));
        let found = found.clone();
        let forget = move |work: &dyn Session| remove_unasked(work, &found, now.micros());
        assert!(!work.run(forget).await.unwrap());
        assert!(requests.kept(request).await.unwrap().is_some());
    }
}
