//! Several nodes of one installation, each a process: log, keys, inbox and read models are shared, and each node has a
//! folder of its own for what it may lose.
use std::{path::Path, time::Duration};

use postgres_store::testing::TestDatabase;
use serde_json::Value;

#[cfg(feature = "planted-bugs")]
use super::process::Unready;
use super::{Door, Folder, Hold, Server, run};

/// Partitions of such an installation. On Kafka each costs every node a few clients, and threads of each.
const PARTITIONS: u64 = 6;
#[cfg(feature = "kafka")]
const PARTITIONS_ON_KAFKA: u64 = 3;
/// A node that says nothing for so long is replaced; brokers take no shorter one.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

/// An installation of several nodes. Its processes are the caller's.
pub(crate) struct Nodes {
    /// Where everything is but the log.
    stores: String,
    log: String,
    /// Goes with this, if it is not a server of its own.
    database: Option<TestDatabase>,
    partitions: u64,
    /// The first one holds the root key of all.
    folders: Vec<Folder>,
}

impl Nodes {
    /// Room for this many nodes, everything in a database of their own.
    pub(crate) fn on_postgres(nodes: usize) -> Self {
        let database = TestDatabase::create();
        let nodes = Self::at(nodes, &database.url());
        Self { database: Some(database), ..nodes }
    }

    /// The same in this database.
    pub(crate) fn at(nodes: usize, address: &str) -> Self {
        let folders = (0..nodes).map(|_| Folder::new()).collect();
        let (stores, log) = (address.to_owned(), address.to_owned());
        Self { stores, log, database: None, partitions: PARTITIONS, folders }
    }

    /// The same with the log in this topic of Kafka.
    #[cfg(feature = "kafka")]
    pub(crate) fn on_kafka(nodes: usize, log: &str) -> Self {
        Self { log: log.to_owned(), partitions: PARTITIONS_ON_KAFKA, ..Self::on_postgres(nodes) }
    }

    /// The same with the log there and everything else in this database.
    #[cfg(feature = "kafka")]
    pub(crate) fn on_servers(nodes: usize, log: &str, address: &str) -> Self {
        Self { log: log.to_owned(), partitions: PARTITIONS_ON_KAFKA, ..Self::at(nodes, address) }
    }

    /// The database where everything is but the log.
    pub(crate) fn stores(&self) -> &str {
        &self.stores
    }

    /// A folder beside those of the nodes' data.
    pub(crate) fn spare(&self) -> &Path {
        self.folders[0].root()
    }

    /// A place at which one of them waits.
    pub(crate) fn hold(&self, place: &'static str) -> Hold {
        Hold::at(&self.folders[0], place)
    }

    /// The database of their own.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("they have a database of their own")
    }

    /// How many nodes there is room for.
    pub(crate) fn count(&self) -> usize {
        self.folders.len()
    }

    /// The partitions there are.
    pub(crate) fn partitions(&self) -> std::ops::Range<u64> {
        0..self.partitions
    }

    /// What every process of the node is told.
    pub(crate) fn environment(&self, node: usize) -> Vec<(&'static str, String)> {
        let root_key = self.folders[0].root().join("root.key").display().to_string();
        vec![
            ("LOYALNEST_LOG", self.log.clone()),
            ("LOYALNEST_STORES", self.stores.clone()),
            ("LOYALNEST_READ", self.stores.clone()),
            ("LOYALNEST_ROOT_KEY", root_key),
            ("LOYALNEST_PARTITIONS", self.partitions.to_string()),
            ("LOYALNEST_SESSION_MS", SESSION.as_millis().to_string()),
            ("LOYALNEST_NODE", format!("node-{node}")),
        ]
    }

    /// Starts a node, until its ready line.
    pub(crate) fn start(&self, node: usize, more: &[(&str, &str)]) -> Server {
        self.try_start(node, more).unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// The same, unless it does not come to its ready line; then what it said.
    pub(crate) fn try_start(&self, node: usize, more: &[(&str, &str)]) -> Result<Server, String> {
        let own = self.environment(node);
        Server::try_start_with(&self.folders[node], &with(&own, more))
    }

    /// Starts a node and does not wait for it.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn begin(&self, node: usize, more: &[(&str, &str)]) -> Unready {
        let own = self.environment(node);
        Unready::start(&self.folders[node], &["--no-demo"], &with(&own, more))
    }

    /// Starts all of them.
    pub(crate) fn start_all(&self, more: &[(&str, &str)]) -> Vec<Server> {
        (0..self.count()).map(|node| self.start(node, more)).collect()
    }

    /// Runs a job of the executable, such as `verify`, with its report.
    pub(crate) fn job(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        self.job_of(0, arguments)
    }

    /// The same with what another node is told.
    pub(crate) fn job_of(&self, node: usize, arguments: &[&str]) -> (Option<i32>, Value) {
        Self::reported(&self.folders[node], &self.environment(node), arguments)
    }

    /// The same while this task's neighbours go on.
    pub(crate) async fn job_beside(&self, arguments: &'static [&'static str]) -> (Option<i32>, Value) {
        let (folder, own) = (self.folders[0].clone(), self.environment(0));
        tokio::task::spawn_blocking(move || Self::reported(&folder, &own, arguments)).await.unwrap()
    }

    fn reported(folder: &Folder, own: &[(&'static str, String)], arguments: &[&str]) -> (Option<i32>, Value) {
        let environment: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = run(folder, &[arguments, &["--json", "--data", "data"]].concat(), &environment);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report = serde_json::from_str(&said).unwrap_or_else(|error| {
            panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code(), report)
    }
}

fn with<'a>(own: &'a [(&'static str, String)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    own.chain(more.iter().copied()).collect()
}

/// How the partitions are owned, as this node knows.
pub(crate) async fn partitions(door: &Door) -> Vec<Value> {
    door.operator_get("/admin/nodes").await.expect(200)["partitions"].as_array().unwrap().clone()
}
