//! People at each shop. Everything that leads to a person stays sealed here.
use event_schemas::{
    CustomerId, Event, FieldAddress, MerchantId, RequestId, Sealed, StreamType, Timestamp,
    catalogue::CustomerEvent,
    customer::{CustomerRegistered, CustomerUpdated, RegisteredBy},
    words,
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json, Origin, word_column},
    recorded::{address, sealed},
    session::Typed as _,
    table::table,
};

words! {
    /// Where a person stands.
    Standing {
        /// As everybody.
        Active = "active",
        /// Shopify disabled the account; the points stay.
        Disabled = "disabled",
        /// Shopify deleted the profile; the points stay.
        Deleted = "deleted",
        /// The person turned out to be another one, who has the points now.
        Merged = "merged",
        /// The person was erased.
        Redacted = "redacted",
    }
}

word_column!(RegisteredBy, Standing);

table! {
    /// A customer.
    Customer {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The customer.
            customer: CustomerId,
        }
        /// Shopify's customer id.
        shopify_customer_id: Option<Sealed>,
        /// E-mail address.
        email: Option<Sealed>,
        /// First name.
        first_name: Option<Sealed>,
        /// Last name.
        last_name: Option<Sealed>,
        /// Phone number.
        phone: Option<Sealed>,
        /// The event that all sealed fields come from.
        origin: Json<Origin>,
        /// Whether Shopify has verified the address.
        email_verified: bool,
        /// What brought the person.
        registered_by: RegisteredBy,
        /// Where the person stands.
        standing: Standing,
        /// Who lives on, if the person was merged.
        merged_into: Option<CustomerId>,
        /// The request by which the person was erased.
        redacted_by: Option<RequestId>,
        /// When the person joined.
        registered_at: Timestamp,
        /// When any of this last changed.
        updated_at: Timestamp,
    }
    indexes ["merchant, merged_into"]
    sealed for customer
}

impl Customer {
    /// The address of one of the sealed fields, by the column's name.
    #[must_use]
    pub fn address(&self, field: &'static str) -> FieldAddress {
        let stream = (StreamType::Customer, self.customer.0);
        address(self.merchant, self.customer, stream, self.origin.0, field)
    }
}

/// The projection.
pub struct Customers;

impl Projection for Customers {
    type Row = Customer;
    type Change = ();
    const NAME: &'static str = "customers";
    const VERSION: u32 = 3;

    fn touches(event: &Recorded) -> Vec<(Key<Customer>, ())> {
        match event.event {
            Event::Customer(_) => vec![(Customer::at(event.merchant, event.subject()), ())],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Customer>, event: &Recorded, (): ()) -> Result<Customer, Unfoldable> {
        let Event::Customer(happened) = &event.event else {
            return before.ok_or_else(|| Unfoldable::without("customer"));
        };
        let joined = before.unwrap_or_else(|| heard_of(event));
        let stands = |standing| Customer { standing, updated_at: event.recorded_at, ..joined.clone() };
        Ok(match happened {
            CustomerEvent::CustomerRegistered(found) => registered(&joined, event, found),
            CustomerEvent::CustomerUpdated(changed) => updated(&joined, event, changed),
            CustomerEvent::CustomerDisabled(_) => stands(Standing::Disabled),
            CustomerEvent::CustomerEnabled(_) => stands(Standing::Active),
            CustomerEvent::CustomerDeleted(_) => stands(Standing::Deleted),
            // Whatever is sealed is emptied with the sealed cells of all tables.
            CustomerEvent::CustomerRedacted(erased) => Customer {
                email_verified: false,
                redacted_by: Some(erased.request),
                ..stands(Standing::Redacted)
            },
            CustomerEvent::CustomersMerged(merged) => {
                Customer { merged_into: Some(merged.into), ..stands(Standing::Merged) }
            }
        })
    }
}

/// Somebody of whom only a deletion, a merge or the like was told: Shopify promises no order of arrival.
fn heard_of(event: &Recorded) -> Customer {
    Customer {
        merchant: event.merchant,
        customer: event.subject(),
        shopify_customer_id: None,
        email: None,
        first_name: None,
        last_name: None,
        phone: None,
        origin: Json(event.origin()),
        email_verified: false,
        registered_by: RegisteredBy::Customer,
        standing: Standing::Active,
        merged_into: None,
        redacted_by: None,
        registered_at: event.recorded_at,
        updated_at: event.recorded_at,
    }
}

fn registered(before: &Customer, event: &Recorded, joined: &CustomerRegistered) -> Customer {
    Customer {
        merchant: event.merchant,
        customer: event.subject(),
        shopify_customer_id: sealed(joined.shopify_customer_id.as_ref()),
        email: sealed(joined.email.as_ref()),
        first_name: sealed(joined.first_name.as_ref()),
        last_name: sealed(joined.last_name.as_ref()),
        phone: sealed(joined.phone.as_ref()),
        origin: Json(event.origin()),
        email_verified: joined.email_verified,
        registered_by: joined.registered_by,
        standing: before.standing,
        merged_into: before.merged_into,
        redacted_by: before.redacted_by,
        registered_at: event.recorded_at,
        updated_at: event.recorded_at,
    }
}

fn updated(joined: &Customer, event: &Recorded, changed: &CustomerUpdated) -> Customer {
    Customer {
        merchant: event.merchant,
        customer: event.subject(),
        shopify_customer_id: sealed(changed.shopify_customer_id.as_ref()),
        email: sealed(changed.email.as_ref()),
        first_name: sealed(changed.first_name.as_ref()),
        last_name: sealed(changed.last_name.as_ref()),
        phone: sealed(changed.phone.as_ref()),
        origin: Json(event.origin()),
        email_verified: changed.email_verified,
        registered_by: joined.registered_by,
        standing: joined.standing,
        merged_into: joined.merged_into,
        redacted_by: joined.redacted_by,
        registered_at: joined.registered_at,
        updated_at: event.recorded_at,
    }
}

/// The customer.
pub async fn find(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
) -> Result<Option<Customer>, Error> {
    store.find::<Customers>(scope, Customer::at(scope.merchant(), customer)).await
}

/// How many customers the shop has; whoever was merged into another one or erased counts no more.
pub async fn count(store: &ReadStore, scope: MerchantScope) -> Result<u64, Error> {
    store
        .query::<Customers, _>(scope, move |session, table, _| {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE merchant = ? AND merged_into IS NULL AND redacted_by IS NULL"
            );
            session.one(&sql, &[scope.merchant().store()], |row| row.get(0))
        })
        .await
}

/// This customer and all who were merged into it, directly or by way of others.
pub async fn with_former(
    store: &ReadStore,
    scope: MerchantScope,
    customer: CustomerId,
) -> Result<Vec<CustomerId>, Error> {
    store
        .query::<Customers, _>(scope, move |session, table, _| {
            // Each customer once, so that a ring of merges ends too.
            let sql = format!(
                "WITH RECURSIVE one(customer) AS (
                     SELECT ? UNION
                     SELECT former.customer FROM {table} former JOIN one ON former.merged_into = one.customer
                     WHERE former.merchant = ?
                 ) SELECT customer FROM one"
            );
            session.all(&sql, &[customer.store(), scope.merchant().store()], |row| row.get(0))
        })
        .await
}
