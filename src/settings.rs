//! Every setting of the executable, from flags, `LOYALNEST_*` variables and a TOML file, in this order of strength.
use std::{
    collections::BTreeMap,
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use event_schemas::ShopDomain;
use projections::ReadAddress;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    log_address::LogAddress,
    roles::{Role, Roles},
    stores_address::StoresAddress,
    witness,
};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// The newest version of Shopify's Admin API that our calls were written for.
const SHOPIFY_API_VERSION: &str = "2026-10";

/// How far the machine's clock may be off.
const CLOCK_TOLERANCE_S: u32 = 60;
/// How long the others wait for a sign of life of a node.
const SESSION_MS: u32 = 6_000;
const NODE_NAME_MAX: usize = 64;

/// Access tokens by shop domain; in the file a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShopTokens(BTreeMap<ShopDomain, Secret>);

impl ShopTokens {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each shop with its token.
    pub fn iter(&self) -> impl Iterator<Item = (&ShopDomain, &Secret)> {
        self.0.iter()
    }
}

impl FromStr for ShopTokens {
    /// What was expected; never the text itself, which holds secrets.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected shop.myshopify.com=token, several by comma";
        let one = |pair: &str| {
            let (shop, token) = pair.trim().split_once('=').ok_or(EXPECTED)?;
            Ok((shop.parse().map_err(|_| EXPECTED)?, Secret::from(token)))
        };
        text.split(',').filter(|pair| !pair.trim().is_empty()).map(one).collect::<Result<_, _>>().map(Self)
    }
}

/// What the installation is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Trying things: a root key in the data folder, a clock that can be moved, demo shops.
    #[default]
    Development,
    /// Real money: the root key lies elsewhere, time only passes.
    Production,
}

