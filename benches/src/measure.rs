//! What a measurement is, what it works with, and what it found.
use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures::future::LocalBoxFuture;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::history::History;

/// One line of the registry.
pub(crate) struct Measurement {
    /// In kebab-case, for the filter.
    pub(crate) name: &'static str,
    /// What is measured.
    pub(crate) what: &'static str,
    /// What stands beside it in the same run; empty if nothing does.
    pub(crate) peer: &'static str,
    /// What the judged rows must reach.
    pub(crate) mark: Mark,
    /// The servers that it needs.
    pub(crate) needs: &'static [Server],
    /// Measures.
    pub(crate) run: fn(&Bench) -> LocalBoxFuture<'_, anyhow::Result<Vec<Row>>>,
}

/// A server that `xtask` starts for whom it is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// A Postgres with an empty database.
    Postgres,
    /// A Kafka of one broker.
    Kafka,
    /// A Kafka of three brokers.
    KafkaOfThree,
}

impl Server {
    /// As `xtask` calls it, and as it is given to this program.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::KafkaOfThree => "kafka-of-three",
        }
    }
}

/// What a judged row must reach.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    /// At least so many per cent of the peer.
    PercentOfPeer(u64),
    /// At most so many per cent of the peer.
    AtMostPercentOfPeer(u64),
    /// At most this, in the row's unit.
    AtMost(u64),
    /// At least this, in the row's unit.
    AtLeast(u64),
    /// Nothing: the figure is only reported.
    Reported,
}

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Things in a second.
    PerSecond,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
    /// Things.
    Count,
}

/// One row of the table.
pub(crate) struct Row {
    /// Which case of its measurement.
    pub(crate) case: String,
    /// Of both figures.
    pub(crate) unit: Unit,
    /// Our figure.
    pub(crate) ours: u64,
    /// The peer's, from the same run.
    pub(crate) peer: Option<u64>,
    /// Whether the measurement's mark is for this case.
    pub(crate) judged: bool,
    /// Another mark than the measurement's.
    pub(crate) own_mark: Option<Mark>,
}

impl Row {
    /// A rate beside the peer's, as two medians.
    pub(crate) fn beside(case: impl Into<String>, (ours, peer): (u64, u64)) -> Self {
        let (case, unit) = (case.into(), Unit::PerSecond);
        Self { case, unit, ours, peer: Some(peer), judged: true, own_mark: None }
    }

    /// A time beside the peer's, with a mark of its own.
    pub(crate) fn time_beside(case: impl Into<String>, (ours, peer): (u64, u64), mark: Mark) -> Self {
        Self { unit: Unit::Micros, own_mark: Some(mark), ..Self::beside(case, (ours, peer)) }
    }

    /// A figure of ours alone.
    pub(crate) fn alone(case: impl Into<String>, unit: Unit, ours: u64) -> Self {
        Self { case: case.into(), unit, ours, peer: None, judged: false, own_mark: None }
    }

    /// The same row, judged or not.
    pub(crate) fn judged(self, judged: bool) -> Self {
        Self { judged, ..self }
    }

    /// Our figure in thousandths of the peer's.
    pub(crate) fn permille(&self) -> Option<u64> {
        self.peer.and_then(|peer| self.ours.saturating_mul(1000).checked_div(peer))
    }

    /// The mark of this row of a measurement with this one.
    pub(crate) fn mark(&self, of_all: Mark) -> Mark {
        self.own_mark.unwrap_or(of_all)
    }

    /// Whether the mark is reached; nothing if this row is not judged.
    pub(crate) fn reaches(&self, mark: Mark) -> Option<bool> {
        match self.mark(mark) {
            Mark::PercentOfPeer(percent) if self.judged => {
                self.permille().map(|permille| permille >= percent * 10)
            }
            Mark::AtMostPercentOfPeer(percent) if self.judged => {
                self.permille().map(|permille| permille <= percent * 10)
            }
            Mark::AtMost(most) if self.judged => Some(self.ours <= most),
            Mark::AtLeast(least) if self.judged => Some(self.ours >= least),
            _ => None,
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Whether the figures mean enough to be judged.
    pub(crate) judges: bool,
    /// Records of the long log.
    pub(crate) records: usize,
    /// How long one side of one round runs.
    pub(crate) window: Duration,
    /// Rounds; each has both sides.
    pub(crate) rounds: usize,
    /// Numbers of callers at once.
    pub(crate) callers: &'static [usize],
    /// Webhooks of one round.
    pub(crate) deliveries: usize,
    /// Webhooks sent at an even pace of 100 a second.
    pub(crate) paced: usize,
    /// Accounts whose memory is weighed.
    pub(crate) accounts: usize,
    /// Ledger entries of the large account.
    pub(crate) entries: usize,
    /// Accounts that the daily run looks after.
    pub(crate) members: usize,
}

impl Size {
    /// What the README's table is measured with.
    pub(crate) const FULL: Self = Self {
        judges: true,
        records: 1_000_000,
        window: Duration::from_millis(700),
        rounds: 5,
        callers: &[1, 16, 64, 256],
        deliveries: 5_000,
        paced: 1_000,
        accounts: 20_000,
        entries: 100_000,
        members: 1_000_000,
    };
    /// A tenth of it, for a first look.
    pub(crate) const QUICK: Self = Self {
        judges: true,
        records: 100_000,
        window: Duration::from_millis(300),
        rounds: 3,
        callers: &[1, 64],
        deliveries: 1_500,
        paced: 200,
        accounts: 8_000,
        entries: 100_000,
        members: 100_000,
    };
    /// Runs every line of the measurements and says nothing about speed.
    pub(crate) const SMOKE: Self = Self {
        judges: false,
        records: 400,
        window: Duration::from_millis(10),
        rounds: 1,
        callers: &[1, 4],
        deliveries: 40,
        paced: 10,
        accounts: 20,
        entries: 100,
        members: 40,
    };
}

/// What all measurements share.
pub(crate) struct Bench {
    /// How much to measure.
    pub(crate) size: Size,
    /// The executable that ships.
    pub(crate) executable: PathBuf,
    /// Where servers listen, of those that there are.
    pub(crate) servers: Vec<(Server, String)>,
    folder: TempDir,
    history: OnceCell<History>,
}

impl Bench {
    /// Works in a temporary folder below `within`, which is gone at the end.
    pub(crate) fn new(
        size: Size,
        executable: PathBuf,
        servers: Vec<(Server, String)>,
        within: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(within);
        let folder = folder.with_context(|| format!("no folder could be made in {}", within.display()))?;
        Ok(Self { size, executable, servers, folder, history: OnceCell::new() })
    }

    /// Where this server listens.
    pub(crate) fn server(&self, wanted: Server) -> anyhow::Result<&str> {
        let found = self.servers.iter().find(|(server, _)| *server == wanted);
        let (_, url) = found.with_context(|| format!("there is no {}", wanted.name()))?;
        Ok(url)
    }

    /// A new folder of one's own.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<TempDir> {
        Ok(tempfile::Builder::new().prefix(name).tempdir_in(self.folder.path())?)
    }

    /// The long log, made by whoever asks first.
    pub(crate) async fn history(&self) -> anyhow::Result<&History> {
        self.history.get_or_try_init(|| History::make(self)).await
    }
}
