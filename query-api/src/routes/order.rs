//! GET /v1/api/orders/{shopify_order_id}: where an order stands and why.
use std::sync::Arc;

use axum::{Json, extract::State};
use event_schemas::{
    OrderId,
    loyalty_order::{Assessment, BonusTarget},
    points_account::Release,
};
use http_edge::{Merchant, Path, Problem, ProblemBody, Query};
use privacy::{Kind, MerchantScope};
use projections::orders::{self, Order};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Reads,
    answers::{MoneyBody, time},
    documented::{Fresh, Problems},
    failure::{of_keys, of_store},
    opened::TextBody,
};

/// An order.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderBody {
    /// In a list, redacted once its customer is erased.
    shopify_order_id: TextBody,
    #[schema(format = Uuid)]
    order_id: String,
    /// `waiting`, `qualified`, `disqualified`, `cancelled` or `refunded`.
    status: &'static str,
    /// Why, where the status alone does not say it, such as `unpaid`, `guest` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// One sentence: why these points, or why none.
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Uuid)]
    customer_id: Option<String>,
    /// What of the order earns, before refunds.
    eligible_amount: MoneyBody,
    /// What of that was refunded.
    refunded_amount: MoneyBody,
    /// Points that the order is worth now, bonuses included.
    points_target: i64,
    /// What of them bonuses add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bonuses: Vec<BonusBody>,
    /// All points that it ever gave.
    points_granted: i64,
    /// All points that were taken back after they could be spent.
    points_clawed_back: i64,
    /// All points that were taken back before they could be spent.
    points_voided: i64,
    /// What its points wait for: `fulfilment`, or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<String>,
    /// Points per major unit, a decimal text.
    points_per_unit: String,
    /// Version of the settings that the rate and the eligible amount come from.
    settings_version: u32,
    /// `unpaid`, `paid`, `voided` or `cancelled`; absent while only refunds of the order are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<MoneyBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    paid_at: Option<String>,
    /// When it was fulfilled wholly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    fulfilled_at: Option<String>,
    /// When the shop last changed the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

/// What a bonus adds.
#[derive(Serialize, ToSchema)]
pub(crate) struct BonusBody {
    /// The bonus, as the settings name it.
    rule: String,
    /// What the rate is multiplied with, a decimal text.
    multiplier: String,
    /// What of the order earns it, less refunds.
    eligible_amount: MoneyBody,
    /// Points that it is worth now.
    points_target: i64,
}

impl From<&BonusTarget> for BonusBody {
    fn from(bonus: &BonusTarget) -> Self {
        Self {
            rule: bonus.rule.to_string(),
            multiplier: bonus.multiplier.to_string(),
            eligible_amount: bonus.eligible.into(),
            points_target: bonus.target.0,
        }
    }
}

/// All components together; their sum was checked when they were settled.
fn target(verdict: &Assessment) -> i64 {
    verdict.bonuses.iter().fold(verdict.target.0, |sum, bonus| sum.saturating_add(bonus.target.0))
}

/// What pending points wait for.
pub(crate) fn released(release: Release) -> String {
    match release {
        Release::AwaitingFulfilment => "fulfilment".to_owned(),
        Release::At(at) => time(at),
    }
}

/// Where an order stands, what it earned and what was taken back.
#[utoipa::path(
    get,
    path = "/v1/api/orders/{shopify_order_id}",
    operation_id = "order",
    tag = "orders",
    params(("shopify_order_id" = String, Path, description = "Shopify's order id"), Fresh),
    security(("merchant" = [])),
    responses(
        (status = 200, body = OrderBody),
        Problems,
        (status = 404, description = "order-not-found", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn order(
    State(reads): State<Arc<Reads>>,
    Merchant(scope): Merchant,
    Path(shopify_order_id): Path<String>,
    Query(params): Query<Fresh>,
) -> Result<Json<OrderBody>, Problem> {
    let not_found = || Problem::not_found("order-not-found", "There is no such order");
    let entry = reads.keys.find(scope.merchant(), Kind::Order, &shopify_order_id).await;
    let entry = entry.map_err(|error| of_keys(&error))?.ok_or_else(not_found)?;
    reads.fresh(reads.partition_of(scope, entry.id), params.min_position.as_deref()).await?;
    let order = settled(&reads, scope, OrderId(entry.id)).await?.ok_or_else(not_found)?;
    OrderBody::new(shopify_order_id.into(), &order).map(Json).ok_or_else(not_found)
}

/// The order after its customer's account had its moment too: the two live in different partitions.
async fn settled(reads: &Reads, scope: MerchantScope, id: OrderId) -> Result<Option<Order>, Problem> {
    let order = orders::find(&reads.store, scope, id).await.map_err(|error| of_store(&error))?;
    let Some(customer) = order.as_ref().and_then(|order| order.customer) else {
        return Ok(order);
    };
    reads.settle(reads.partition_of(scope, customer.0)).await?;
    orders::find(&reads.store, scope, id).await.map_err(|error| of_store(&error))
}

impl OrderBody {
    /// Nothing while there is no verdict on the order.
    pub(crate) fn new(shopify_order_id: TextBody, order: &Order) -> Option<Self> {
        let verdict = &order.assessment.as_ref()?.0;
        Some(Self {
            shopify_order_id,
            order_id: order.order_id.to_string(),
            status: verdict.status.as_str(),
            reason: verdict.reason.as_ref().map(ToString::to_string),
            why: order.why()?,
            customer_id: order.customer.map(|customer| customer.to_string()),
            eligible_amount: verdict.eligible.into(),
            refunded_amount: verdict.refunded.into(),
            points_target: target(verdict),
            bonuses: verdict.bonuses.iter().map(BonusBody::from).collect(),
            points_granted: order.granted.0,
            points_clawed_back: order.clawed_back.0,
            points_voided: order.voided.0,
            released: verdict.release.map(released),
            points_per_unit: verdict.rate.to_string(),
            settings_version: verdict.rule_version,
            stage: order.stage.map(|stage| stage.as_str()),
            test: order.test,
            total: order.total.as_ref().map(|total| total.0.into()),
            paid_at: order.paid_at.map(time),
            fulfilled_at: order.fulfilled_at.map(time),
            updated_at: order.shop_updated_at.map(time),
        })
    }
}
