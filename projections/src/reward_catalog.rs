//! What points can be exchanged for at each shop.
use event_schemas::{
    Event, MerchantId, Points, RewardId, Timestamp, Title, catalogue::RewardEvent, reward::Benefit,
};
use privacy::MerchantScope;

use crate::{
    Error, Key, Projection, ReadStore, Recorded, Unfoldable,
    column::{Column as _, Json},
    table::{Row as _, table},
};

table! {
    /// A reward.
    Reward {
        key {
            /// The shop.
            merchant: MerchantId,
            /// The reward.
            reward: RewardId,
        }
        /// Counts up by one at every change.
        version: u32,
        /// The shop's name for it.
        name: Title,
        /// What it gives.
        benefit: Json<Benefit>,
        /// What it costs.
        points: Points,
        /// Whether it can no longer be had.
        retired: bool,
        /// When it was first defined.
        defined_at: Timestamp,
        /// When it last changed.
        updated_at: Timestamp,
    }
    indexes []
}

/// The projection.
pub struct RewardCatalog;

impl Projection for RewardCatalog {
    type Row = Reward;
    type Change = ();
    const NAME: &'static str = "reward_catalog";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Reward>, ())> {
        match event.event {
            Event::Reward(_) => vec![(Reward::at(event.merchant, RewardId(event.stream)), ())],
            _ => Vec::new(),
        }
    }

    fn fold(before: Option<Reward>, event: &Recorded, (): ()) -> Result<Reward, Unfoldable> {
        match &event.event {
            Event::Reward(RewardEvent::RewardDefined(defined)) => Ok(Reward {
                merchant: event.merchant,
                reward: RewardId(event.stream),
                version: defined.version,
                name: defined.name.clone(),
                benefit: Json(defined.benefit),
                points: defined.points,
                retired: false,
                defined_at: before.map_or(event.recorded_at, |reward| reward.defined_at),
                updated_at: event.recorded_at,
            }),
            _ => {
                let reward = before.ok_or_else(|| Unfoldable::without("reward"))?;
                Ok(Reward { retired: true, updated_at: event.recorded_at, ..reward })
            }
        }
    }
}

/// The shop's rewards, newest first, at most `limit`; retired ones only if asked for.
pub async fn page(
    store: &ReadStore,
    scope: MerchantScope,
    retired_too: bool,
    before: Option<RewardId>,
    limit: u32,
) -> Result<Vec<Reward>, Error> {
    store
        .query::<RewardCatalog, _>(scope, move |session, table, columns| {
            let sql = format!(
                "SELECT {columns} FROM {table} WHERE merchant = ? AND reward < ? AND retired <= ?
                 ORDER BY reward DESC LIMIT ?"
            );
            let before = before.unwrap_or(RewardId::from_bytes([0xff; 16]));
            let values = [scope.merchant().store(), before.store(), retired_too.store(), limit.store()];
            session.all(&sql, &values, Reward::read)
        })
        .await
}
