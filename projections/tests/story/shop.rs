//! What happens around the customers: rewards, products, tills, and where people stand at the shop.
use event_schemas::{
    CustomerId, DeviceId, Digest, EntryId, Event, Points, RewardId,
    catalogue::{CustomerEvent, MerchantEvent, PosDeviceEvent, ProductEvent, RewardEvent},
    customer::{CustomerDeleted, CustomerDisabled, CustomerEnabled},
    merchant::{MerchantReinstalled, MerchantUninstalled, SubscriptionUpdated},
    payload::Payload as _,
    points_account::{PointsEarned, PosEntry, Source},
    pos_device::{PosBatchReceived, PosEntryAccepted, PosEntryRejected},
    product::{ProductRemoved, ProductSynced},
    reward::{RewardDefined, RewardRetired},
};
use projections::testing::Stream;
use uuid::Uuid;

use super::{Story, account::new_entry};

impl Story {
    pub(super) async fn sells_and_rewards(&mut self) {
        self.happens(vec![MerchantEvent::from(SubscriptionUpdated::sample()).into()]).await;
        self.happens(vec![MerchantEvent::from(MerchantUninstalled {}).into()]).await;
        self.happens(vec![MerchantEvent::from(MerchantReinstalled {}).into()]).await;
        let reward = Stream::reward(RewardId(Uuid::now_v7()));
        let retired = Stream::reward(RewardId(Uuid::now_v7()));
        for reward in [reward, retired] {
            self.appends(reward, RewardEvent::from(RewardDefined::sample())).await;
        }
        self.appends(retired, RewardEvent::from(RewardRetired {})).await;
        let seen = ProductSynced::sample();
        let product = Stream::product(self.merchant, &seen.product);
        self.appends(product, ProductEvent::from(seen)).await;
        self.appends(product, ProductEvent::from(ProductRemoved::sample())).await;
        let customer = self.joins().await;
        self.appends(Stream::customer(customer), CustomerEvent::from(CustomerDisabled::sample())).await;
        self.appends(Stream::customer(customer), CustomerEvent::from(CustomerEnabled::sample())).await;
        self.appends(Stream::customer(customer), CustomerEvent::from(CustomerDeleted::sample())).await;
        self.sells_at_a_till(customer).await;
    }

    /// Two entries: one earns, one is refused.
    pub(crate) async fn sells_at_a_till(&mut self, customer: CustomerId) -> DeviceId {
        let device = DeviceId(Uuid::now_v7());
        let till = Stream::pos_device(device);
        let accepted =
            PosEntryAccepted { sequence: 4, customer, points: Points(12), ..PosEntryAccepted::sample() };
        self.appends(till, PosDeviceEvent::from(PosBatchReceived::sample())).await;
        self.appends(till, PosDeviceEvent::from(accepted)).await;
        self.appends(till, PosDeviceEvent::from(PosEntryRejected::sample())).await;
        let entry: EntryId = new_entry();
        self.moves(customer, |account| {
            let repaid = account.grants(entry, 12, None);
            account.after.lifetime_earned.0 += 12;
            PointsEarned {
                entry,
                source: Source::Pos(PosEntry { device, sequence: 4 }),
                points: Points(12),
                repaid,
                rule: None,
                expires_at: None,
                content: Digest([7; 16]),
                after: account.after,
                ..PointsEarned::sample()
            }
            .into()
        })
        .await;
        device
    }

    async fn happens(&mut self, events: Vec<Event>) {
        self.history.append(self.merchant, Stream::merchant(self.merchant), events).await;
    }

    pub(crate) async fn appends(&mut self, stream: Stream, event: impl Into<Event>) {
        self.history.append(self.merchant, stream, vec![event.into()]).await;
    }
}
