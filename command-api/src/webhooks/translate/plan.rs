//! What a payload asks for, in our terms and before anything was looked up.
use std::fmt;

use domain::{
    loyalty_order::{Line, Shipping},
    product::SyncProduct,
};
use event_schemas::{
    Code, Currency, Money, ProductId, ShopDomain, TimeZone, Timestamp, Title,
    loyalty_order::{OrderStage, RefundLine, TransactionKind},
};

/// A text that leads to a person: an outside id, an address, a name. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Private(pub String);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private")
    }
}

/// What is known of the shop that a delivery came for.
#[derive(Clone, Debug)]
pub struct ShopFacts {
    /// Its myshopify.com domain.
    pub domain: ShopDomain,
    /// The currency that its amounts must have.
    pub currency: Currency,
}

/// A payload, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// The shop that the body itself names: headers are not signed.
    pub named: NamedShop,
    /// What it asks for.
    pub plan: Plan,
}

/// The shop that a body names; either part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedShop {
    /// Its myshopify.com domain.
    pub domain: Option<ShopDomain>,
    /// Shopify's numeric id of the shop.
    pub id: Option<String>,
}

/// What a body asks for that names no shop.
pub(super) fn unnamed(plan: Plan) -> Translated {
    Translated { named: NamedShop::default(), plan }
}

/// What a payload asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// A state of an order.
    Order(Order),
    /// One refund of an order.
    Refund {
        /// Shopify's order id.
        order: Private,
        /// The refund.
        refund: Refund,
    },
    /// A customer as Shopify sees them now.
    Customer {
        /// Who.
        person: Person,
        /// As of when.
        updated_at: Timestamp,
    },
    /// Money moved, or was given up, at an order.
    Transaction {
        /// Shopify's order id.
        order: Private,
        /// The transaction.
        transaction: Transaction,
    },
    /// The order was deleted.
    OrderDeleted {
        /// Shopify's order id.
        order: Private,
    },
    /// A customer's account at the shop was switched on or off.
    CustomerState {
        /// Who.
        person: Person,
        /// As of when.
        updated_at: Timestamp,
        /// Whether they can sign in now.
        enabled: bool,
    },
    /// The customer's profile was deleted. Their points stay.
    CustomerDeleted {
        /// Shopify's customer id.
        customer: Private,
    },
    /// Two customers became one.
    CustomersMerged {
        /// Shopify's id of the one who stays.
        kept: Private,
        /// Shopify's id of the one who is gone.
        gone: Private,
    },
    /// The shop's own facts.
    Shop(OwnFacts),
    /// What the shop pays us.
    Subscription {
        /// Name of the plan.
        name: Title,
        /// Where it stands, such as `active`.
        status: Code,
        /// As of when.
        updated_at: Timestamp,
    },
    /// The shop removed the app.
    Uninstall,
    /// A product as Shopify sees it now.
    Product(SyncProduct),
    /// The product was deleted.
    ProductDeleted {
        /// Which.
        product: ProductId,
    },
    /// A person is to be forgotten.
    Redact(DataSubject),
    /// A person asks what is held of them.
    Export(DataSubject),
    /// The shop is to be forgotten, with everybody in it.
    RedactShop,
    /// The body changes nothing by itself.
    Nothing {
        /// Why, in kebab-case.
        reason: &'static str,
    },
}

/// A person as a request about their data names them: by an id or an address at least.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataSubject {
    /// Shopify's customer id.
    pub customer: Option<Private>,
    /// E-mail address.
    pub email: Option<Private>,
    /// Phone number.
    pub phone: Option<Private>,
    /// Shopify's ids of the orders that the request names.
    pub orders: Vec<Private>,
}

/// What a shop says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnFacts {
    /// Its currency, if the body says it.
    pub currency: Option<Currency>,
    /// Its time zone, if the body says it.
    pub timezone: Option<TimeZone>,
    /// As of when, if the body says it.
    pub updated_at: Option<Timestamp>,
}

/// Money that moved, or was given up, at an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Shopify's transaction id.
    pub reference: Private,
    /// What it did.
    pub kind: TransactionKind,
    /// How much.
    pub amount: Money,
    /// When.
    pub at: Timestamp,
}

/// A state of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Shopify's order id.
    pub reference: Private,
    /// As of when.
    pub updated_at: Timestamp,
    /// When it was placed.
    pub ordered_at: Timestamp,
    /// When it was paid, if it is.
    pub paid_at: Option<Timestamp>,
    /// When the last of it was fulfilled, if all of it is.
    pub fulfilled_at: Option<Timestamp>,
    /// How far it has come.
    pub stage: OrderStage,
    /// Whether it is a test order.
    pub test: bool,
    /// Who ordered.
    pub buyer: Buyer,
    /// Whether prices contain tax.
    pub taxes_included: bool,
    /// Its lines, net of discounts.
    pub lines: Vec<Line>,
    /// Shipping, net of discounts.
    pub shipping: Shipping,
    /// What it cost in all.
    pub total: Money,
    /// The discount codes that it used, ours or not.
    pub codes: Vec<Private>,
    /// Refunds that the body embeds.
    pub refunds: Vec<Refund>,
}

/// Who ordered.
#[derive(Clone, Debug, PartialEq)]
pub enum Buyer {
    /// A known customer.
    Customer(Person),
    /// Nobody that Shopify has a customer for, perhaps with an address.
    Guest {
        /// E-mail address.
        email: Option<Private>,
    },
}

/// A customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Shopify's customer id.
    pub reference: Private,
    /// E-mail address.
    pub email: Option<Private>,
    /// Whether Shopify has verified it.
    pub email_verified: bool,
    /// First name.
    pub first_name: Option<Private>,
    /// Last name.
    pub last_name: Option<Private>,
    /// Phone number.
    pub phone: Option<Private>,
}

/// A refund.
#[derive(Clone, Debug, PartialEq)]
pub struct Refund {
    /// Shopify's refund id.
    pub reference: Private,
    /// When it was made.
    pub refunded_at: Timestamp,
    /// The lines it gives back.
    pub lines: Vec<RefundLine>,
    /// The shipping it gives back.
    pub shipping: Shipping,
    /// Whether all of it was paid out as store credit.
    pub store_credit: bool,
    /// What was paid out beyond lines and shipping; below zero if less than they come to was.
    pub beyond: Beyond,
}

/// An amount of either sign, and its tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Contains the tax if the order's prices do.
    pub minor: i64,
    /// The tax, with the same sign.
    pub tax_minor: i64,
}
