//! Customers, and the guest orders that turn out to be theirs.
use std::collections::BTreeSet;

use domain::{
    Aggregate, StreamRef,
    customer::{DeleteCustomer, MergeCustomers, Profile, RegisterCustomer, SwitchAccount, UpdateCustomer},
    loyalty_order::AttachCustomer,
};
use event_schemas::{CustomerId, Digest, OrderId, Personal, Timestamp, customer::RegisteredBy};
use privacy::{Kind, Reference, SubjectSealer};
use uuid::Uuid;

use super::{Run, Setback};
use crate::{
    chance,
    requests::refunds_of,
    webhooks::translate::{Person, Private},
};

/// The directory rows of a person, as yet perhaps unknown under `proposed`. The customer's own row comes first.
pub(super) fn rows(person: &Person, proposed: Uuid) -> Vec<Reference> {
    let row =
        |kind, text: &Private| Reference::new(kind, text.0.clone(), proposed, Some(CustomerId(proposed)));
    let mut rows = vec![row(Kind::ShopifyCustomer, &person.reference)];
    if let Some(email) = &person.email {
        rows.push(row(Kind::Email, email));
        if person.email_verified {
            rows.push(row(Kind::VerifiedEmail, email));
        }
    }
    rows
}

/// Merges in a row; a person who was merged so often, or in a circle, is a mistake.
const MERGES_MAX: usize = 100;

/// Who a customer is now.
struct Standing {
    /// Who lives on; themselves, if they were never merged.
    survivor: CustomerId,
    /// Whether that person joined.
    registered: bool,
}

