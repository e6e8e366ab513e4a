//! Requests about people's data: recorded in the log, which a process over the log then carries out. The delivery stays
//! until the record is admitted, and its body goes with its end.
use event_schemas::{RequestId, privacy_request::RequestSource};
use uuid::Uuid;

use super::{Run, Setback};
use crate::{
    commands::{Answered, Lane, Origin, Outcome},
    requests::{Asking, Named, NotTaken, Taken},
    webhooks::translate::DataSubject,
};

impl Run<'_> {
    /// A person is to be forgotten.
    pub(super) async fn redact(&mut self, subject: DataSubject) -> Result<(), Setback> {
        let taken = self.executor.requests.redact(&self.asking("redact"), &named(subject)).await?;
        self.recorded(taken)
    }

    /// The shop is to be forgotten.
    pub(super) async fn redact_shop(&mut self) -> Result<(), Setback> {
        let taken = self.executor.requests.redact_shop(&self.asking("redact-shop")).await?;
        self.recorded(taken)
    }

    /// A person asks what is held of them.
    pub(super) async fn export(&mut self, subject: DataSubject) -> Result<(), Setback> {
        let taken = self.executor.requests.export(&self.asking("export"), &named(subject)).await?;
        self.recorded(taken)
    }

    /// The same at every try and every drive of this delivery, so that one that comes again is the same request.
    fn asking(&self, step: &str) -> Asking {
        let delivery = self.delivery;
        let (correlation, trace) = (delivery.correlation, delivery.trace);
        let origin = Origin { actor: self.actor(), correlation, trace, causation: None };
        Asking {
            merchant: delivery.merchant,
            request: RequestId(Uuid::new_v5(&delivery.row, b"privacy-request")),
            source: RequestSource::Shopify,
            key: self.key(step),
            origin,
            // Nothing bulky waits for it, and a deadline runs.
            lane: Lane::Interactive,
            at: delivery.received_at,
            call: None,
        }
    }

    fn recorded(&mut self, Taken { answered, .. }: Taken) -> Result<(), Setback> {
        let Answered { outcome, at, .. } = answered;
        (self.last, self.forget) = (Some(at), true);
        match outcome {
            Outcome::Accepted | Outcome::Unchanged => Ok(()),
            Outcome::Rejected(rejection) => Err(Setback::Never(rejection.code().to_owned())),
        }
    }
}

fn named(subject: DataSubject) -> Named {
    let DataSubject { customer, email, phone, orders } = subject;
    Named { customer: None, shopify: customer, email, phone, orders }
}

impl From<NotTaken> for Setback {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Ambiguous => Self::Never("email-ambiguous".to_owned()),
            NotTaken::Command(error) => error.into(),
            NotTaken::Keys(error) => error.into(),
            // A delivery has no key of this kind.
            error @ NotTaken::KeyReused => Self::Fault(Box::new(error)),
            NotTaken::Work(error) => error.into(),
        }
    }
}
