//! The settings of each shop's programme, as a whole.
use event_schemas::{Event, MerchantId, Timestamp, catalogue::MerchantEvent, merchant::ProgramSettings};
use privacy::MerchantScope;

use crate::{Error, Key, Projection, ReadStore, Recorded, Unfoldable, column::Json, table::table};

table! {
    /// A shop's settings.
    Settings {
        key {
            /// The shop.
            merchant: MerchantId,
        }
        /// Counts up by one at every change.
        version: u32,
        /// All settings.
        settings: Json<ProgramSettings>,
        /// When they last changed.
        updated_at: Timestamp,
    }
    indexes []
}

/// The projection.
pub struct ProgramSettingsByShop;

impl Projection for ProgramSettingsByShop {
    type Row = Settings;
    type Change = ();
    const NAME: &'static str = "program_settings";
    const VERSION: u32 = 1;

    fn touches(event: &Recorded) -> Vec<(Key<Settings>, ())> {
        settings(event).map(|_| vec![(Settings::at(event.merchant), ())]).unwrap_or_default()
    }

    fn fold(_: Option<Settings>, event: &Recorded, (): ()) -> Result<Settings, Unfoldable> {
        let (version, settings) = settings(event).ok_or_else(|| Unfoldable::without("settings"))?;
        Ok(Settings {
            merchant: event.merchant,
            version,
            settings: Json(settings.clone()),
            updated_at: event.recorded_at,
        })
    }
}

/// The settings that the event carries, with their version.
fn settings(event: &Recorded) -> Option<(u32, &ProgramSettings)> {
    match &event.event {
        Event::Merchant(MerchantEvent::MerchantInstalled(installed)) => {
            Some((installed.settings_version, &installed.settings))
        }
        Event::Merchant(MerchantEvent::ProgramSettingsUpdated(updated)) => {
            Some((updated.version, &updated.settings))
        }
        _ => None,
    }
}

/// The shop's settings.
pub async fn find(store: &ReadStore, scope: MerchantScope) -> Result<Option<Settings>, Error> {
    store.find::<ProgramSettingsByShop>(scope, Settings::at(scope.merchant())).await
}
