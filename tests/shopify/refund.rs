//! A refund at Shopify.
use serde_json::{Value, json};

use super::{Line, Mint, Order, at, bytes, fresh_id};
use crate::harness::Shop;

/// One refund of an order.
#[derive(Clone)]
pub(crate) struct Refund {
    pub(crate) id: u64,
    pub(crate) order_id: u64,
    /// The line, how many of it, and what came back for them: subtotal and tax.
    lines: Vec<(Line, i64, i64, i64)>,
    /// Shipping and the tax on it.
    shipping: (i64, i64),
    /// Money beyond lines and shipping; below zero, what of them was held back.
    beyond: i64,
    minute: i64,
    note: Option<String>,
}

/// A refund of this order, of nothing yet.
pub(crate) fn refund(order: &Order) -> Refund {
    Refund {
        id: fresh_id(),
        order_id: order.id,
        lines: Vec::new(),
        shipping: (0, 0),
        beyond: 0,
        minute: 60,
        note: None,
    }
}

impl Refund {
    /// All of this line.
    pub(crate) fn whole(self, line: &Line) -> Self {
        self.part(line, line.quantity, line.subtotal(), line.tax)
    }

    /// So many of this line for so much.
    pub(crate) fn part(mut self, line: &Line, quantity: i64, subtotal: i64, tax: i64) -> Self {
        self.lines.push((line.clone(), quantity, subtotal, tax));
        self
    }

    pub(crate) fn shipping(mut self, minor: i64, tax: i64) -> Self {
        self.shipping = (minor, tax);
        self
    }

    /// So much money that is for no line.
    pub(crate) fn beyond(mut self, minor: i64) -> Self {
        self.beyond = minor;
        self
    }

    pub(crate) fn note(mut self, note: &str) -> Self {
        self.note = Some(note.to_owned());
        self
    }

    /// Body of an element of an order's `refunds`, too.
    pub(crate) fn json(&self, shop: &Shop) -> Value {
        let mint = Mint { shop };
        let item = |(line, quantity, subtotal, tax): &(Line, i64, i64, i64)| {
            json!({
                "id": line.id + 1,
                "quantity": quantity,
                "line_item_id": line.id,
                "restock_type": "no_restock",
                "subtotal": mint.number(*subtotal),
                "subtotal_set": mint.set(*subtotal),
                "total_tax": mint.number(*tax),
                "total_tax_set": mint.set(*tax),
                "line_item": line.json(mint),
            })
        };
        json!({
            "id": self.id,
            "admin_graphql_api_id": format!("gid://shopify/Refund/{}", self.id),
            "order_id": self.order_id,
            "created_at": at(self.minute),
            "processed_at": at(self.minute),
            "note": self.note,
            "restock": false,
            "return": null,
            "duties": [],
            "refund_line_items": self.lines.iter().map(item).collect::<Vec<_>>(),
            "refund_shipping_lines": [],
            "order_adjustments": self.adjustments(mint),
            "transactions": [],
        })
    }

    /// Shipping, and money that is for no line, come back as adjustments of the order, with their sign turned.
    fn adjustments(&self, mint: Mint<'_>) -> Value {
        let adjustment = |(kind, reason, minor, tax): (&str, &str, i64, i64)| {
            json!({
                "id": self.id + 1,
                "order_id": self.order_id,
                "refund_id": self.id,
                "kind": kind,
                "reason": reason,
                "amount": mint.text(-minor),
                "amount_set": mint.set(-minor),
                "tax_amount": mint.text(-tax),
                "tax_amount_set": mint.set(-tax),
            })
        };
        let told = [
            ("shipping_refund", "Shipping refund", self.shipping.0, self.shipping.1),
            ("refund_discrepancy", "Refund discrepancy", self.beyond, 0),
        ];
        told.into_iter().filter(|(_, _, minor, _)| *minor != 0).map(adjustment).collect()
    }

    /// Body of `refunds/create`.
    pub(crate) fn body(&self, shop: &Shop) -> Vec<u8> {
        bytes(&self.json(shop))
    }
}
