//! Somebody who turns out to be an erased person while their erasure is under way gets one of their own.
use domain::{
    StreamRef,
    privacy_request::{OpenRedaction, Redaction},
};
use event_schemas::{CustomerId, RequestId, privacy_request::RedactionScope};
use uuid::Uuid;

use super::{Process, Request, bugs::Bug, setback::Cause};
use crate::{planted, requests::closure};

/// The request for somebody who turned out to be the person whom this one is about.
pub(crate) fn follow_up(request: RequestId, customer: CustomerId) -> (RequestId, StreamRef) {
    let id = RequestId(Uuid::new_v5(&request.0, &customer.bytes()));
    (id, StreamRef::privacy_request(id, customer.0))
}

impl Process {
    /// Who was merged as one of the people, and is not named, is erased too. Once the streams of the people say that they
    /// are erased, whoever brings them an estate sees to that.
    pub(super) async fn follow_merges(&self, request: &Request, redaction: &Redaction) -> Result<(), Cause> {
        if redaction.requested.scope == RedactionScope::Shop || self.bugs.has(Bug::TrustsSubjects) {
            return Ok(());
        }
        let subjects = &redaction.requested.subjects;
        let people = closure(&self.parts.commander, request.merchant, subjects.iter().copied()).await?;
        for other in people.into_keys().filter(|other| !subjects.contains(other)) {
            // Who is fenced has a request of their own.
            if !self.parts.keys.is_erased(request.merchant, Some(other)).await? {
                self.open_follow_up(request, redaction, other).await?;
            }
        }
        Ok(())
    }

    async fn open_follow_up(
        &self,
        request: &Request,
        redaction: &Redaction,
        other: CustomerId,
    ) -> Result<(), Cause> {
        let (id, stream) = follow_up(request.id, other);
        let open = OpenRedaction {
            scope: RedactionScope::Customer,
            subjects: vec![other],
            source: redaction.requested.source,
            requested_at: redaction.requested.requested_at,
        };
        let opened = Request { merchant: request.merchant, id, stream };
        planted::erasure_at("follow").await;
        self.record_as(&opened, "open", open).await?;
        planted::erasure_past("follow").await;
        Ok(())
    }
}
