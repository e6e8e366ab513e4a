//! A programme's settings change as a whole. What contradicts itself is refused, never accepted and ignored.
use event_schemas::{
    Points, Rate,
    merchant::{Bonus, Pending, PendingPolicy, ProgramSettings, ProgramSettingsUpdated},
};
use serde::{Deserialize, Serialize};

use super::{Event, State};
use crate::Rejection;

/// The rule of an order's own entries.
const PURCHASE: &str = "purchase";
const PENDING_DAYS_MAX: u32 = 365;
const EXPIRY_MONTHS_MAX: u32 = 120;
const GRACE_DAYS_MAX: u32 = 3_650;
/// Each order keeps a copy of those that hold for it.
const BONUSES_MAX: usize = 50;
const ACTIONS_MAX: usize = 100;
/// Products or tags in one list. Each order keeps a copy of them too; a tag names any number of products.
const NAMES_MAX: usize = 1_000;
const PROCESSING_MAX: u64 = 1_000_000;

/// Sets all settings of a programme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateProgramSettings {
    /// The settings from now on.
    pub settings: ProgramSettings,
    /// The version that they were made of; any, if there is none.
    pub based_on: Option<u32>,
}

pub(super) fn decide(state: &State, command: &UpdateProgramSettings) -> Result<Vec<Event>, Rejection> {
    state.shop()?;
    check(&command.settings)?;
    if *state.settings() == command.settings {
        return Ok(Vec::new());
    }
    if command.based_on.is_some_and(|version| version != state.settings_version()) {
        return Err(Rejection::SettingsChanged);
    }
    let updated =
        ProgramSettingsUpdated { version: state.settings_version() + 1, settings: command.settings.clone() };
    Ok(vec![updated.into()])
}

/// Whether the settings are in range and do not contradict themselves.
///
/// # Errors
/// `InvalidSetting` with a JSON pointer to the first setting at fault.
pub fn check(settings: &ProgramSettings) -> Result<(), Rejection> {
    let at_fault = number_at_fault(settings)
        .or_else(|| list_at_fault(settings))
        .or_else(|| bonus_at_fault(&settings.earn.bonuses))
        .or_else(|| action_at_fault(settings));
    match at_fault {
        Some((pointer, expected)) => Err(Rejection::InvalidSetting { pointer, expected }),
        None => Ok(()),
    }
}

/// A JSON pointer, and what was expected there.
type AtFault = (String, String);

fn number_at_fault(settings: &ProgramSettings) -> Option<AtFault> {
    let Pending { policy, days } = settings.earn.pending;
    let counts_days = matches!(policy, PendingPolicy::DaysAfterPaid | PendingPolicy::DaysAfterFulfilled);
    if days > 0 && !counts_days {
        let expected = format!("expected 0, because {} counts no days", policy.as_str());
        return Some(("/earn/pending/days".to_owned(), expected));
    }
    let (redeem, processing) = (&settings.redeem, &settings.processing);
    let points_max = i64::MAX.unsigned_abs();
    let numbers = [
        ("/earn/pending/days", days.into(), 0, PENDING_DAYS_MAX.into()),
        ("/expiry/months", settings.expiry.months.into(), 1, EXPIRY_MONTHS_MAX.into()),
        ("/redeem/points_per_unit", redeem.points_per_unit, 1, points_max),
        ("/redeem/min_points", redeem.min_points, 1, points_max),
        ("/redeem/reinstate_grace_days", redeem.reinstate_grace_days.into(), 0, GRACE_DAYS_MAX.into()),
        ("/processing/per_second", processing.per_second.into(), 1, PROCESSING_MAX),
        ("/processing/burst", processing.burst.into(), 1, PROCESSING_MAX),
    ];
    let at_fault = numbers.into_iter().find(|(_, number, least, most)| !(least..=most).contains(&number));
    at_fault.map(|(pointer, _, least, most)| (pointer.to_owned(), format!("expected {least} to {most}")))
}

fn list_at_fault(settings: &ProgramSettings) -> Option<AtFault> {
    let earn = &settings.earn;
    let lists = [
        ("/earn/bonuses", earn.bonuses.len(), BONUSES_MAX),
        ("/earn/excluded_product_ids", earn.excluded_product_ids.len(), NAMES_MAX),
        ("/earn/excluded_tags", earn.excluded_tags.len(), NAMES_MAX),
        ("/actions", settings.actions.len(), ACTIONS_MAX),
    ];
    let too_long = lists.into_iter().find(|(_, length, most)| length > most);
    too_long.map(|(pointer, _, most)| (pointer.to_owned(), format!("expected at most {most}")))
}

