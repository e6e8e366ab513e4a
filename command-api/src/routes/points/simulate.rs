//! POST /v1/api/points/simulate: what a cart would earn if it were paid now, and why. Nothing is kept.
use axum::{Json, extract::State};
use domain::{
    Decider as _, Rejection,
    loyalty_order::{self, Line, ObserveOrder, Shipping},
};
use event_schemas::{
    Code, CustomerId, Event, Money, Points, ProductId, Timestamp,
    loyalty_order::{Assessment, EarnRule, OrderStage},
    points_account::Release,
};
use http_edge::{Body, Merchant, Problem, ProblemBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{app::App, problem::rejected, shops::Shop};

const PATH: &str = "/v1/api/points/simulate";
const LINES_MAX: usize = 1_000;

/// A cart. Amounts are decimal text in the shop's currency.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cart {
    /// 1 to 1000 lines.
    line_items: Vec<CartLine>,
    /// What shipping costs, less discounts.
    shipping: Option<String>,
    /// A tip.
    tip: Option<String>,
    /// Whether prices contain tax.
    #[serde(default)]
    taxes_included: bool,
}

/// One line of a cart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CartLine {
    /// Shopify's product id as digits.
    product_id: Option<String>,
    /// Price of one.
    price: String,
    /// How many, above zero.
    quantity: u32,
    /// All discounts on the line.
    total_discount: Option<String>,
    /// All tax on the line.
    tax: Option<String>,
    /// Whether it is a gift card.
    #[serde(default)]
    gift_card: bool,
}

/// What a cart would earn.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Simulated {
    /// All points, bonuses among them.
    #[schema(value_type = i64)]
    points: Points,
    /// What of the cart earns.
    #[schema(value_type = Object)]
    eligible_amount: Amount,
    /// Points per major unit of the shop's currency.
    points_per_unit: String,
    /// Version of the settings.
    rule_version: u32,
    /// What bonuses add, each with its own part of the cart.
    bonuses: Vec<BonusEarned>,
    /// What the points would wait for: `fulfilment`, or a time; nothing if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
    /// Why nothing is earned, if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Each line in the order given.
    lines: Vec<LineEarned>,
}

/// What a bonus adds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BonusEarned {
    /// The bonus.
    id: String,
    multiplier: String,
    #[schema(value_type = Object)]
    eligible_amount: Amount,
    #[schema(value_type = i64)]
    points: Points,
}

/// What a line brings in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineEarned {
    /// What of it earns.
    #[schema(value_type = Object)]
    eligible_amount: Amount,
    /// Why it earns nothing: `gift-card`, `product-excluded`, `tag-excluded` or `costs-nothing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Amount {
    amount: String,
    currency: &'static str,
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { amount: money.amount(), currency: money.currency.code() }
    }
}

/// Tell what a cart would earn.
#[utoipa::path(
    post, path = PATH, tag = "points", request_body = Cart,
    responses((status = 200, body = Simulated), (status = 422, body = ProblemBody))
)]
pub(crate) async fn simulate(
    State(app): State<App>,
    Merchant(scope): Merchant,
    Body(cart, _): Body<Cart>,
) -> Result<Json<Simulated>, Problem> {
    let shop = app.shop(scope.merchant())?;
    if cart.line_items.is_empty() || cart.line_items.len() > LINES_MAX {
        return Err(Problem::invalid_field("/line_items", "expected 1 to 1000 lines"));
    }
    let numbered = cart.line_items.iter().enumerate();
    let lines = numbered.map(|(number, line)| read_line(&app, &shop, number, line));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let order = Order { shop: &shop, taxes_included: cart.taxes_included, now: app.clock.now() };
    let extras = Extras {
        shipping: order.minor("/shipping", cart.shipping.as_deref())?,
        tip: order.minor("/tip", cart.tip.as_deref())?,
    };
    let whole = order.assess(lines.clone(), extras)?;
    let each = lines.into_iter().map(|line| {
        let reason = why_not(&shop.rule, &line);
        let alone = order.assess(vec![line], Extras::default())?;
        Ok(LineEarned { eligible_amount: alone.eligible.into(), reason })
    });
    let lines = each.collect::<Result<Vec<_>, Problem>>()?;
    answer(&whole, lines).map(Json)
}

fn answer(whole: &Assessment, lines: Vec<LineEarned>) -> Result<Simulated, Problem> {
    let all = whole.bonuses.iter().map(|bonus| bonus.target).chain([whole.target]);
    Ok(Simulated {
        points: Points::sum(all).map_err(|overflow| rejected(&overflow.into()))?,
        eligible_amount: whole.eligible.into(),
        points_per_unit: whole.rate.to_string(),
        rule_version: whole.rule_version,
        bonuses: whole.bonuses.iter().map(BonusEarned::from).collect(),
        release: whole.release.map(|release| match release {
            Release::AwaitingFulfilment => "fulfilment".to_owned(),
            Release::At(time) => time.to_string(),
        }),
        reason: whole.reason.as_ref().map(Code::to_string),
        lines,
    })
}

