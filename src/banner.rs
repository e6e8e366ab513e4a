//! What a person reads at start: at most fifteen lines.
use std::fmt::Write as _;

use crate::{demo::Seeded, settings::Settings};

/// What there is to say.
pub(crate) struct Banner<'a> {
    /// The settings in force.
    pub(crate) settings: &'a Settings,
    /// Such as `http://127.0.0.1:8080`.
    pub(crate) url: &'a str,
    /// The port asked for, if another one had to be taken.
    pub(crate) busy_port: Option<u16>,
    /// What this start seeded.
    pub(crate) seeded: Option<&'a Seeded>,
    /// Shops there are.
    pub(crate) shops: usize,
    /// The example's token and customer, if the demo shops are there.
    pub(crate) example: Option<(&'a str, &'a str)>,
}

impl Banner<'_> {
    /// The lines.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).unwrap_or_else(|_| unreachable!("writing to a String cannot fail"));
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { settings, url, .. } = self;
        writeln!(out, "LoyalNest {} is ready at {url}", env!("CARGO_PKG_VERSION"))?;
        if let Some(port) = self.busy_port {
            writeln!(out, "  port      {port} is busy, so this is the next free one")?;
        }
        if settings.mode == crate::settings::Mode::Development {
            writeln!(
                out,
                "  mode      development mode: demo keys, our own discount codes, a clock that can be moved; not for real money"
            )?;
        }
        let log = if settings.log.is_file() { "log.db, " } else { "" };
        let read_file = settings.read.file();
        let read = if read_file.is_some() { ", read.db" } else { "" };
        let stores = if settings.stores.is_folder() { "keys.db, work.db" } else { "snap.db" };
        writeln!(out, "  data      {} ({log}{stores}{read})", settings.data.display())?;
        if !settings.log.is_file() {
            writeln!(out, "  log       {}", settings.log)?;
        }
        if !settings.stores.is_folder() {
            writeln!(out, "  stores    {}", settings.stores)?;
        }
        if read_file.is_none() {
            writeln!(out, "  read      {}", settings.read)?;
        }
        match self.seeded {
            Some(seeded) => writeln!(
                out,
                "  demo      {} shops seeded by {} signed webhooks in {:.1} s ({} per second, to the visible balance)",
                seeded.shops,
                seeded.deliveries,
                seeded.took.as_secs_f32(),
                per_second(seeded)
            )?,
            None => writeln!(out, "  shops     {} there already, nothing seeded", self.shops)?,
        }
        writeln!(out, "  look      {url}/  {url}/docs  {url}/healthz  {url}/metrics")?;
        if let Some((token, customer)) = self.example {
            writeln!(out, "Earn 50 points for a demo customer (again: the same award, not a second one):")?;
            writeln!(
                out,
                "  curl -sS {url}/v1/api/points/earn -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{\"customer_id\":\"{customer}\",\"points\":50,\"reason\":\"welcome\",\"source_id\":\"welcome-1\"}}'"
            )?;
            writeln!(out, "See the balance:")?;
            writeln!(
                out,
                "  curl -sS '{url}/v1/api/points/balance?customer_id={customer}' -H 'Authorization: Bearer {token}'"
            )?;
        }
        writeln!(out, "Stop with Ctrl-C.")
    }
}

fn per_second(seeded: &Seeded) -> u128 {
    let millis = seeded.took.as_millis().max(1);
    u128::try_from(seeded.deliveries).unwrap_or_default() * 1000 / millis
}
