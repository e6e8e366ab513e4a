//! A plain model of the whole ledger beside the real one: orders, refunds, redemptions, transfers, merges and time, told in
//! any order. Every bucket of every account is the same after each step, and no point is lost however late processes run.
#[cfg(test)]
mod calendar;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod processes;
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

    use domain::redemption::Status;

    use super::{
        plain::{Model, Slip},
        processes::{Pace, Processes},
        program::{Ending, PEOPLE, Program, REDEMPTIONS, Short, program},
        shop::Shop,
    };

    /// Cases of each comparison in a test run; `LOYALNEST_CASES` sets another number.
    const CASES: u64 = 4_000;
    /// Enough to meet each mistake that is made on purpose.
    const CASES_OF_A_MISTAKE: u64 = 16_000;

    #[expect(clippy::disallowed_methods, reason = "who runs the tests says how many cases, and which")]
    fn of_env(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    /// Plays this many random programs. `LOYALNEST_SEED` repeats those of another run.
    fn played(
        cases: u64,
        shrinking: u32,
        law: impl Fn(&Program) -> Result<(), TestCaseError>,
    ) -> (u64, Result<(), TestError<Program>>) {
        let seed = of_env("LOYALNEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(cases));
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let config = Config {
            cases: u32::try_from(cases).unwrap(),
            max_shrink_iters: shrinking,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        (seed, TestRunner::new_with_rng(config, rng).run(&program(), |program| law(&program)))
    }

    fn holds(law: impl Fn(&Program) -> Result<(), TestCaseError>) {
        let cases = of_env("LOYALNEST_CASES").unwrap_or(CASES);
        match played(cases, u32::MAX, law) {
            (_, Ok(())) => {}
            (seed, Err(TestError::Fail(why, program))) => {
                panic!("LOYALNEST_SEED={seed}: {why}\nof {program:#?}")
            }
            (seed, Err(TestError::Abort(why))) => panic!("LOYALNEST_SEED={seed}: {why}"),
        }
    }

    /// Whether a mistake is found matters, not how small the case can be made.
    fn is_told_apart(mistake: &str, law: impl Fn(&Program) -> Result<(), TestCaseError>) {
        let (seed, outcome) = played(CASES_OF_A_MISTAKE, 0, law);
        assert!(
            matches!(outcome, Err(TestError::Fail(..))),
            "LOYALNEST_SEED={seed}: {mistake} was not found"
        );
    }

    fn agree(program: &Program, slip: Slip) -> Result<(), TestCaseError> {
        let mut shop = Shop::new(program, Processes::new(Pace::AtOnce));
        let mut model = Model::new(program, slip);
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

    /// Where nothing ends and nothing is forgiven, points are what orders are worth and what was given by hand, less what
    /// was spent: whoever has them, and whenever each process got to its part.
    fn conserved(program: &Program, pace: impl Fn(u64) -> Pace) -> Result<(), TestCaseError> {
        let mut program = program.clone();
        (program.settings.ending, program.settings.short) = (Ending::Never, Short::Debt);
        let mut shop = Shop::new(&program, Processes::new(pace(program.chance)));
        // It only keeps count of what is known of the orders.
        let mut model = Model::new(&program, Slip::None);
        let messages = program.messages();
        for (place, step) in program.steps.iter().enumerate() {
            shop.take(place, &messages, step);
            model.take(&messages, step);
        }
        for message in messages {
            shop.deliver(message);
            model.deliver(message);
        }
        shop.finish();
        let mut worth = 0;
        for order in 0..program.orders.len() {
            prop_assert_eq!(shop.settled(order), model.worth(order), "order {}", order);
            worth += model.worth(order);
        }
        let (mut net, mut reserved) = (0, 0);
        for who in 0..PEOPLE {
            let all = shop.buckets(who);
            prop_assert_eq!(all.in_transit, 0, "person {}", who);
            prop_assert!(all.available == 0 || all.debt == 0, "person {} {:?}", who, all);
            prop_assert!([all.available, all.pending, all.reserved, all.debt].iter().all(|part| *part >= 0));
            let own = all.available + all.pending + all.reserved - all.debt;
            prop_assert!(own == 0 || !shop.is_merged(who), "person {} {:?}", who, all);
            (net, reserved) = (net + own, reserved + all.reserved);
        }
        let of = |wanted: Status| -> i64 {
            let all = (0..REDEMPTIONS).filter_map(|one| shop.redemption(one));
            all.filter(|(status, _)| *status == wanted).map(|(_, points)| points).sum()
        };
        prop_assert_eq!(reserved, of(Status::Requested));
        prop_assert_eq!(net, worth + shop.by_hand - of(Status::Completed));
        Ok(())
    }

    #[test]
    fn every_bucket_is_as_in_the_plain_model_after_each_step() {
        holds(|program| agree(program, Slip::None));
    }

    #[test]
    fn however_late_each_process_gets_to_its_part_no_point_is_made_or_lost() {
        holds(|program| conserved(program, Pace::Late));
    }

    /// As it was once: what an account turned away because it ended was sent on before its estate had arrived.
    #[test]
    fn a_process_that_does_not_wait_for_an_estate_is_told_apart() {
        is_told_apart("haste", |program| conserved(program, Pace::LateAndHasty));
    }

    #[test]
    fn a_ledger_that_differs_in_one_rule_is_told_apart() {
        for slip in [
            Slip::DebtIsForgotten,
            Slip::LatestIsSpentFirst,
            Slip::EachRefundIsRounded,
            Slip::MoneyAloneTakesNothing,
            Slip::PendingIsSpared,
            Slip::EndedIsSpendable,
            Slip::CancelledTwice,
            Slip::MergeLeavesDebt,
            Slip::FrozenEarns,
            Slip::ReleaseWaitsForNobody,
            Slip::GraceIsForgotten,
            Slip::GiftsEndAtOnce,
        ] {
            is_told_apart(&format!("{slip:?}"), |program| agree(program, slip));
        }
    }
}
