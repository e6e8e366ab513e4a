//! Why a step could not be done now: a stable code for people, and the cause for the log.
use std::fmt;

use event_schemas::{Code, privacy_request::RedactionStep};

use super::ports::PortError;
use crate::{commands::Unavailable, webhooks::purge};

/// That something opens which must not.
const OPENS: &str = "ciphertext-opens";

/// A step that is tried again.
#[derive(Debug)]
pub(super) struct Setback {
    pub(super) step: RedactionStep,
    pub(super) reason: Code,
    pub(super) source: PortError,
}

/// A cause with the code that people see.
pub(super) struct Cause {
    reason: Code,
    source: PortError,
}

impl Cause {
    pub(super) fn new(reason: &'static str, source: impl Into<PortError>) -> Self {
        Self { reason: Code::fixed(reason), source: source.into() }
    }

    /// Something of those who are erased opens.
    pub(super) fn opening(source: impl Into<PortError>) -> Self {
        Self::new(OPENS, source)
    }

    /// Whether it is that.
    pub(super) fn opens(&self) -> bool {
        self.reason.as_str() == OPENS
    }

    /// The same for another one who waits.
    pub(super) fn told(&self) -> Self {
        Self { reason: self.reason.clone(), source: self.source.to_string().into() }
    }

    pub(super) fn at(self, step: RedactionStep) -> Setback {
        Setback { step, reason: self.reason, source: self.source }
    }
}

impl Setback {
    /// Whether something of those who are erased opens.
    pub(super) fn opens(&self) -> bool {
        self.reason.as_str() == OPENS
    }
}

impl From<privacy::Error> for Cause {
    fn from(error: privacy::Error) -> Self {
        let reason = match &error {
            privacy::Error::Unavailable(_) => "key-store-unavailable",
            privacy::Error::Damaged { .. } => "key-store-damaged",
            _ => "key-store-refuses",
        };
        Self::new(reason, error)
    }
}

impl From<Unavailable> for Cause {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(unavailable.code(), unavailable)
    }
}

impl From<group_commit::Fault> for Cause {
    fn from(fault: group_commit::Fault) -> Self {
        Self::new("store-unavailable", fault)
    }
}

impl From<purge::Error> for Cause {
    fn from(error: purge::Error) -> Self {
        match error {
            purge::Error::Store(fault) => fault.into(),
            purge::Error::Keys(error) => error.into(),
        }
    }
}

impl From<event_log::Error> for Cause {
    fn from(error: event_log::Error) -> Self {
        Self::new("log-unreadable", error)
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the step {} has to wait: {}", self.step.as_str(), self.reason)
    }
}

impl std::error::Error for Setback {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