/// What was asked for; what is missing comes from the next source.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// Folder of the log, the keys, the inbox and the read models.
    #[arg(long, env = "LOYALNEST_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, env = "LOYALNEST_HOST")]
    pub host: Option<String>,
    /// Port; the next free one if it is busy; 0 for any.
    #[arg(long, env = "LOYALNEST_PORT")]
    pub port: Option<u16>,
    /// What the installation is for.
    #[arg(long, env = "LOYALNEST_MODE", value_enum)]
    pub mode: Option<Mode>,
    /// Partitions of a new log; fixed for its life.
    #[arg(long, env = "LOYALNEST_PARTITIONS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: Option<u16>,
    /// Tasks that work off deliveries.
    #[arg(long, env = "LOYALNEST_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Aggregates that are kept ready for commands, in all partitions together.
    #[arg(long, env = "LOYALNEST_LIVE_STREAMS")]
    pub live_streams: Option<usize>,
    /// Memory for the packed state of further aggregates, in MiB; the rest is read when it is needed.
    #[arg(long, env = "LOYALNEST_STATE_MEMORY_MB", value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub state_memory_mb: Option<u32>,
    /// File of the root key; in production it must lie outside the data folder.
    #[arg(long, env = "LOYALNEST_ROOT_KEY", value_name = "FILE")]
    pub root_key: Option<PathBuf>,
    /// Where it is written down what was seen of the log, apart from the data; beside the root key if it is not said. Each
    /// node puts its name behind it.
    #[arg(long, env = "LOYALNEST_WITNESS", value_name = "FILE")]
    pub witness: Option<PathBuf>,
    /// Secret that Shopify signs webhooks with.
    #[arg(long, env = "LOYALNEST_WEBHOOK_SECRET", hide_env_values = true)]
    pub webhook_secret: Option<Secret>,
    /// The secret before the last rotation, still valid.
    #[arg(long, env = "LOYALNEST_WEBHOOK_SECRET_PREVIOUS", hide_env_values = true)]
    pub webhook_secret_previous: Option<Secret>,
    /// Token of the operator.
    #[arg(long, env = "LOYALNEST_OPERATOR_TOKEN", hide_env_values = true)]
    pub operator_token: Option<Secret>,
    /// Access tokens of shops that make their own discount codes: `shop.myshopify.com=token`, by comma.
    #[arg(long, env = "LOYALNEST_SHOPIFY_TOKENS", hide_env_values = true, value_name = "SHOP=TOKEN,…")]
    pub shopify_tokens: Option<ShopTokens>,
    /// Version of Shopify's Admin API.
    #[arg(long, env = "LOYALNEST_SHOPIFY_API_VERSION", value_name = "YYYY-MM")]
    pub shopify_api_version: Option<String>,
    /// Address to use in the place of every shop's own Admin API, for tests.
    #[arg(long, env = "LOYALNEST_SHOPIFY_ADMIN_URL", value_name = "URL")]
    pub shopify_admin_url: Option<String>,
    /// Where the log is: `sqlite`, a file in the data folder, `postgres://user:password@host:port/database`, or
    /// `kafka://host:port,host:port/topic`.
    #[arg(long, env = "LOYALNEST_LOG", hide_env_values = true, value_name = "ADDRESS")]
    pub log: Option<Secret>,
    /// How to reach Kafka by TLS or with a password: lines such as `security.protocol=SASL_SSL`.
    #[arg(long, env = "LOYALNEST_KAFKA_CONFIG", value_name = "FILE")]
    pub kafka_config: Option<PathBuf>,
    /// Where the read models are: `sqlite`, a file in the data folder, or `postgres://user:password@host:port/database`.
    #[arg(long, env = "LOYALNEST_READ", hide_env_values = true, value_name = "ADDRESS")]
    pub read: Option<Secret>,
    /// Where keys, inbox and the progress of policies are: `sqlite`, files in the data folder, or
    /// `postgres://user:password@host:port/database`.
    #[arg(long, env = "LOYALNEST_STORES", hide_env_values = true, value_name = "ADDRESS")]
    pub stores: Option<Secret>,
    /// What to tell on standard error, such as `info` or `command_api=debug`.
    #[arg(long, env = "LOYALNEST_LOG_FILTER", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// Tell it as JSON lines.
    #[arg(long, env = "LOYALNEST_LOG_JSON", num_args = 0..=1, default_missing_value = "true")]
    pub log_json: Option<bool>,
    /// Name of this node, if several share the log; no two have the same.
    #[arg(long, env = "LOYALNEST_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// Where the other nodes reach this one, if it is not where it listens.
    #[arg(long, env = "LOYALNEST_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,
    /// What this node does: commands, policies, webhooks, projector, queries, by comma; all if none is named.
    #[arg(long, env = "LOYALNEST_ROLES", value_name = "ROLE,…")]
    pub roles: Option<Roles>,
    /// How long the others wait for a sign of life of this node before they take over, in milliseconds.
    #[arg(long, env = "LOYALNEST_SESSION_MS", value_parser = clap::value_parser!(u32).range(1_000..=60_000))]
    pub session_ms: Option<u32>,
    /// How far this machine's clock may be from the newest record, and from that of the Postgres of the stores, in seconds.
    #[arg(long, env = "LOYALNEST_CLOCK_TOLERANCE_S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub clock_tolerance_s: Option<u32>,
}

/// The settings in force.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Folder of the log, the keys, the inbox and the read models.
    pub data: PathBuf,
    /// Address to listen on.
    pub host: String,
    /// Port asked for.
    pub port: u16,
    /// What the installation is for.
    pub mode: Mode,
    /// Partitions of a new log.
    pub partitions: u16,
    /// Tasks that work off deliveries.
    pub workers: u16,
    /// Aggregates that are kept ready for commands.
    pub live_streams: usize,
    /// Memory for the packed state of further aggregates, in MiB.
    pub state_memory_mb: u32,
    /// File of the root key.
    pub root_key: PathBuf,
    /// Where it is written down what was seen of the log.
    pub witness: PathBuf,
    /// Secret that Shopify signs webhooks with; derived from the root key if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<Secret>,
    /// The secret before the last rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret_previous: Option<Secret>,
    /// Token of the operator; derived from the root key if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_token: Option<Secret>,
    /// Access tokens of shops that make their own discount codes, by domain.
    pub shopify_tokens: ShopTokens,
    /// Version of Shopify's Admin API.
    pub shopify_api_version: String,
    /// Address in the place of every shop's own Admin API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shopify_admin_url: Option<String>,
    /// Where the log is.
    pub log: LogAddress,
    /// How to reach Kafka by TLS or with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_config: Option<PathBuf>,
    /// Where the read models are.
    #[serde(serialize_with = "shown")]
    pub read: ReadAddress,
    /// Where keys, inbox and the progress of policies are.
    pub stores: StoresAddress,
    /// What to tell on standard error.
    pub log_filter: String,
    /// Tell it as JSON lines.
    pub log_json: bool,
    /// Name of this node, if several share the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Where the other nodes reach this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// What this node does.
    pub roles: Roles,
    /// How long the others wait for a sign of life, in milliseconds.
    pub session_ms: u32,
    /// How far this machine's clock may be off, in seconds.
    pub clock_tolerance_s: u32,
}

