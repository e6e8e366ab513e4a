//! Apache Kafka in KRaft mode from its own jars: brokers on free ports of this machine, each controller as well.
use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use self::secure::Secure;
use super::{Started, cache, ports::free_ports};
use crate::run;

mod secure;

/// The release, and what it logs through.
const ARTIFACTS: [[&str; 3]; 2] =
    [["org.apache.kafka", "kafka_2.13", "4.1.1"], ["org.slf4j", "slf4j-simple", "1.7.36"]];
/// What a broker prints once it takes requests.
const READY: &str = "Kafka Server started";
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How each listener is spoken to.
const PROTOCOLS: &str = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL";
/// Files of a broker's folder.
const PROPERTIES: &str = "server.properties";
const PRINTED: &str = "printed";
const JAVA: [&str; 4] = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
];
/// For what does not live long enough to be paid back by the second compiler.
const SHORT_LIVED: &str = "-XX:TieredStopAtLevel=1";

/// One broker.
pub(super) fn one(folder: &Path) -> anyhow::Result<Started> {
    start(folder, 1)
}

/// Three brokers that keep every record twice before they confirm it.
pub(super) fn three(folder: &Path) -> anyhow::Result<Started> {
    start(folder, 3)
}

fn start(folder: &Path, count: u16) -> anyhow::Result<Started> {
    let mut cluster = Cluster::start(
        folder,
        count,
        &Purpose { session_ms: LONG_SESSION_MS, is_short_lived: false, secure: None },
    )?;
    let processes = cluster.processes();
    let url = std::mem::take(&mut cluster.url);
    cluster.brokers.clear();
    Ok(Started { processes, url })
}

/// Brokers for one test that kills, pauses and restarts them. Says where they listen and which processes they are; then
/// starts, for each line of the input, the broker with this number again and says its process; and ends with the input.
/// If they are to be secure, they also listen where only TLS and a password let in, and say what lets in.
pub(super) fn own(count: u16, secure: bool) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("own-kafka-").tempdir()?;
    let secure = if secure { Some(Secure::make(folder.path())?) } else { None };
    let purpose = Purpose { session_ms: SESSION_MS, is_short_lived: true, secure: secure.as_ref() };
    let mut cluster = Cluster::start(folder.path(), count, &purpose)?;
    let processes = cluster.processes();
    let mut said = serde_json::json!({"url": cluster.url, "processes": processes, "folder": folder.path()});
    said["secure"] = secure.as_ref().map(Secure::told).into();
    println!("{said}");
    for line in io::stdin().lines() {
        let number: usize = line?.trim().parse().context("expected the number of a broker")?;
        let broker = number.checked_sub(1).and_then(|index| cluster.brokers.get_mut(index));
        let broker = broker.context("there is no such broker")?;
        broker.end();
        broker.process = broker_process(&cluster.jars, &broker.folder, &purpose)?;
        broker.wait_until_ready(Instant::now() + READY_WITHIN)?;
        println!("{}", broker.process.id());
    }
    Ok(())
}

/// How long brokers do without a sign of life of each other. One that is not killed on purpose is only slow.
const SESSION_MS: u32 = 9_000;
const LONG_SESSION_MS: u32 = 120_000;

/// What differs between brokers.
struct Purpose<'a> {
    session_ms: u32,
    /// They serve one test.
    is_short_lived: bool,
    secure: Option<&'a Secure>,
}

/// Brokers that end with this.
struct Cluster {
    jars: PathBuf,
    url: String,
    brokers: Vec<Broker>,
}

impl Cluster {
    fn start(folder: &Path, count: u16, purpose: &Purpose<'_>) -> anyhow::Result<Self> {
        let jars = jars()?;
        let ports = free_ports(2 * count)?;
        let (clients, controllers) = ports.split_at(usize::from(count));
        // 16 bytes in Base64, which no other cluster of this machine has while this one lives.
        let id = format!("{:A<22}", ports.iter().take(2).map(u16::to_string).collect::<String>());
        let addresses: Vec<String> = clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let url = format!("kafka://{}", addresses.join(","));
        let mut cluster = Self { jars, url, brokers: Vec::new() };
        for node in 1..=count {
            let nodes = Nodes { node, clients, controllers, purpose };
            let broker = Broker::start(folder, &cluster.jars, &id, &nodes)?;
            cluster.brokers.push(broker);
        }
        let deadline = Instant::now() + READY_WITHIN;
        cluster.brokers.iter_mut().try_for_each(|broker| broker.wait_until_ready(deadline))?;
        Ok(cluster)
    }