/// A bonus's name is the rule of its entries, so it must be its own, and not the purchase's.
fn bonus_at_fault(bonuses: &[Bonus]) -> Option<AtFault> {
    bonuses.iter().enumerate().find_map(|(place, bonus)| {
        let taken = bonuses[..place].iter().any(|other| other.id == bonus.id);
        let ends_first = matches!((bonus.starts_at, bonus.ends_at), (Some(start), Some(end)) if start >= end);
        let at_fault = [
            (
                "id",
                taken || bonus.id.as_str() == PURCHASE,
                "expected a name that no other bonus has, nor the purchase",
            ),
            ("multiplier", bonus.multiplier <= Rate::ONE, "expected more than 1"),
            ("ends_at", ends_first, "expected a time after starts_at"),
            ("product_ids", bonus.product_ids.len() > NAMES_MAX, "expected at most 1000"),
            ("tags", bonus.tags.len() > NAMES_MAX, "expected at most 1000"),
        ];
        let (field, _, expected) = at_fault.into_iter().find(|(_, at_fault, _)| *at_fault)?;
        Some((format!("/earn/bonuses/{place}/{field}"), expected.to_owned()))
    })
}

fn action_at_fault(settings: &ProgramSettings) -> Option<AtFault> {
    settings.actions.iter().find_map(|(name, action)| {
        let at_fault = [
            ("points", action.points < Points::ZERO, "expected 0 or more"),
            ("limit/count", action.limit.count == 0, "expected 1 or more"),
        ];
        let (field, _, expected) = at_fault.into_iter().find(|(_, at_fault, _)| *at_fault)?;
        Some((format!("/actions/{name}/{field}"), expected.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code, ProductId,
        merchant::{Action, Expiry, ExpiryMode, MerchantInstalled, WhenShort},
        payload::Payload,
    };

    use super::*;
    use crate::testing::given;

    fn settings(change: impl FnOnce(&mut ProgramSettings)) -> ProgramSettings {
        let mut settings = ProgramSettings::default();
        change(&mut settings);
        settings
    }

    fn when(settings: ProgramSettings) -> crate::testing::When<State> {
        given([MerchantInstalled::sample().into()]).when(UpdateProgramSettings { settings, based_on: None })
    }

    #[test]
    fn a_change_is_recorded_under_the_next_version() {
        let settings = settings(|all| all.earn.points_per_unit = Rate::ZERO);
        when(settings.clone()).then([ProgramSettingsUpdated { version: 2, settings }.into()]);
    }

    #[test]
    fn the_same_settings_change_nothing() {
        when(ProgramSettings::default()).then_unchanged();
    }

    /// Where the settings are at fault; what was expected is told too.
    fn pointer_of(settings: &ProgramSettings) -> String {
        match check(settings) {
            Err(Rejection::InvalidSetting { pointer, expected }) if expected.starts_with("expected ") => {
                pointer
            }
            other => panic!("{other:?}"),
        }
    }

    fn bonus(id: &'static str, multiplier: &str) -> Bonus {
        Bonus {
            id: Code::fixed(id),
            multiplier: multiplier.parse().unwrap(),
            starts_at: None,
            ends_at: None,
            product_ids: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn pending(policy: PendingPolicy, days: u32) -> ProgramSettings {
        settings(|all| all.earn.pending = Pending { policy, days })
    }

    #[test]
    fn every_setting_of_the_contract_is_supported() {
        for settings in [
            pending(PendingPolicy::DaysAfterPaid, 14),
            pending(PendingPolicy::OnFulfilled, 0),
            pending(PendingPolicy::DaysAfterFulfilled, 365),
            settings(|all| all.refund.when_short = WhenShort::WithinBalance),
            settings(|all| all.refund.when_short = WhenShort::OnlyPending),
            settings(|all| all.expiry.mode = ExpiryMode::PerLot),
            settings(|all| all.expiry = Expiry { mode: ExpiryMode::Inactivity, months: 120 }),
            settings(|all| all.redeem.reinstate_grace_days = 0),
            settings(|all| all.earn.bonuses = vec![bonus("double", "2"), bonus("triple", "3")]),
        ] {
            when(settings.clone()).then([ProgramSettingsUpdated { version: 2, settings }.into()]);
        }
    }

    #[test]
    fn settings_that_contradict_themselves_are_refused_with_a_pointer() {
        let now = Some(event_schemas::Timestamp::EPOCH);
        let never = Bonus { starts_at: now, ends_at: now, ..bonus("never", "2") };
        let products = |count| vec![ProductId::try_new("7").unwrap(); count];
        let many = Bonus { product_ids: products(1_001), ..bonus("many", "2") };
        for (pointer, settings) in [
            ("/earn/pending/days", pending(PendingPolicy::Immediate, 1)),
            ("/earn/pending/days", pending(PendingPolicy::OnFulfilled, 1)),
            ("/earn/pending/days", pending(PendingPolicy::DaysAfterPaid, 366)),
            ("/earn/bonuses/1/id", settings(|all| all.earn.bonuses = vec![bonus("a", "2"), bonus("a", "3")])),
            ("/earn/bonuses/0/id", settings(|all| all.earn.bonuses = vec![bonus("purchase", "2")])),
            ("/earn/bonuses/0/multiplier", settings(|all| all.earn.bonuses = vec![bonus("a", "1")])),
            ("/earn/bonuses/0/ends_at", settings(|all| all.earn.bonuses = vec![never])),
            ("/earn/bonuses", settings(|all| all.earn.bonuses = vec![bonus("a", "2"); 51])),
            ("/earn/excluded_product_ids", settings(|all| all.earn.excluded_product_ids = products(1_001))),
            ("/earn/bonuses/0/product_ids", settings(|all| all.earn.bonuses = vec![many.clone()])),
            ("/actions/birthday/limit/count", action(|birthday| birthday.limit.count = 0)),
            ("/actions/birthday/points", action(|birthday| birthday.points = Points(-1))),
        ] {
            assert_eq!(pointer_of(&settings), pointer);
        }
    }

    fn action(change: impl FnOnce(&mut Action)) -> ProgramSettings {
        settings(|all| change(all.actions.get_mut(&Code::fixed("birthday")).unwrap()))
    }

    #[test]
    fn values_out_of_range_are_refused_with_a_pointer() {
        for (pointer, settings) in [
            ("/expiry/months", settings(|all| all.expiry.months = 0)),
            ("/expiry/months", settings(|all| all.expiry.months = 121)),
            ("/redeem/reinstate_grace_days", settings(|all| all.redeem.reinstate_grace_days = 3_651)),
            ("/redeem/points_per_unit", settings(|all| all.redeem.points_per_unit = 0)),
            ("/redeem/points_per_unit", settings(|all| all.redeem.points_per_unit = u64::MAX)),
            ("/redeem/min_points", settings(|all| all.redeem.min_points = 0)),
            ("/processing/per_second", settings(|all| all.processing.per_second = 1_000_001)),
            ("/processing/burst", settings(|all| all.processing.burst = 0)),
        ] {
            assert_eq!(pointer_of(&settings), pointer);
        }
    }

    #[test]
    fn settings_at_fault_are_refused_with_what_was_expected() {
        let (pointer, expected) = ("/expiry/months".to_owned(), "expected 1 to 120".to_owned());
        when(settings(|all| all.expiry.months = 0))
            .then_rejected(Rejection::InvalidSetting { pointer, expected });
    }

    #[test]
    fn a_shop_that_never_joined_has_no_settings() {
        given::<State>([])
            .when(UpdateProgramSettings { settings: ProgramSettings::default(), based_on: None })
            .then_rejected(Rejection::UnknownMerchant);
    }

    /// Catches: settings that two callers made of the same version, where the later ones undo the earlier ones.
    #[test]
    fn settings_that_were_made_of_another_version_are_refused_unless_nothing_would_change() {
        let installed = || Event::from(MerchantInstalled::sample());
        let mut settings = ProgramSettings::default();
        settings.redeem.min_points += 1;
        let update = |based_on| UpdateProgramSettings { settings: settings.clone(), based_on };
        let updated = |version| Event::from(ProgramSettingsUpdated { version, settings: settings.clone() });
        let now = crate::testing::fold::<State>([installed()]).settings_version();
        given::<State>([installed()]).when(update(Some(now + 1))).then_rejected(Rejection::SettingsChanged);
        given::<State>([installed()]).when(update(Some(now))).then([updated(now + 1)]);
        given::<State>([installed(), updated(now + 1)]).when(update(Some(now))).then_unchanged();
    }
}