impl Settings {
    /// Merges what was given with the file, then with the defaults.
    pub fn resolve(given: Given, file: Option<&Path>) -> anyhow::Result<Self> {
        let file = read_file(file)?;
        let mode = given.mode.or(file.mode).unwrap_or_default();
        let data = given.data.or(file.data).unwrap_or_else(|| "data".into());
        let root_key = given.root_key.or(file.root_key);
        let kafka_config = given.kafka_config.or(file.kafka_config);
        let read = read_address(&data, given.read.or(file.read).as_ref())?;
        let root_key = root_key_file(mode, &data, root_key)?;
        let settings = Self {
            witness: witness_file(mode, &data, &root_key, given.witness.or(file.witness))?,
            root_key,
            data,
            host: given.host.or(file.host).unwrap_or_else(|| "127.0.0.1".into()),
            port: given.port.or(file.port).unwrap_or(8080),
            mode,
            partitions: given.partitions.or(file.partitions).unwrap_or(8),
            workers: given.workers.or(file.workers).unwrap_or(8),
            live_streams: given.live_streams.or(file.live_streams).unwrap_or(16_384),
            state_memory_mb: given.state_memory_mb.or(file.state_memory_mb).unwrap_or(256),
            webhook_secret: given.webhook_secret.or(file.webhook_secret),
            webhook_secret_previous: given.webhook_secret_previous.or(file.webhook_secret_previous),
            operator_token: given.operator_token.or(file.operator_token),
            shopify_tokens: given.shopify_tokens.or(file.shopify_tokens).unwrap_or_default(),
            shopify_api_version: given
                .shopify_api_version
                .or(file.shopify_api_version)
                .unwrap_or_else(|| SHOPIFY_API_VERSION.into()),
            shopify_admin_url: given.shopify_admin_url.or(file.shopify_admin_url),
            log: log_address(given.log.or(file.log).as_ref(), kafka_config.as_deref())?,
            kafka_config,
            read,
            stores: stores_address(given.stores.or(file.stores).as_ref())?,
            log_filter: given.log_filter.or(file.log_filter).unwrap_or_else(|| default_filter(mode).into()),
            log_json: given.log_json.or(file.log_json).unwrap_or(mode == Mode::Production),
            node: given.node.or(file.node),
            advertise: given.advertise.or(file.advertise).map(|url| url.trim_end_matches('/').to_owned()),
            roles: given.roles.or(file.roles).unwrap_or_default(),
            session_ms: given.session_ms.or(file.session_ms).unwrap_or(SESSION_MS),
            clock_tolerance_s: given
                .clock_tolerance_s
                .or(file.clock_tolerance_s)
                .unwrap_or(CLOCK_TOLERANCE_S),
        };
        check_node(&settings)?;
        for (name, secret) in [
            ("webhook_secret", &settings.webhook_secret),
            ("webhook_secret_previous", &settings.webhook_secret_previous),
            ("operator_token", &settings.operator_token),
        ] {
            if secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
                bail!("the setting {name} is empty; leave it out or give it a value");
            }
        }
        Ok(settings)
    }
}

