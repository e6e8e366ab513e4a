//! A programme's settings change as a whole. What has no rules yet is refused, never accepted and ignored.
use event_schemas::merchant::{
    ExpiryMode, PendingPolicy, ProgramSettings, ProgramSettingsUpdated, WhenShort,
};

use super::{Event, State};
use crate::Rejection;

/// Sets all settings of a programme.
#[derive(Clone, Debug, PartialEq)]
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

/// Whether the rules know what to do with these settings.
///
/// # Errors
/// `UnsupportedSetting` or `InvalidSetting` with a JSON pointer to the first setting at fault.
pub fn check(settings: &ProgramSettings) -> Result<(), Rejection> {
    let unsupported = [
        ("/earn/pending/policy", settings.earn.pending.policy != PendingPolicy::Immediate),
        ("/refund/when_short", settings.refund.when_short != WhenShort::Unlimited),
        ("/expiry/mode", settings.expiry.mode != ExpiryMode::None),
    ];
    let range = 1..=1_000_000;
    let points = 1..=i64::MAX.unsigned_abs();
    let invalid = [
        ("/expiry/months", settings.expiry.months == 0),
        ("/redeem/points_per_unit", !points.contains(&settings.redeem.points_per_unit)),
        ("/redeem/min_points", !points.contains(&settings.redeem.min_points)),
        ("/processing/per_second", !range.contains(&settings.processing.per_second)),
        ("/processing/burst", !range.contains(&settings.processing.burst)),
    ];
    if let Some((pointer, _)) = unsupported.into_iter().find(|(_, at_fault)| *at_fault) {
        return Err(Rejection::UnsupportedSetting { pointer: pointer.to_owned() });
    }
    if let Some((pointer, _)) = invalid.into_iter().find(|(_, at_fault)| *at_fault) {
        return Err(Rejection::InvalidSetting { pointer: pointer.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use event_schemas::{Rate, merchant::MerchantInstalled, payload::Payload};

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

    #[test]
    fn settings_without_rules_are_refused_with_a_pointer() {
        for (pointer, settings) in [
            ("/earn/pending/policy", settings(|all| all.earn.pending.policy = PendingPolicy::OnFulfilled)),
            ("/refund/when_short", settings(|all| all.refund.when_short = WhenShort::OnlyPending)),
            ("/expiry/mode", settings(|all| all.expiry.mode = ExpiryMode::PerLot)),
        ] {
            when(settings).then_rejected(Rejection::UnsupportedSetting { pointer: pointer.to_owned() });
        }
    }

    #[test]
    fn values_out_of_range_are_refused_with_a_pointer() {
        for (pointer, settings) in [
            ("/expiry/months", settings(|all| all.expiry.months = 0)),
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
