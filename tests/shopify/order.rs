//! An order at Shopify and its lines.
use serde_json::{Value, json};

use super::{Mint, Person, Refund, at, bytes, fresh_id};
use crate::harness::Shop;

/// One line of an order.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) product: Option<u64>,
    pub(crate) price: i64,
    pub(crate) quantity: i64,
    /// What is left of the quantity after refunds and edits.
    current_quantity: i64,
    pub(crate) discount: i64,
    /// Of the whole line.
    pub(crate) tax: i64,
    pub(crate) gift_card: bool,
    tip: bool,
}

/// A line: price of one in minor units, and how many.
pub(crate) fn line(price: i64, quantity: i64) -> Line {
    let (id, product) = (fresh_id(), Some(632_910_392));
    Line {
        id,
        product,
        price,
        quantity,
        current_quantity: quantity,
        discount: 0,
        tax: 0,
        gift_card: false,
        tip: false,
    }
}

impl Line {
    pub(crate) fn discount(mut self, minor: i64) -> Self {
        self.discount = minor;
        self
    }

    pub(crate) fn tax(mut self, minor: i64) -> Self {
        self.tax = minor;
        self
    }

    pub(crate) fn product(mut self, id: u64) -> Self {
        self.product = Some(id);
        self
    }

    pub(crate) fn gift_card(mut self) -> Self {
        self.gift_card = true;
        self
    }

    pub(crate) fn tip(mut self) -> Self {
        (self.tip, self.product) = (true, None);
        self
    }

    pub(crate) fn left(mut self, quantity: i64) -> Self {
        self.current_quantity = quantity;
        self
    }

    /// Price times quantity, net of discounts.
    pub(crate) const fn subtotal(&self) -> i64 {
        self.price * self.quantity - self.discount
    }

    pub(super) fn json(&self, mint: Mint<'_>) -> Value {
        let discounts = json!([{
            "amount": mint.text(self.discount),
            "amount_set": mint.set(self.discount),
            "discount_application_index": 0,
        }]);
        let mut line = json!({
            "id": self.id,
            "admin_graphql_api_id": format!("gid://shopify/LineItem/{}", self.id),
            "current_quantity": self.current_quantity,
            "fulfillment_status": null,
            "gift_card": self.gift_card,
            "grams": 100,
            "name": "Aviator sunglasses",
            "price": mint.text(self.price),
            "price_set": mint.set(self.price),
            "product_exists": self.product.is_some(),
            "product_id": self.product,
            "properties": [],
            "quantity": self.quantity,
            "requires_shipping": true,
            "sku": "SKU2006-001",
            "taxable": true,
            "title": "Aviator sunglasses",
            // Discounts of the whole order are not in here; the allocations have them all.
            "total_discount": mint.text(0),
            "total_discount_set": mint.set(0),
            "tax_lines": if self.tax == 0 { json!([]) } else { mint.tax_lines(self.tax) },
            "discount_allocations": if self.discount == 0 { json!([]) } else { discounts },
        });
        if self.tip {
            line["tip"] = json!({"payment_gateway": "bogus", "payment_method": "visa"});
        }
        line
    }
}

/// The host of an order's status page.
#[derive(Clone, Copy)]
enum StatusHost {
    Own,
    Custom,
}

/// One version of an order.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) id: u64,
    customer: Option<Person>,
    email: Option<String>,
    phone: Option<String>,
    pub(crate) lines: Vec<Line>,
    /// Price of shipping and the tax on it.
    shipping: (i64, i64),
    pub(crate) taxes_included: bool,
    status: &'static str,
    cancelled: bool,
    test: bool,
    /// Minutes of its fulfilments, and whether they are all of it.
    fulfilled: (Vec<i64>, bool),
    /// When it was placed.
    placed_min: i64,
    pub(crate) updated_min: i64,
    refunds: Vec<Refund>,
    /// The discount codes that it used.
    codes: Vec<String>,
    /// Where its status page is, which names the shop: its own myshopify.com host, another one, or nowhere.
    status_host: Option<StatusHost>,
    note: Option<String>,
    token: String,
}

