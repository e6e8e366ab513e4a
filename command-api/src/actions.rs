//! What an action earns by a shop's settings, and in which period of the shop's calendar it counts.
use event_schemas::{
    Code, Points, Timestamp,
    merchant::{ActionLimit, LimitPeriod},
};

use crate::shops::Shop;

/// The action of whoever joins.
pub(crate) const SIGN_UP: &str = "sign-up";

/// What an action earns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Award {
    pub(crate) points: Points,
    pub(crate) limit: ActionLimit,
    pub(crate) period: Code,
}

/// What the action earns at that time; none if the programme awards nothing for it.
pub(crate) fn award(shop: &Shop, action: &Code, at: Timestamp) -> Option<Award> {
    let set = shop.settings.actions.get(action).filter(|set| set.points.is_positive())?;
    let zone: chrono_tz::Tz = shop.timezone.as_str().parse().ok()?;
    let format = match set.limit.per {
        LimitPeriod::Day => "%Y-%m-%d",
        LimitPeriod::Month => "%Y-%m",
        LimitPeriod::Year => "%Y",
        LimitPeriod::Lifetime => "lifetime",
    };
    let period = at.utc().with_timezone(&zone).format(format).to_string();
    Some(Award { points: set.points, limit: set.limit, period: Code::try_new(period).ok()? })
}
