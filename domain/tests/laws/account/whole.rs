//! Law 14: what is kept of a state is the state.
use domain::{Decider as _, points_account::State, testing::fold};
use proptest::prelude::*;

use super::over_histories;

/// Catches: a state that forgets part of itself when it is packed; an index that is not built again; a field that a
/// reader without names cannot find.
#[test]
fn law_14_a_snapshot_and_the_rest_give_the_same_state_as_all_events() {
    over_histories(|world| {
        for (on, end) in world.accounts.iter().enumerate() {
            let events: Vec<_> = world.events(on).cloned().collect();
            let cut = events.len() / 2;
            let half = fold::<State>(events[..cut].to_vec());
            let bytes = postcard::to_stdvec(&half).unwrap();
            let text = serde_json::to_string(&half).unwrap();
            for mut state in
                [postcard::from_bytes::<State>(&bytes).unwrap(), serde_json::from_str(&text).unwrap()]
            {
                prop_assert_eq!(&state, &half);
                events[cut..].iter().for_each(|event| state.evolve(event));
                prop_assert_eq!(&state, end);
            }
        }
        Ok(())
    });
}