/// A new order: a guest's, pending, without lines.
pub(crate) fn order() -> Order {
    let id = fresh_id();
    Order {
        id,
        customer: None,
        email: None,
        phone: None,
        lines: Vec::new(),
        shipping: (0, 0),
        taxes_included: false,
        status: "pending",
        cancelled: false,
        test: false,
        fulfilled: (Vec::new(), false),
        placed_min: 0,
        updated_min: 0,
        refunds: Vec::new(),
        codes: Vec::new(),
        status_host: Some(StatusHost::Own),
        note: None,
        token: format!("tok{id}"),
    }
}

impl Order {
    pub(crate) fn by(mut self, person: &Person) -> Self {
        (self.customer, self.email) = (Some(person.clone()), Some(person.email.clone()));
        self
    }

    /// A guest's order: only an e-mail address is known.
    pub(crate) fn by_guest(mut self, email: &str) -> Self {
        (self.customer, self.email) = (None, Some(email.to_owned()));
        self
    }

    pub(crate) fn phone(mut self, phone: &str) -> Self {
        self.phone = Some(phone.to_owned());
        self
    }

    pub(crate) fn line(self, price: i64, quantity: i64) -> Self {
        self.with(line(price, quantity))
    }

    pub(crate) fn with(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// The same order with these lines instead, as after an edit.
    pub(crate) fn edited(mut self, lines: impl IntoIterator<Item = Line>) -> Self {
        self.lines = lines.into_iter().collect();
        self
    }

    pub(crate) fn shipping(mut self, minor: i64, tax: i64) -> Self {
        self.shipping = (minor, tax);
        self
    }

    pub(crate) fn taxes_included(mut self) -> Self {
        self.taxes_included = true;
        self
    }

    pub(crate) fn paid(self) -> Self {
        self.status("paid")
    }

    /// `financial_status` as it stands.
    pub(crate) fn status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self
    }

    pub(crate) fn test(mut self) -> Self {
        self.test = true;
        self
    }

    /// Placed, and as it was, at this minute.
    pub(crate) fn placed(mut self, minute: i64) -> Self {
        (self.placed_min, self.updated_min) = (minute, minute);
        self
    }

    /// All of it went out at this minute.
    pub(crate) fn fulfilled(mut self, minute: i64) -> Self {
        self.fulfilled.0.push(minute);
        self.fulfilled.1 = true;
        self
    }

    /// A part of it went out at this minute.
    pub(crate) fn partly_fulfilled(mut self, minute: i64) -> Self {
        self.fulfilled.0.push(minute);
        self
    }

    /// The version of this minute.
    pub(crate) fn at(mut self, minute: i64) -> Self {
        self.updated_min = minute;
        self
    }

    pub(crate) fn refunded_by(mut self, refund: &Refund) -> Self {
        self.refunds.push(refund.clone());
        self
    }

    /// A discount code that it used.
    pub(crate) fn code(mut self, code: &str) -> Self {
        self.codes.push(code.to_owned());
        self
    }

    /// The body names no shop.
    pub(crate) fn unnamed(mut self) -> Self {
        self.status_host = None;
        self
    }

    /// The status page is on a domain that the merchant brought along; only the shop's number names the shop.
    pub(crate) fn on_own_domain(mut self) -> Self {
        self.status_host = Some(StatusHost::Custom);
        self
    }

    pub(crate) fn note(mut self, text: &str, token: &str) -> Self {
        (self.note, self.token) = (Some(text.to_owned()), token.to_owned());
        self
    }

    pub(crate) const fn has_customer(&self) -> bool {
        self.customer.is_some()
    }

