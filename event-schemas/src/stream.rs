//! Where each stream lives: its id, what routes it, and whose key seals its personal fields.
use uuid::Uuid;

use crate::{
    CustomerId, DeviceId, MerchantId, OrderId, ProductId, RedemptionId, RequestId, RewardId, StreamType,
};

/// A stream of one merchant, with the id that decides its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamRef {
    /// Type of the stream.
    pub stream_type: StreamType,
    /// The stream's id.
    pub id: Uuid,
    /// What routes it; all zeros for reference data in partition 0.
    pub route: Uuid,
}

impl StreamRef {
    /// The stream of a shop.
    #[must_use]
    pub const fn merchant(merchant: MerchantId) -> Self {
        Self { stream_type: StreamType::Merchant, id: merchant.0, route: Uuid::nil() }
    }

    /// The stream of a person.
    #[must_use]
    pub const fn customer(customer: CustomerId) -> Self {
        Self { stream_type: StreamType::Customer, id: customer.0, route: customer.0 }
    }

    /// The stream of a person's points account.
    #[must_use]
    pub const fn account(customer: CustomerId) -> Self {
        Self { stream_type: StreamType::PointsAccount, id: customer.0, route: customer.0 }
    }

    /// The stream of an order.
    #[must_use]
    pub const fn order(order: OrderId) -> Self {
        Self { stream_type: StreamType::LoyaltyOrder, id: order.0, route: order.0 }
    }

    /// The stream of a redemption, beside its customer's account.
    #[must_use]
    pub const fn redemption(redemption: RedemptionId, customer: CustomerId) -> Self {
        Self { stream_type: StreamType::Redemption, id: redemption.0, route: customer.0 }
    }

    /// The stream of a reward, beside its shop.
    #[must_use]
    pub const fn reward(reward: RewardId) -> Self {
        Self { stream_type: StreamType::Reward, id: reward.0, route: Uuid::nil() }
    }

    /// The stream of a product, beside its shop. Its id follows from Shopify's.
    #[must_use]
    pub fn product(merchant: MerchantId, product: &ProductId) -> Self {
        let id = Uuid::new_v5(&merchant.0, product.as_str().as_bytes());
        Self { stream_type: StreamType::Product, id, route: Uuid::nil() }
    }

    /// The stream of a till.
    #[must_use]
    pub const fn pos_device(device: DeviceId) -> Self {
        Self { stream_type: StreamType::PosDevice, id: device.0, route: device.0 }
    }

    /// The stream of a request about somebody's data, beside whom it is about: the one who lives on of a person's
    /// customers, the shop, or the request itself if nothing is held of them.
    #[must_use]
    pub const fn privacy_request(request: RequestId, route: Uuid) -> Self {
        Self { stream_type: StreamType::PrivacyRequest, id: request.0, route }
    }

    /// The person under whose key the stream's personal fields are sealed, if it may have any.
    #[must_use]
    pub const fn subject(self) -> Option<CustomerId> {
        match self.stream_type {
            StreamType::Customer | StreamType::PointsAccount | StreamType::Redemption => {
                Some(CustomerId(self.route))
            }
            StreamType::Merchant
            | StreamType::LoyaltyOrder
            | StreamType::Reward
            | StreamType::Product
            | StreamType::PosDevice
            | StreamType::PrivacyRequest => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_streams_of_a_person_have_a_subject() {
        assert_eq!(StreamRef::account(sample::CUSTOMER).subject(), Some(sample::CUSTOMER));
        let redemption = StreamRef::redemption(sample::REDEMPTION, sample::CUSTOMER);
        assert_eq!(redemption.subject(), Some(sample::CUSTOMER));
        assert_eq!(StreamRef::order(sample::ORDER).subject(), None);
    }
}
