//! The programme's settings changed.
use crate::{merchant::ProgramSettings, payload};

payload! {
    /// The programme's settings as a whole after a change.
    ProgramSettingsUpdated {
        /// Counts up by one at every change.
        version: u32,
        /// All settings.
        settings: ProgramSettings,
    }
    sample: Self { version: 2, settings: ProgramSettings::default() },
    upcast: payload::with_defaults
}
