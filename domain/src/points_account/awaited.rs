//! Estates that a command waits for: turned away by an account that ended, it is new elsewhere until they arrived there.
use event_schemas::CustomerId;

use super::State;

/// What the accounts left that turned a command away, as far as it is still on its way.
///
/// The account that goes on knows an order, a redemption or a transfer of another one only once it took in what that one
/// left. Asked before, it would award an order anew, or know nothing of a redemption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited(Vec<CustomerId>);

impl Awaited {
    /// The account of this customer ended and turned the command away.
    pub fn expect(&mut self, from: CustomerId) {
        self.0.push(from);
    }

    /// What is still on its way behind this account; none if the command must not be sent to it yet.
    ///
    /// What an account takes in stays taken in, so it does not matter how old this answer is. An account that ended takes
    /// in nothing more: the command may ask it, and what did not arrive is awaited where that account was merged into.
    #[must_use]
    pub fn beyond(&self, account: &State) -> Option<Self> {
        let on_their_way = self.0.iter().filter(|from| !account.has_absorbed(**from)).copied();
        let left = Self(on_their_way.collect());
        (left.0.is_empty() || account.merged_into.is_some()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points_account::{
        Command,
        specs::{absorbing, customer, earn, merge, merged_into, state_after},
    };

    fn awaited(from: &[CustomerId]) -> Awaited {
        Awaited(from.to_vec())
    }

    #[test]
    fn a_command_waits_until_the_estate_of_the_account_that_turned_it_away_arrived() {
        let mut turned_away = Awaited::default();
        assert_eq!(turned_away.beyond(&State::default()), Some(Awaited::default()));
        turned_away.expect(customer());
        assert_eq!(turned_away.beyond(&State::default()), None);
        assert_eq!(turned_away.beyond(&state_after([earn(9, 1)])), None);
        let arrived = state_after([absorbing([earn(1, 10).into()])]);
        assert_eq!(turned_away.beyond(&arrived), Some(Awaited::default()));
    }

    #[test]
    fn what_an_account_never_took_in_is_awaited_where_that_account_was_merged_into() {
        let from = awaited(&[customer()]);
        let before_it_arrived = state_after([merge()]);
        assert_eq!(from.beyond(&before_it_arrived), Some(from.clone()));
        let after_it_arrived = state_after::<Command>([absorbing([earn(1, 10).into()]), merge()]);
        assert_eq!(from.beyond(&after_it_arrived), Some(Awaited::default()));
        assert_eq!(awaited(&[customer(), merged_into()]).beyond(&state_after([absorbing([])])), None);
    }
}
