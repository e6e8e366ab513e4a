//! Requests about people's data, and what they come to.
use event_schemas::{
    CustomerId, RequestId,
    catalogue::{CustomerEvent, MerchantEvent, PointsAccountEvent, PrivacyRequestEvent},
    customer::CustomerRedacted,
    merchant::ShopRedacted,
    payload::Payload as _,
    points_account::PointsAccountRedacted,
    privacy_request::{
        DataExportDelivered, DataExportPrepared, DataRequestReceived, PrivacyRecordExpired, ReadModelsPurged,
        RedactionCompleted, RedactionFailed, RedactionFenced, RedactionFinalized, RedactionRequested,
        RedactionScope, RedactionVerified, SubjectKeyDestroyed,
    },
};
use projections::testing::Stream;
use uuid::Uuid;

use super::Story;

impl Story {
    /// A person, by all their customers, is erased: from the request to both certificates.
    pub(crate) async fn is_erased(&mut self, customers: &[CustomerId]) -> RequestId {
        let subjects = customers.to_vec();
        let requested = RedactionRequested { subjects, ..RedactionRequested::sample() };
        let stream = self.begins(requested, customers[0].0).await;
        let request = RequestId(stream.id);
        for customer in customers {
            self.appends(Stream::customer(*customer), CustomerEvent::from(CustomerRedacted { request }))
                .await;
            let redacted = PointsAccountRedacted { request };
            self.appends(Stream::account(*customer), PointsAccountEvent::from(redacted)).await;
        }
        self.ends(stream).await;
        request
    }

    /// The shop is erased, with everybody in it.
    pub(crate) async fn is_closed(&mut self) -> RequestId {
        let (scope, subjects) = (RedactionScope::Shop, Vec::new());
        let requested = RedactionRequested { scope, subjects, ..RedactionRequested::sample() };
        let stream = self.begins(requested, self.merchant.0).await;
        let request = RequestId(stream.id);
        let shop = Stream::merchant(self.merchant);
        self.appends(shop, MerchantEvent::from(ShopRedacted { request })).await;
        self.ends(stream).await;
        request
    }

    /// A person gets what is held of them.
    pub(crate) async fn asks_for_an_export(&mut self, customer: CustomerId) -> RequestId {
        let stream = Stream::privacy_request(RequestId(Uuid::now_v7()), customer.0);
        for event in [
            PrivacyRequestEvent::from(DataRequestReceived::sample()),
            DataExportPrepared::sample().into(),
            DataExportDelivered::sample().into(),
        ] {
            self.appends(stream, event).await;
        }
        RequestId(stream.id)
    }

    /// The request is no longer shown.
    pub(crate) async fn expires_record(&mut self, request: RequestId, route: Uuid) {
        let stream = Stream::privacy_request(request, route);
        self.appends(stream, PrivacyRequestEvent::from(PrivacyRecordExpired {})).await;
    }

    async fn begins(&mut self, requested: RedactionRequested, route: Uuid) -> Stream {
        let stream = Stream::privacy_request(RequestId(Uuid::now_v7()), route);
        for event in [
            PrivacyRequestEvent::from(requested),
            RedactionFenced::sample().into(),
            SubjectKeyDestroyed::sample().into(),
            RedactionFailed::sample().into(),
        ] {
            self.appends(stream, event).await;
        }
        stream
    }

    async fn ends(&mut self, stream: Stream) {
        for event in [
            PrivacyRequestEvent::from(ReadModelsPurged::sample()),
            RedactionVerified::sample().into(),
            RedactionCompleted::sample().into(),
            RedactionFinalized::sample().into(),
        ] {
            self.appends(stream, event).await;
        }
    }
}