/// What one of several nodes needs, and what only such a one has.
fn check_node(settings: &Settings) -> anyhow::Result<()> {
    let Some(name) = &settings.node else {
        if settings.advertise.is_some() || !settings.roles.are_all() {
            bail!(
                "the settings advertise and roles are for one of several nodes: give it a name (--node NAME)"
            );
        }
        return Ok(());
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > NODE_NAME_MAX || !name.chars().all(is_plain) {
        bail!("the setting node must be 1 to {NODE_NAME_MAX} letters, digits, hyphens, underscores or dots");
    }
    if settings.log.is_file() {
        bail!(
            "the setting node: several nodes need a log that all of them reach (--log postgres://… or kafka://…)"
        );
    }
    if settings.stores.is_folder() {
        bail!("the setting node: several nodes share keys and inbox in a Postgres (--stores postgres://…)");
    }
    let reads_a_file = settings.read.file().is_some();
    let needs_reads =
        [Role::Commands, Role::Projector, Role::Queries].iter().any(|role| settings.roles.has(*role));
    if reads_a_file && needs_reads {
        bail!("the setting node: several nodes share the read models in a Postgres (--read postgres://…)");
    }
    let url =
        settings.advertise.as_deref().map(|url| url.strip_prefix("http://").or(url.strip_prefix("https://")));
    if url.is_some_and(|host| host.is_none_or(|host| host.is_empty() || host.contains('/'))) {
        bail!("the setting advertise must be a base URL such as http://10.0.0.7:8080");
    }
    let listens_everywhere = settings.host.parse().is_ok_and(|host: IpAddr| host.is_unspecified());
    if url.is_none() && listens_everywhere {
        bail!(
            "the setting advertise: say where the other nodes reach this one, such as http://10.0.0.7:8080"
        );
    }
    Ok(())
}

/// A newcomer's terminal stays quiet; an operator's log tells what happens.
const fn default_filter(mode: Mode) -> &'static str {
    match mode {
        Mode::Development => "warn",
        Mode::Production => "info",
    }
}

fn log_address(given: Option<&Secret>, kafka_config: Option<&Path>) -> anyhow::Result<LogAddress> {
    let parse =
        |given: &Secret| given.expose().parse().map_err(|why| anyhow::anyhow!("the setting log: {why}"));
    let address = given.map_or_else(|| Ok(LogAddress::default()), parse)?;
    let Some(file) = kafka_config else { return Ok(address) };
    address.secured_by(file).context("the setting kafka_config cannot be used")
}

fn read_address(data: &Path, given: Option<&Secret>) -> anyhow::Result<ReadAddress> {
    match given.map(Secret::expose) {
        None | Some("sqlite") => Ok(ReadAddress::File(data.join("read.db"))),
        Some(address) => address.parse().map_err(|why| anyhow::anyhow!("the setting read: {why}, or sqlite")),
    }
}

fn stores_address(given: Option<&Secret>) -> anyhow::Result<StoresAddress> {
    let parse =
        |given: &Secret| given.expose().parse().map_err(|why| anyhow::anyhow!("the setting stores: {why}"));
    given.map_or_else(|| Ok(StoresAddress::default()), parse)
}