    fn processes(&self) -> Vec<u32> {
        self.brokers.iter().map(|broker| broker.process.id()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.brokers.iter_mut().for_each(Broker::end);
    }
}

/// One of several nodes, and where all of them listen.
struct Nodes<'a> {
    node: u16,
    clients: &'a [u16],
    controllers: &'a [u16],
    purpose: &'a Purpose<'a>,
}

struct Broker {
    folder: PathBuf,
    process: Child,
}

impl Broker {
    fn start(folder: &Path, jars: &Path, cluster: &str, nodes: &Nodes<'_>) -> anyhow::Result<Self> {
        let folder = folder.join(format!("broker-{}", nodes.node));
        fs::create_dir(&folder)?;
        let properties = folder.join(PROPERTIES);
        fs::write(&properties, settings(&folder, nodes)?)?;
        let mut format = java(jars);
        format.args([SHORT_LIVED, "kafka.tools.StorageTool", "format", "-t", cluster, "-c"]).arg(&properties);
        if let Some(secure) = nodes.purpose.secure {
            format.args(secure.formats());
        }
        let formatted = format.output().context("java did not start")?;
        ensure!(
            formatted.status.success(),
            "Kafka's tool failed: {}",
            String::from_utf8_lossy(&formatted.stderr).trim()
        );
        let process = broker_process(jars, &folder, nodes.purpose)?;
        Ok(Self { folder, process })
    }

    fn wait_until_ready(&mut self, deadline: Instant) -> anyhow::Result<()> {
        loop {
            let printed = String::from_utf8_lossy(&fs::read(self.folder.join(PRINTED))?).into_owned();
            if printed.contains(READY) {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("a broker did not start: {}", printed.trim());
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Runs the broker of a folder; it outlives this program, and a Ctrl-C meant for it.
fn broker_process(jars: &Path, folder: &Path, purpose: &Purpose<'_>) -> anyhow::Result<Child> {
    let output = File::create(folder.join(PRINTED))?;
    let mut broker = java(jars);
    broker.args(purpose.is_short_lived.then_some(SHORT_LIVED));
    broker.arg("kafka.Kafka").arg(folder.join(PROPERTIES)).current_dir(folder).process_group(0);
    broker.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(broker.spawn()?)
}

fn settings(folder: &Path, nodes: &Nodes<'_>) -> anyhow::Result<String> {
    let Nodes { node, clients, controllers, purpose: Purpose { session_ms, secure, .. } } = *nodes;
    let count = clients.len();
    let voters: Vec<String> =
        (1..).zip(controllers).map(|(node, port)| format!("{node}@127.0.0.1:{port}")).collect();
    let (client, controller) = (clients[usize::from(node - 1)], controllers[usize::from(node - 1)]);
    let in_sync = if count > 1 { 2 } else { 1 };
    let also = secure.map_or_else(String::new, |secure| format!(",{}", secure.listener()));
    let mut text = secure.map_or_else(|| Ok(String::new()), Secure::settings)?;
    for (name, value) in [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}{also}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{client}{also}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("listener.security.protocol.map", PROTOCOLS.to_owned()),
        ("log.dirs", folder.join("data").display().to_string()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("offsets.topic.replication.factor", count.to_string()),
        ("transaction.state.log.replication.factor", count.to_string()),
        ("transaction.state.log.min.isr", in_sync.to_string()),
        ("min.insync.replicas", in_sync.to_string()),
        ("broker.session.timeout.ms", session_ms.to_string()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
        // Tests make and delete many topics.
        ("file.delete.delay.ms", "0".to_owned()),
    ] {
        writeln!(text, "{name}={value}")?;
    }
    Ok(text)
}

/// Kafka's jars; fetched once and kept in the target folder.
fn jars() -> anyhow::Result<PathBuf> {
    run::install("java", "default-jre-headless")?;
    let [[_, _, version], _] = ARTIFACTS;
    let cache = cache()?;
    let jars = cache.join(format!("kafka-{version}"));
    if jars.exists() {
        return Ok(jars);
    }
    run::install("mvn", "maven")?;
    println!("── fetching Kafka {version}");
    let fetching = tempfile::Builder::new().prefix("fetching-").tempdir_in(&cache)?;
    fs::write(fetching.path().join("pom.xml"), project())?;
    let status = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"])
        .current_dir(fetching.path())
        .status()
        .context("Maven did not start")?;
    ensure!(
        status.success(),
        "Maven could not fetch Kafka's jars; does it reach Maven Central, or a mirror?"
    );
    fs::rename(fetching.path().join("jars"), &jars)?;
    Ok(jars)
}

/// A Maven project that depends on the artifacts and on nothing else.
fn project() -> String {
    let dependencies: String = ARTIFACTS
        .iter()
        .map(|[group, artifact, version]| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>"
            )
        })
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>services</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(JAVA).arg("-cp").arg(jars.join("*"));
    command
}