impl Run<'_> {
    /// A customer as Shopify sees them now. What is told late of one who was merged is not the other one's.
    pub(super) async fn customer(&mut self, person: Person, updated_at: Timestamp) -> Result<(), Setback> {
        let customer = self.look_up_person(&person).await?;
        let update = UpdateCustomer { profile: self.profile(&person, customer)?, updated_at };
        self.send("customer", StreamRef::customer(customer), update, Some(customer), updated_at).await?;
        self.about(customer).await?;
        self.claim_guest_orders(&person).await
    }

    /// Their account at the shop was switched on or off; the body has the rest of them too.
    pub(super) async fn customer_state(
        &mut self,
        person: Person,
        updated_at: Timestamp,
        enabled: bool,
    ) -> Result<(), Setback> {
        let customer = self.look_up_person(&person).await?;
        self.customer(person, updated_at).await?;
        let switch = SwitchAccount { enabled, updated_at };
        self.send("account", StreamRef::customer(customer), switch, Some(customer), updated_at).await
    }

    /// Shopify deleted the profile. What is still to come of it finds it deleted.
    pub(super) async fn customer_deleted(&mut self, reference: Private) -> Result<(), Setback> {
        let (customer, at) = (self.look_up_reference(&reference).await?, self.delivery.received_at);
        let delete = DeleteCustomer { at };
        self.send("delete", StreamRef::customer(customer), delete, Some(customer), at).await?;
        self.about(customer).await
    }

    /// Two customers became one; either may be unknown yet. The points follow by a policy.
    pub(super) async fn customers_merged(&mut self, kept: Private, gone: Private) -> Result<(), Setback> {
        let (kept, gone) = self.look_up_both(kept, gone).await?;
        let _alone = self.executor.merging.lock().await;
        let (into, at) = (self.standing(kept).await?.survivor, self.delivery.received_at);
        self.subject = Some(into);
        if into == gone {
            return Err(Setback::Never("merge-into-itself".to_owned()));
        }
        self.send("merge", StreamRef::customer(gone), MergeCustomers { into }, Some(gone), at).await
    }

    /// The customer that an order brings along: known from here on, if they were not. Answers whose the order is: one
    /// who was merged has left their orders to the one who lives on.
    ///
    /// Most are known already, so the owner is asked first: with others at work that costs no record.
    pub(super) async fn register(
        &mut self,
        person: &Person,
        customer: CustomerId,
        at: Timestamp,
    ) -> Result<CustomerId, Setback> {
        let Standing { survivor, registered } = self.standing(customer).await?;
        if registered || survivor != customer {
            return Ok(survivor);
        }
        let profile = self.profile(person, customer)?;
        let register = RegisterCustomer { registered_by: RegisteredBy::Order, profile };
        self.send("register", StreamRef::customer(customer), register, Some(customer), at).await?;
        Ok(customer)
    }

    /// Whether this shop knows the person with this id already.
    pub(super) async fn is_customer_here(&self, reference: &Private) -> Result<bool, Setback> {
        let merchant = self.delivery.merchant;
        match self.executor.keys.find(merchant, Kind::ShopifyCustomer, &reference.0).await? {
            Some(entry) => Ok(self.standing(CustomerId(entry.id)).await?.registered),
            None => Ok(false),
        }
    }

    async fn look_up_person(&self, person: &Person) -> Result<CustomerId, Setback> {
        let rows = rows(person, chance::id());
        let entries = self.executor.keys.resolve_many(self.delivery.merchant, rows).await?;
        Ok(CustomerId(entries[0].id))
    }

    async fn look_up_reference(&self, reference: &Private) -> Result<CustomerId, Setback> {
        let proposed = chance::id();
        let row =
            Reference::new(Kind::ShopifyCustomer, reference.0.clone(), proposed, Some(CustomerId(proposed)));
        Ok(CustomerId(self.executor.keys.resolve(self.delivery.merchant, row).await?.id))
    }

    /// Both or neither: nobody becomes known by a merge with somebody who is erased.
    async fn look_up_both(&self, one: Private, other: Private) -> Result<(CustomerId, CustomerId), Setback> {
        let row = |Private(text)| {
            let proposed = chance::id();
            Reference::new(Kind::ShopifyCustomer, text, proposed, Some(CustomerId(proposed)))
        };
        let rows = vec![row(one), row(other)];
        let entries = self.executor.keys.resolve_many(self.delivery.merchant, rows).await?;
        Ok((CustomerId(entries[0].id), CustomerId(entries[1].id)))
    }

    /// The delivery is about this person, or about the one whom they were merged into.
    async fn about(&mut self, customer: CustomerId) -> Result<(), Setback> {
        let survivor = self.standing(customer).await?.survivor;
        if survivor != customer {
            self.reason = Some("customer-merged");
        }
        self.subject = Some(survivor);
        Ok(())
    }

    /// Follows merges to the one who lives on.
    async fn standing(&self, customer: CustomerId) -> Result<Standing, Setback> {
        let (merchant, mut survivor) = (self.delivery.merchant, customer);
        for _ in 0..MERGES_MAX {
            let known =
                self.executor.commander.read(merchant, StreamRef::customer(survivor), |known| match known {
                    Aggregate::Customer(known) => (known.registered(), known.merged_into()),
                    _ => (false, None),
                });
            match known.await? {
                (_, Some(into)) => survivor = into,
                (registered, None) => return Ok(Standing { survivor, registered }),
            }
        }
        Err(Setback::Never("merges-without-end".to_owned()))
    }

    fn profile(&self, person: &Person, customer: CustomerId) -> Result<Profile, Setback> {
        let texts = [
            Some(&person.reference),
            person.email.as_ref(),
            person.first_name.as_ref(),
            person.last_name.as_ref(),
        ]
        .into_iter()
        .chain([person.phone.as_ref()])
        .map(|text| text.map(|text| text.0.as_str()));
        let canonical =
            serde_json::to_vec(&texts.collect::<Vec<_>>()).map_err(|e| Setback::Fault(Box::new(e)))?;
        let sealer = self.executor.keys.sealer(self.delivery.merchant, customer)?;
        let clear = |text: &Option<Private>| text.as_ref().map(|text| Personal::Clear(text.0.clone()));
        Ok(Profile {
            shopify_customer_id: Some(Personal::Clear(person.reference.0.clone())),
            email: clear(&person.email),
            email_verified: person.email_verified,
            email_digest: person.email.as_ref().map(|email| address_digest(&sealer, email)),
            first_name: clear(&person.first_name),
            last_name: clear(&person.last_name),
            phone: clear(&person.phone),
            digest: sealer.digest("profile", &canonical),
        })
    }

    /// Attaches every guest order with this person's verified address.
    ///
    /// Both sides add their own row before they look for the other's, so that no order of arrival loses a claim.
    pub(super) async fn claim_guest_orders(&mut self, person: &Person) -> Result<(), Setback> {
        let Some(email) = person.email.as_ref().filter(|_| person.email_verified) else { return Ok(()) };
        let orders = self.executor.keys.find_all(self.delivery.merchant, Kind::GuestEmail, &email.0).await?;
        if orders.is_empty() {
            return Ok(());
        }
        let Some(customer) = self.claimant(email).await? else { return Ok(()) };
        for order in orders {
            self.attach(OrderId(order.id), customer).await?;
        }
        Ok(())
    }

    /// A guest's order is known under this address from here on, and goes to the one who has it, if there is one.
    pub(super) async fn offer_guest_order(&mut self, order: OrderId, email: &Private) -> Result<(), Setback> {
        let merchant = self.delivery.merchant;
        let row = Reference::new(Kind::GuestEmail, email.0.clone(), order.0, None);
        self.executor.keys.resolve(merchant, row).await?;
        match self.claimant(email).await? {
            Some(customer) => self.attach(order, customer).await,
            None => Ok(()),
        }
    }

    /// The one customer whose verified address this is now. Two are as good as none, and one whom nothing but a
    /// doubtful body vouches for does not count.
    async fn claimant(&self, email: &Private) -> Result<Option<CustomerId>, Setback> {
        let merchant = self.delivery.merchant;
        let found = self.executor.keys.find_all(merchant, Kind::VerifiedEmail, &email.0).await?;
        let customers: BTreeSet<_> = found.into_iter().map(|entry| CustomerId(entry.id)).collect();
        let mut claimant = None;
        for customer in customers {
            let survivor = self.standing(customer).await?.survivor;
            // A doubtful body does not come this far, so this delivery vouches for its own customer.
            let vouched = self.subject == Some(survivor);
            if !vouched && self.executor.inbox.is_doubtful(merchant, customer).await? {
                continue;
            }
            if !self.has_address(customer, email).await? {
                continue;
            }
            if claimant.replace(survivor).is_some_and(|other| other != survivor) {
                return Ok(None);
            }
        }
        Ok(claimant)
    }

    /// A directory row says that the customer once had the address; their stream says whether they still do.
    async fn has_address(&self, customer: CustomerId, email: &Private) -> Result<bool, Setback> {
        let (merchant, stream) = (self.delivery.merchant, StreamRef::customer(customer));
        let digest = match self.executor.keys.sealer(merchant, customer) {
            Ok(sealer) => address_digest(&sealer, email),
            Err(privacy::Error::Redacted { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let verified = self.executor.commander.read(merchant, stream, |known| match known {
            Aggregate::Customer(known) => known.verified_email(),
            _ => None,
        });
        Ok(verified.await? == Some(digest))
    }

    /// The first customer of an order stays. Orders that have one are passed over without a record, because everybody
    /// with an old address meets theirs again and again; should that belief of the owner be lost, the delivery behind it
    /// is tried again itself.
    async fn attach(&mut self, order: OrderId, customer: CustomerId) -> Result<(), Setback> {
        let (merchant, stream) = (self.delivery.merchant, StreamRef::order(order));
        let owned = self.executor.commander.glance(merchant, stream, |order| match order {
            Aggregate::LoyaltyOrder(order) => order.customer(),
            _ => None,
        });
        let owned = owned.await?;
        if owned.is_none() {
            let (step, at) = (format!("attach/{order}"), self.delivery.received_at);
            match self.send(&step, stream, AttachCustomer { customer }, Some(customer), at).await {
                Err(Setback::Never(code)) if code == "order-has-customer" => return Ok(()),
                sent => sent?,
            }
        }
        if owned.is_none_or(|owner| owner == customer) {
            for kind in [Kind::Order, Kind::GuestEmail] {
                self.executor.keys.attach(merchant, kind, order.0, customer).await?;
            }
            self.give_refunds(order, customer).await?;
        }
        Ok(())
    }

    /// An order's refunds are whose the order is.
    pub(super) async fn give_refunds(&self, order: OrderId, customer: CustomerId) -> Result<(), Setback> {
        let merchant = self.delivery.merchant;
        for refund in refunds_of(&self.executor.commander, merchant, order).await? {
            self.executor.keys.attach(merchant, Kind::Refund, refund.0, customer).await?;
        }
        Ok(())
    }
}

fn address_digest(sealer: &SubjectSealer, email: &Private) -> Digest {
    sealer.digest("email", Kind::Email.normalised(&email.0).as_bytes())
}