impl From<&event_schemas::loyalty_order::BonusTarget> for BonusEarned {
    fn from(bonus: &event_schemas::loyalty_order::BonusTarget) -> Self {
        Self {
            id: bonus.rule.to_string(),
            multiplier: bonus.multiplier.to_string(),
            eligible_amount: bonus.eligible.into(),
            points: bonus.target,
        }
    }
}

/// What stands beside the lines, in minor units.
#[derive(Clone, Copy, Default)]
struct Extras {
    shipping: i64,
    tip: i64,
}

/// The order that the cart would be.
struct Order<'a> {
    shop: &'a Shop,
    taxes_included: bool,
    now: Timestamp,
}

impl Order<'_> {
    fn minor(&self, pointer: &str, text: Option<&str>) -> Result<i64, Problem> {
        text.map_or(Ok(0), |text| amount(self.shop, pointer, text))
    }

    /// What the rules for real orders make of it.
    fn assess(&self, mut lines: Vec<Line>, extras: Extras) -> Result<Assessment, Problem> {
        let total = lines.iter().try_fold(extras.shipping, |sum, line| sum.checked_add(line.subtotal_minor));
        let total = total.and_then(|sum| sum.checked_add(extras.tip));
        let minor = total.ok_or_else(|| rejected(&Rejection::AmountOverflow))?;
        if extras.tip > 0 {
            lines.push(Line { tip: true, ..line(extras.tip) });
        }
        let observe = ObserveOrder {
            updated_at: self.now,
            ordered_at: self.now,
            paid_at: Some(self.now),
            fulfilled_at: None,
            stage: OrderStage::Paid,
            test: false,
            // Only whether there is one matters.
            customer: Some(CustomerId(Uuid::nil())),
            taxes_included: self.taxes_included,
            lines,
            shipping: Shipping { minor: extras.shipping, tax_minor: 0 },
            total: Money { minor, currency: self.shop.currency },
            codes_used: Vec::new(),
            refunds: Vec::new(),
            rule: self.shop.rule.clone(),
        };
        let events = loyalty_order::State::default().decide(&observe.into());
        let events = events.map_err(|rejection| rejected(&rejection))?;
        let verdict = events.into_iter().map(Event::from).find_map(|event| match event {
            Event::LoyaltyOrder(event) => event.assessment().cloned(),
            _ => None,
        });
        verdict.ok_or_else(|| Problem::internal(&NoVerdict))
    }
}

const fn line(subtotal_minor: i64) -> Line {
    Line { product_id: None, gift_card: false, tip: false, tags: Vec::new(), subtotal_minor, tax_minor: 0 }
}

fn read_line(app: &App, shop: &Shop, number: usize, given: &CartLine) -> Result<Line, Problem> {
    let at = |field: &str| format!("/line_items/{number}/{field}");
    let optional = |field: &str, text: &Option<String>| match text {
        Some(text) => amount(shop, &at(field), text),
        None => Ok(0),
    };
    if given.quantity == 0 {
        return Err(Problem::invalid_field(at("quantity"), "expected at least one"));
    }
    let product_id = given.product_id.as_deref().map(ProductId::try_new).transpose();
    let product_id =
        product_id.map_err(|expected| Problem::invalid_field(at("product_id"), expected.to_string()))?;
    let price = amount(shop, &at("price"), &given.price)?;
    let discount = optional("total_discount", &given.total_discount)?;
    let full = price.checked_mul(given.quantity.into());
    let full = full.ok_or_else(|| Problem::invalid_field(at("quantity"), "the line costs too much"))?;
    if discount > full {
        return Err(Problem::invalid_field(at("total_discount"), "expected at most what the line costs"));
    }
    let product = product_id.as_ref().and_then(|product| app.shops.product(shop.merchant, product));
    Ok(Line {
        gift_card: given.gift_card,
        tags: product.map(|product| product.tags.to_vec()).unwrap_or_default(),
        product_id,
        tax_minor: optional("tax", &given.tax)?,
        ..line(full - discount)
    })
}

/// A decimal text of at least zero in the shop's currency, in minor units.
fn amount(shop: &Shop, pointer: &str, text: &str) -> Result<i64, Problem> {
    let money = Money::parse(text, shop.currency)
        .map_err(|invalid| Problem::invalid_field(pointer, invalid.to_string()))?;
    if money.minor < 0 {
        return Err(Problem::invalid_field(pointer, "expected an amount of at least zero"));
    }
    Ok(money.minor)
}

/// Why a line earns nothing whatever it costs.
fn why_not(rule: &EarnRule, line: &Line) -> Option<&'static str> {
    let is_excluded = |product: &ProductId| rule.excluded_product_ids.contains(product);
    if line.gift_card && !rule.include_gift_cards {
        Some("gift-card")
    } else if line.product_id.as_ref().is_some_and(is_excluded) {
        Some("product-excluded")
    } else if line.tags.iter().any(|tag| rule.excluded_tags.iter().any(|other| tag.is_same(other))) {
        Some("tag-excluded")
    } else if line.subtotal_minor == 0 {
        Some("costs-nothing")
    } else {
        None
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an order was observed without a verdict")]
struct NoVerdict;
