//! The laws of the ledger as properties over random histories, numbered as in the domain paper.
//!
//! Not here: referrals (16), because nothing of the kind exists yet. That an adjustment has an actor and a reason (13)
//! is a matter of types.
#[cfg(test)]
mod account;
#[cfg(test)]
mod order;
#[cfg(test)]
mod redemption;
#[cfg(test)]
mod verdict;

/// Enough cases to find what was planted, few enough to run at every change.
#[cfg(test)]
fn cases() -> proptest::test_runner::Config {
    proptest::test_runner::Config { cases: 512, failure_persistence: None, ..Default::default() }
}
