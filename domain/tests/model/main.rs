//! A plain model of the whole ledger beside the real one: orders, refunds, redemptions, transfers, merges and time, told in
//! any order, and every bucket of every account is the same after each step.
#[cfg(test)]
mod calendar;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod program;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod verdict;

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::{
        prelude::*,
        test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
    };

    use super::{
        plain::{Model, Slip},
        program::{PEOPLE, Program, program},
        shop::Shop,
    };

    /// Cases in a test run; `LOYALNEST_CASES` sets another number.
    const CASES: u64 = 10_000;
    /// Enough to meet each mistake that the model can make.
    const CASES_OF_A_SLIP: u32 = 4_000;

    #[expect(clippy::disallowed_methods, reason = "who runs the tests says how many cases, and which")]
    fn of_env(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    /// Plays this many random programs on the ledger and on the model. `LOYALNEST_SEED` repeats those of another run.
    fn compared(cases: u32, slip: Slip) -> (u64, Result<(), TestError<Program>>) {
        let seed = of_env("LOYALNEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(cases));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        // Whether a mistake is found matters, not how small the case can be made.
        let config = if slip == Slip::None { config } else { Config { max_shrink_iters: 0, ..config } };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        (seed, TestRunner::new_with_rng(config, rng).run(&program(), |program| agree(&program, slip)))
    }

    fn agree(program: &Program, slip: Slip) -> Result<(), TestCaseError> {
        let (mut shop, mut model) = (Shop::new(program), Model::new(program, slip));
        let messages = program.messages();
        for (place, step) in program.steps.iter().enumerate() {
            shop.take(place, &messages, step);
            model.take(&messages, step);
            same(&shop, &model, &format!("step {place}: {step:?}"))?;
        }
        // What was held up arrives in the end.
        for message in messages {
            shop.deliver(message);
            model.deliver(message);
            same(&shop, &model, &format!("at last: {message:?}"))?;
        }
        Ok(())
    }

    fn same(shop: &Shop<'_>, model: &Model<'_>, after: &str) -> Result<(), TestCaseError> {
        for who in 0..PEOPLE {
            prop_assert_eq!(shop.buckets(who), model.buckets(who), "person {}, {}", who, after);
        }
        Ok(())
    }

    #[test]
    fn every_bucket_is_as_in_the_plain_model_after_each_step() {
        let cases = u32::try_from(of_env("LOYALNEST_CASES").unwrap_or(CASES)).unwrap();
        match compared(cases, Slip::None) {
            (_, Ok(())) => {}
            (seed, Err(TestError::Fail(why, program))) => {
                panic!("LOYALNEST_SEED={seed}: {why}\nof {program:#?}")
            }
            (seed, Err(TestError::Abort(why))) => panic!("LOYALNEST_SEED={seed}: {why}"),
        }
    }

    #[test]
    fn a_ledger_that_differs_in_one_rule_is_told_apart() {
        for slip in [
            Slip::DebtIsForgotten,
            Slip::LatestIsSpentFirst,
            Slip::EachRefundIsRounded,
            Slip::PendingIsSpared,
            Slip::EndedIsSpendable,
            Slip::CancelledTwice,
            Slip::MergeLeavesDebt,
            Slip::FrozenEarns,
            Slip::ReleaseWaitsForNobody,
            Slip::GraceIsForgotten,
        ] {
            let (seed, outcome) = compared(CASES_OF_A_SLIP, slip);
            assert!(
                matches!(outcome, Err(TestError::Fail(..))),
                "LOYALNEST_SEED={seed}: {slip:?} was not found"
            );
        }
    }
}
