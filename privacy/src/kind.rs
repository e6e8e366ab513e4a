//! The kinds of outside references that the directory knows, one line each.
use std::borrow::Cow;

/// What an outside reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Shopify's order id.
    Order = 1,
    /// Shopify's refund id.
    Refund = 2,
    /// Shopify's customer id.
    ShopifyCustomer = 3,
    /// An e-mail address as a customer gave it.
    Email = 4,
    /// An e-mail address that Shopify says is verified.
    VerifiedEmail = 5,
    /// The e-mail address on an order without a customer; its ids are orders.
    GuestEmail = 6,
    /// A redemption's own id; its row says whose it is.
    Redemption = 7,
    /// A shop's myshopify.com domain.
    ShopDomain = 8,
    /// Shopify's numeric shop id.
    ShopId = 9,
    /// A discount code of ours; its id is the redemption that it was issued for.
    DiscountCode = 10,
    /// A phone number. It is only ever hashed: nobody is looked up by it.
    Phone = 11,
}

/// How a kind's rows behave. Without any of these: one id per reference and merchant, text as it is, only its hash kept.
#[derive(Clone, Copy)]
struct Rules {
    name: &'static str,
    many: bool,
    global: bool,
    revealed: bool,
    folded: bool,
    buried: bool,
}

const fn kind(name: &'static str) -> Rules {
    Rules { name, many: false, global: false, revealed: false, folded: false, buried: false }
}

impl Rules {
    /// A reference may have several ids.
    const fn many(self) -> Self {
        Self { many: true, ..self }
    }
    /// One row over all merchants.
    const fn global(self) -> Self {
        Self { global: true, ..self }
    }
    /// The reference is kept sealed beside its hash.
    const fn revealed(self) -> Self {
        Self { revealed: true, ..self }
    }
    /// A tombstone stays when it is erased, so that nothing late brings it back.
    const fn buried(self) -> Self {
        Self { buried: true, ..self }
    }
    /// Spaces around it and upper case do not matter.
    const fn folded(self) -> Self {
        Self { folded: true, ..self }
    }
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Order,
        Self::Refund,
        Self::ShopifyCustomer,
        Self::Email,
        Self::VerifiedEmail,
        Self::GuestEmail,
        Self::Redemption,
        Self::ShopDomain,
        Self::ShopId,
        Self::DiscountCode,
        Self::Phone,
    ];

    const fn rules(self) -> Rules {
        match self {
            Self::Order => kind("order").revealed().buried(),
            Self::Refund => kind("refund").revealed().buried(),
            Self::ShopifyCustomer => kind("shopify-customer").revealed().buried(),
            Self::Email => kind("email").many().folded(),
            Self::VerifiedEmail => kind("verified-email").many().folded(),
            Self::GuestEmail => kind("guest-email").many().folded(),
            Self::Redemption => kind("redemption"),
            Self::ShopDomain => kind("shop-domain").global().folded(),
            Self::ShopId => kind("shop-id").global(),
            Self::DiscountCode => kind("discount-code").folded(),
            Self::Phone => kind("phone").folded(),
        }
    }

    /// The kind's name, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// Its number in the directory.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    pub(crate) const fn leaves_a_tombstone(self) -> bool {
        self.rules().buried
    }

    pub(crate) const fn has_many_ids(self) -> bool {
        self.rules().many
    }

    pub(crate) const fn is_global(self) -> bool {
        self.rules().global
    }

    pub(crate) const fn is_revealed(self) -> bool {
        self.rules().revealed
    }

    /// The one spelling of a reference that is hashed.
    #[must_use]
    pub fn normalised(self, reference: &str) -> Cow<'_, str> {
        if self.rules().folded { reference.trim().to_lowercase().into() } else { reference.into() }
    }
}
