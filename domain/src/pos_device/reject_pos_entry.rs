//! The account refused a till's entry.
use event_schemas::{Code, pos_device::PosEntryRejected};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// Records why an entry has no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectPosEntry {
    /// The till's number for it.
    pub sequence: u64,
    /// Why.
    pub code: Code,
}

pub(super) fn decide(state: &State, command: &RejectPosEntry) -> Result<Vec<Event>, Rejection> {
    if state.recent.get(&command.sequence).is_some_and(|known| known.rejected.is_some()) {
        return Ok(Vec::new());
    }
    Ok(vec![PosEntryRejected { sequence: command.sequence, code: command.code.clone() }.into()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    #[test]
    fn an_entry_is_rejected_once() {
        let (sequence, code) = (4, Code::fixed("insufficient-points"));
        let command = RejectPosEntry { sequence, code: code.clone() };
        let rejected = || Event::from(PosEntryRejected { sequence, code: code.clone() });
        given::<State>([]).when(command.clone()).then([rejected()]);
        given::<State>([rejected()]).when(command).then_unchanged();
    }
}