/// As people see it.
fn shown<S: Serializer>(address: &ReadAddress, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

fn root_key_file(mode: Mode, data: &Path, given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match (mode, given) {
        (Mode::Development, given) => Ok(given.unwrap_or_else(|| data.join("dev-root.key"))),
        (Mode::Production, None) => {
            bail!("production needs the setting root_key: a file outside the data folder (--root-key FILE)")
        }
        (Mode::Production, Some(file)) if absolute(&file)?.starts_with(absolute(data)?) => {
            bail!("the setting root_key names a file inside the data folder; production keeps it elsewhere")
        }
        (Mode::Production, Some(file)) => Ok(file),
    }
}

fn witness_file(mode: Mode, data: &Path, root_key: &Path, given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let Some(file) = given else {
        let mut beside = root_key.as_os_str().to_owned();
        beside.push(witness::BESIDE);
        return Ok(beside.into());
    };
    if mode == Mode::Production && absolute(&file)?.starts_with(absolute(data)?) {
        bail!("the setting witness names a file inside the data folder; production keeps it elsewhere")
    }
    Ok(file)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    // A folder that does not exist yet has no links to follow.
    Ok(path.canonicalize().unwrap_or(path))
}

fn read_file(file: Option<&Path>) -> anyhow::Result<Given> {
    let default = Path::new("loyalnest.toml");
    let Some(path) = file.or_else(|| default.exists().then_some(default)) else {
        return Ok(Given::default());
    };
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let given = parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    for (name, number) in [("partitions", given.partitions), ("workers", given.workers)] {
        if number.is_some_and(|number| !(1..=256).contains(&number)) {
            bail!("{}: the setting {name} must be 1 to 256", path.display());
        }
    }
    if given.state_memory_mb.is_some_and(|mb| mb > 1_048_576) {
        bail!("{}: the setting state_memory_mb must be 0 to 1048576", path.display());
    }
    if given.session_ms.is_some_and(|ms| !(1_000..=60_000).contains(&ms)) {
        bail!("{}: the setting session_ms must be 1000 to 60000", path.display());
    }
    if given.clock_tolerance_s.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        bail!("{}: the setting clock_tolerance_s must be 1 to 86400", path.display());
    }
    Ok(given)
}

/// Reads the file's text. An error names the setting and what was expected; the value may be a secret.
fn parse(text: &str) -> Result<Given, String> {
    let document = toml::Deserializer::parse(text).map_err(|error| error.message().to_owned())?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let message = error.inner().message();
        match message.find("expected ") {
            Some(start) if !message.starts_with("unknown field") => {
                format!("the setting {}: {}", error.path(), &message[start..])
            }
            _ => message.to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_wrong_type_is_named_and_its_value_is_not_shown() {
        for text in ["webhook_secret = 4711", "port = \"4711\"", "mode = \"4711\""] {
            let wrong = parse(text).unwrap_err();
            let name = text.split(' ').next().unwrap();
            assert!(wrong.contains(name) && wrong.contains("expected") && !wrong.contains("4711"), "{wrong}");
        }
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let (_folder, path) = file("port = 9000\nhost = \"0.0.0.0\"\n");
        let given = Given { port: Some(1), ..Given::default() };
        let settings = Settings::resolve(given, Some(&path)).unwrap();
        assert_eq!((settings.port, settings.host.as_str(), settings.partitions), (1, "0.0.0.0", 8));
    }

    #[test]
    fn no_secret_is_shown_however_the_settings_are_printed() {
        let secret = || Some(Secret::from("hunter2-".to_owned() + "secret"));
        let given = Given {
            webhook_secret: secret(),
            webhook_secret_previous: secret(),
            operator_token: secret(),
            shopify_tokens: Some("demo-1.myshopify.com=hunter2-shpat".parse().unwrap()),
            ..Given::default()
        };
        let shown = format!("{given:?}");
        let (_folder, path) = file("");
        let settings = Settings::resolve(given, Some(&path)).unwrap();
        let printed = format!("{shown} {settings:?} {}", toml::to_string(&settings).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!(printed.matches("(hidden)").count(), 12);
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (text, named) in [
            ("prot = 1", "prot"),
            ("port = \"x\"", "port"),
            ("partitions = 0", "partitions"),
            ("webhook_secret = \"\"", "webhook_secret"),
            ("[shopify_tokens]\n\"shop.example\" = \"x\"", "shopify_tokens"),
            ("roles = \"queries\"", "--node NAME"),
            ("roles = \"query\"", "projector"),
            ("session_ms = 10", "session_ms"),
            ("clock_tolerance_s = 0", "clock_tolerance_s"),
            ("node = \"a\"", "--log postgres"),
            ("mode = \"production\"", "root_key"),
            ("mode = \"production\"\nroot_key = \"data/root.key\"", "root_key"),
            ("mode = \"production\"\nroot_key = \"root.key\"\nwitness = \"data/seen\"", "witness"),
        ] {
            let (_folder, path) = file(text);
            let error = Settings::resolve(Given::default(), Some(&path)).unwrap_err();
            assert!(format!("{error:#}").contains(named), "{text}: {error:#}");
        }
    }
}
