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

/// Sets all settings of a programme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateProgramSettings {
    /// The settings from now on.
    pub settings: ProgramSettings,
}

pub(super) fn decide(state: &State, command: &UpdateProgramSettings) -> Result<Vec<Event>, Rejection> {
    state.shop()?;
    check(&command.settings)?;
    if *state.settings() == command.settings {
        return Ok(Vec::new());
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
    let processing = 1..=1_000_000;
    let points = 1..=i64::MAX.unsigned_abs();
    let Pending { policy, days } = settings.earn.pending;
    let counts_days = matches!(policy, PendingPolicy::DaysAfterPaid | PendingPolicy::DaysAfterFulfilled);
    let at_fault = [
        ("/earn/pending/days", days > PENDING_DAYS_MAX || (days > 0 && !counts_days)),
        ("/expiry/months", !(1..=EXPIRY_MONTHS_MAX).contains(&settings.expiry.months)),
        ("/redeem/points_per_unit", !points.contains(&settings.redeem.points_per_unit)),
        ("/redeem/min_points", !points.contains(&settings.redeem.min_points)),
        ("/redeem/reinstate_grace_days", settings.redeem.reinstate_grace_days > GRACE_DAYS_MAX),
        ("/processing/per_second", !processing.contains(&settings.processing.per_second)),
        ("/processing/burst", !processing.contains(&settings.processing.burst)),
        ("/earn/bonuses", settings.earn.bonuses.len() > BONUSES_MAX),
        ("/actions", settings.actions.len() > ACTIONS_MAX),
    ];
    let at_fault =
        at_fault.into_iter().find(|(_, at_fault)| *at_fault).map(|(pointer, _)| pointer.to_owned());
    match at_fault.or_else(|| bonus_at_fault(&settings.earn.bonuses)).or_else(|| action_at_fault(settings)) {
        Some(pointer) => Err(Rejection::InvalidSetting { pointer }),
        None => Ok(()),
    }
}

/// A bonus's name is the rule of its entries, so it must be its own, and not the purchase's.
fn bonus_at_fault(bonuses: &[Bonus]) -> Option<String> {
    bonuses.iter().enumerate().find_map(|(place, bonus)| {
        let taken = bonuses[..place].iter().any(|other| other.id == bonus.id);
        let ends_first = matches!((bonus.starts_at, bonus.ends_at), (Some(start), Some(end)) if start >= end);
        let at_fault = [
            ("id", taken || bonus.id.as_str() == PURCHASE),
            ("multiplier", bonus.multiplier <= Rate::ONE),
            ("ends_at", ends_first),
        ];
        let (field, _) = at_fault.into_iter().find(|(_, at_fault)| *at_fault)?;
        Some(format!("/earn/bonuses/{place}/{field}"))
    })
}

fn action_at_fault(settings: &ProgramSettings) -> Option<String> {
    settings.actions.iter().find_map(|(name, action)| {
        let at_fault = [("points", action.points < Points::ZERO), ("limit/count", action.limit.count == 0)];
        let (field, _) = at_fault.into_iter().find(|(_, at_fault)| *at_fault)?;
        Some(format!("/actions/{name}/{field}"))
    })
}

#[cfg(test)]
mod tests {
    use event_schemas::{
        Code,
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
        given([MerchantInstalled::sample().into()]).when(UpdateProgramSettings { settings })
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
        for (pointer, settings) in [
            ("/earn/pending/days", pending(PendingPolicy::Immediate, 1)),
            ("/earn/pending/days", pending(PendingPolicy::OnFulfilled, 1)),
            ("/earn/pending/days", pending(PendingPolicy::DaysAfterPaid, 366)),
            ("/earn/bonuses/1/id", settings(|all| all.earn.bonuses = vec![bonus("a", "2"), bonus("a", "3")])),
            ("/earn/bonuses/0/id", settings(|all| all.earn.bonuses = vec![bonus("purchase", "2")])),
            ("/earn/bonuses/0/multiplier", settings(|all| all.earn.bonuses = vec![bonus("a", "1")])),
            ("/earn/bonuses/0/ends_at", settings(|all| all.earn.bonuses = vec![never])),
            ("/earn/bonuses", settings(|all| all.earn.bonuses = vec![bonus("a", "2"); 51])),
            ("/actions/birthday/limit/count", action(|birthday| birthday.limit.count = 0)),
            ("/actions/birthday/points", action(|birthday| birthday.points = Points(-1))),
        ] {
            when(settings).then_rejected(Rejection::InvalidSetting { pointer: pointer.to_owned() });
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
            when(settings).then_rejected(Rejection::InvalidSetting { pointer: pointer.to_owned() });
        }
    }

    #[test]
    fn a_shop_that_never_joined_has_no_settings() {
        given::<State>([])
            .when(UpdateProgramSettings { settings: ProgramSettings::default() })
            .then_rejected(Rejection::UnknownMerchant);
    }
}
