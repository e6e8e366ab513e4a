//! Requests about people's data that were kept and never reached the log: whoever asked was told that it failed, or told
//! nothing. After a day they go, with what finds the people in the inbox; who asks again is asked for anew.
use domain::Aggregate;
use event_schemas::{StreamType, Timestamp};

use super::{DAY_US, Error, Upkeep};
use crate::requests;

impl Upkeep {
    pub(crate) async fn forget_unasked(&self, now: Timestamp) -> Result<(), Error> {
        let before = now.micros().saturating_sub(DAY_US);
        for kept in self.work.read(move |work| requests::unasked(work, before)).await? {
            let empty = Aggregate::new(StreamType::PrivacyRequest);
            let is_asked = self.commander.read(kept.merchant, kept.stream(), move |state| *state != empty);
            if is_asked.await? {
                continue;
            }
            let (request, merchant) = (kept.request, kept.merchant);
            if self.work.run(move |work| requests::remove_unasked(work, &kept, before)).await? {
                tracing::warn!(
                    request.id = %request, merchant.id = %merchant,
                    "A request about somebody's data never reached the log, and is forgotten"
                );
            }
        }
        Ok(())
    }
}
