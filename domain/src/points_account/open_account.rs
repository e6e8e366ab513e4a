//! An account is opened, empty. Points that come first open it too.
use event_schemas::points_account::PointsAccountOpened;

use super::{Event, State};
use crate::Rejection;

/// Opens the account.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAccount {}

pub(super) fn decide(state: &State, _: &OpenAccount) -> Result<Vec<Event>, Rejection> {
    Ok(if state.opened() { Vec::new() } else { vec![PointsAccountOpened {}.into()] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    #[test]
    fn an_account_opens_once() {
        given::<State>([]).when(OpenAccount {}).then([PointsAccountOpened {}.into()]);
        given::<State>([PointsAccountOpened {}.into()]).when(OpenAccount {}).then_unchanged();
    }
}
