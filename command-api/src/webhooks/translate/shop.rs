//! shop/update, app/uninstalled and app_subscriptions/update, and how bodies name their shop.
use event_schemas::{Code, Currency, ShopDomain, TimeZone};

use super::{
    fields::{Flaw, Object, Unusable},
    plan::{NamedShop, OwnFacts, Plan, ShopFacts, Translated},
};

pub(super) fn updated(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let currency = body.field("currency").text()?;
    let currency = currency.map(|code| Currency::try_new(&code)).transpose();
    let timezone = body.field("iana_timezone").text()?;
    let timezone = timezone.map(|name| known_zone(&name).ok_or(())).transpose();
    let facts = OwnFacts {
        currency: currency.map_err(|_| body.flaw("currency", Flaw::Unknown))?,
        timezone: timezone.map_err(|()| body.flaw("iana_timezone", Flaw::Unknown))?,
        updated_at: body.field("updated_at").time()?,
    };
    Ok(Translated { named: named(body)?, plan: Plan::Shop(facts) })
}

pub(super) fn uninstalled(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    Ok(Translated { named: named(body)?, plan: Plan::Uninstall })
}

/// What the shop pays us. The body names its shop by a global id.
pub(super) fn subscription(body: &Object<'_>, _: &ShopFacts) -> Result<Translated, Unusable> {
    let body = body.field("app_subscription").required(|field| field.object())?;
    body.expect_kind("AppSubscription")?;
    let status = body.field("status").required(|field| field.text())?.to_ascii_lowercase().replace('_', "-");
    let id = body.field("admin_graphql_api_shop_id").required(|field| field.global_id("Shop"))?;
    let plan = Plan::Subscription {
        name: body.field("name").required(|field| field.title())?,
        status: Code::try_new(status).map_err(|_| body.flaw("status", Flaw::Unknown))?,
        updated_at: body.field("updated_at").required(|field| field.time())?,
    };
    Ok(Translated { named: NamedShop { domain: None, id: Some(id) }, plan })
}

fn known_zone(name: &str) -> Option<TimeZone> {
    name.parse::<chrono_tz::Tz>().ok().and_then(|_| TimeZone::try_new(name).ok())
}

fn named(body: &Object<'_>) -> Result<NamedShop, Unusable> {
    let domain = body.field("myshopify_domain").text()?;
    Ok(NamedShop {
        domain: domain.as_deref().and_then(shop_domain),
        id: Some(body.field("id").required(|f| f.id())?),
    })
}

/// The shop that an order's status page belongs to: `https://<host>/<shop id>/orders/…`. A host of the merchant's own
/// names no domain, but the path still has Shopify's id.
pub(super) fn from_status_url(url: Option<&str>) -> NamedShop {
    let Some(rest) = url.and_then(|url| url.strip_prefix("https://")) else { return NamedShop::default() };
    let mut parts = rest.split(['/', '?', '#']);
    let domain = parts.next().and_then(shop_domain);
    let id = parts.next().and_then(|segment| segment.parse::<u64>().ok()).map(|id| id.to_string());
    NamedShop { domain, id }
}

pub(super) fn shop_domain(host: &str) -> Option<ShopDomain> {
    ShopDomain::try_new(host.to_ascii_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_page_names_its_shop_only_by_a_myshopify_host_or_a_numeric_id() {
        for (url, domain, id) in [
            (
                "https://Demo.myshopify.com/548380009/orders/1/authenticate",
                Some("demo.myshopify.com"),
                Some("548380009"),
            ),
            ("https://shop.example.com/548380009/orders/1", None, Some("548380009")),
            ("https://demo.myshopify.com", Some("demo.myshopify.com"), None),
            ("https://demo.myshopify.com.example.com/x/orders/1", None, None),
            ("https://a@demo.myshopify.com/7/orders/1", None, Some("7")),
            ("http://demo.myshopify.com/7/orders", None, None),
            ("", None, None),
        ] {
            let named = from_status_url(Some(url));
            assert_eq!(named.domain.as_ref().map(ShopDomain::as_str), domain, "{url}");
            assert_eq!(named.id.as_deref(), id, "{url}");
        }
    }
}