    fn fulfillment_status(&self) -> Option<&'static str> {
        match &self.fulfilled {
            (_, true) => Some("fulfilled"),
            (parts, false) => (!parts.is_empty()).then_some("partial"),
        }
    }

    fn fulfilment(&self, minute: i64) -> Value {
        json!({"id": self.id + 7, "order_id": self.id, "status": "success", "created_at": at(minute)})
    }

    fn subtotal(&self) -> i64 {
        self.lines.iter().map(Line::subtotal).sum()
    }

    fn tax(&self) -> i64 {
        self.lines.iter().map(|line| line.tax).sum::<i64>() + self.shipping.1
    }

    fn total(&self) -> i64 {
        self.subtotal() + self.shipping.0 + if self.taxes_included { 0 } else { self.tax() }
    }

    fn used(&self, mint: Mint<'_>, code: &str) -> Value {
        json!({"code": code, "amount": mint.text(self.lines.iter().map(|line| line.discount).sum()), "type": "fixed_amount"})
    }

    fn shipping_json(&self, mint: Mint<'_>) -> Value {
        let (price, tax) = self.shipping;
        if price == 0 {
            return json!([]);
        }
        json!([{
            "id": self.id + 1,
            "title": "Standard",
            "phone": null,
            "price": mint.text(price),
            "price_set": mint.set(price),
            "discounted_price": mint.text(price),
            "discounted_price_set": mint.set(price),
            "tax_lines": if tax == 0 { json!([]) } else { mint.tax_lines(tax) },
            "discount_allocations": [],
        }])
    }

    pub(crate) fn json(&self, shop: &Shop) -> Value {
        let mint = Mint { shop };
        let (subtotal, tax, total) = (self.subtotal(), self.tax(), self.total());
        let paid = !matches!(self.status, "pending" | "authorized" | "voided");
        let mut body = json!({
            "id": self.id,
            "admin_graphql_api_id": format!("gid://shopify/Order/{}", self.id),
            "browser_ip": "203.0.113.77",
            "cancel_reason": self.cancelled.then_some("customer"),
            "cancelled_at": self.cancelled.then(|| at(self.updated_min)),
            "checkout_token": self.token,
            "confirmed": true,
            "contact_email": self.email,
            "created_at": at(self.placed_min),
            "currency": shop.currency,
            "presentment_currency": "CAD",
            "discount_codes": self.codes.iter().map(|code| self.used(mint, code)).collect::<Vec<_>>(),
            "email": self.email,
            "financial_status": self.status,
            "fulfillment_status": self.fulfillment_status(),
            "fulfillments": self.fulfilled.0.iter().map(|minute| self.fulfilment(*minute)).collect::<Vec<_>>(),
            "name": "#9999",
            "note": self.note,
            "order_number": 1234,
            "phone": self.phone,
            "processed_at": paid.then(|| at(self.placed_min)),
            "tags": "tag1, tag2",
            "taxes_included": self.taxes_included,
            "test": self.test,
            "token": self.token,
            "total_tip_received": mint.text(0),
            "updated_at": at(self.updated_min),
            "customer": self.customer.as_ref().map(Person::json),
            "billing_address": self.customer.as_ref().map(Person::address),
            "shipping_address": self.customer.as_ref().map(Person::address),
        });
        for (name, minor) in [
            ("subtotal_price", subtotal),
            ("total_line_items_price", subtotal),
            ("total_tax", tax),
            ("total_price", total),
        ] {
            body[name] = json!(mint.text(minor));
            body[format!("{name}_set")] = mint.set(minor);
        }
        body["line_items"] = self.lines.iter().map(|line| line.json(mint)).collect();
        body["shipping_lines"] = self.shipping_json(mint);
        body["refunds"] = self.refunds.iter().map(|refund| refund.json(shop)).collect();
        if let Some(host) = self.status_host {
            let host = match host {
                StatusHost::Own => &shop.domain,
                StatusHost::Custom => "shop.example.com",
            };
            let page = format!("{}/orders/{}/authenticate?key=abcdefg", shop.number, self.token);
            body["order_status_url"] = json!(format!("https://{host}/{page}"));
        }
        body
    }

    /// Body of every `orders/*` topic.
    pub(crate) fn body(&self, shop: &Shop) -> Vec<u8> {
        bytes(&self.json(shop))
    }
}
