//! Nodes that find each other in Postgres: each renews a lease, and everybody computes for themselves who is to own what.
//!
//! There is no coordinator. A partition is proposed to the live node that scores highest for it, so a node that comes or
//! goes moves only its share. Leases are counted by the server's clock; a node that could not renew its own in time gives
//! everything back by its own clock. The claim in the log decides all the same.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use postgres_store::{Address, Error, Schema};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::{Member, Membership, OwnedBy, Owners, Proposed};
use crate::planted;

/// How often a node looks at the others and renews its own lease.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What the server may take for it.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// How the server knows this connection.
const APPLICATION: &str = "loyalnest nodes";

const SCHEMA: Schema = Schema {
    name: "loyalnest_nodes",
    steps: &["CREATE TABLE node(
            log BYTEA NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, roles TEXT[] NOT NULL,
            incarnation BYTEA NOT NULL, leased_until TIMESTAMPTZ NOT NULL,
            PRIMARY KEY(log, name));
        CREATE TABLE owner(
            log BYTEA NOT NULL, partition INTEGER NOT NULL, url TEXT NOT NULL, term BIGINT NOT NULL,
            PRIMARY KEY(log, partition));"],
};

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, which no other live node has.
    pub name: String,
    /// Where the others reach it: a base URL.
    pub url: String,
    /// What it does. The partitions of each role are shared among the nodes that have it.
    pub roles: BTreeSet<&'static str>,
    /// How long the others wait for a sign of life before they take over.
    pub session: Duration,
}

/// A node cannot take part.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The database.
    #[error(transparent)]
    Database(#[from] Error),
    /// Another process goes by the same name.
    #[error("a node named {name} is alive; give this one another name, or wait until it is gone")]
    NameTaken {
        /// The name.
        name: String,
    },
}

/// The names of the live nodes of the log with this id.
///
/// # Errors
/// The database.
pub async fn alive(address: &Address, log: [u8; 16]) -> Result<Vec<String>, Error> {
    let mut connection = address.connect(APPLICATION).await?;
    SCHEMA.migrate(address, &mut connection).await?;
    let live = "SELECT name FROM loyalnest_nodes.node WHERE log = $1 AND leased_until > clock_timestamp() ORDER BY name";
    let live = sqlx::query_scalar(live).bind(log).fetch_all(&mut connection).await;
    live.map_err(|error| address.explain(error))
}

/// Forgets who owned what, for a log that begins again with older terms.
///
/// # Errors
/// The database.
pub async fn forget_owners(address: &Address, log: [u8; 16]) -> Result<(), Error> {
    let mut connection = address.connect(APPLICATION).await?;
    SCHEMA.migrate(address, &mut connection).await?;
    let forget = sqlx::query("DELETE FROM loyalnest_nodes.owner WHERE log = $1").bind(log);
    forget.execute(&mut connection).await.map(drop).map_err(|error| address.explain(error))
}

/// This node's part in the leases; cheap to clone. Gone without [`Leases::leave`], the others wait for the session to end.
#[derive(Clone)]
pub struct Leases {
    /// What is proposed to this node, by role.
    shares: BTreeMap<&'static str, Proposed>,
    owners: Arc<dyn Owners>,
    members: watch::Receiver<Vec<Member>>,
    leaving: mpsc::Sender<oneshot::Sender<()>>,
}

/// What this node heard of the owners, and what it has to say.
struct Heard {
    url: String,
    owners: Mutex<BTreeMap<u16, OwnedBy>>,
    news: mpsc::UnboundedSender<(u16, u64)>,
}

impl Owners for Heard {
    fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.known(partition).filter(|owner| owner.url != self.url)
    }

    fn known(&self, partition: u16) -> Option<OwnedBy> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned()
    }

    fn announce(&self, partition: u16, term: u64) {
        // Nobody listens any more only when the node leaves.
        self.news.send((partition, term)).unwrap_or_default();
    }
}

impl Leases {
    /// Joins the nodes of the log with this id, which has so many partitions.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        address: &Address,
        log: [u8; 16],
        partitions: u16,
        node: Node,
    ) -> Result<Self, JoinError> {
        let mut connection = address.connect(APPLICATION).await?;
        SCHEMA.migrate(address, &mut connection).await?;
        let (news, told) = mpsc::unbounded_channel();
        let heard = Arc::new(Heard { url: node.url.clone(), owners: Mutex::default(), news });
        let propose: BTreeMap<_, _> =
            node.roles.iter().map(|role| (*role, watch::Sender::new(BTreeSet::new()))).collect();
        let shares = propose.iter().map(|(role, propose)| (*role, propose.subscribe())).collect();
        let (show, members) = watch::channel(Vec::new());
        let (leaving, leave) = mpsc::channel(1);
        let mut member = Lease {
            address: address.clone(),
            log,
            partitions,
            node,
            incarnation: Uuid::now_v7().into_bytes(),
            connection: Some(connection),
            heard: Arc::clone(&heard),
            propose,
            show,
            told,
            own: BTreeMap::new(),
            renewed: Instant::now(),
        };
        if !member.look().await.map_err(|error| address.explain(error))? {
            return Err(JoinError::NameTaken { name: member.node.name });
        }
        tokio::spawn(member.run(leave));
        Ok(Self { shares, owners: heard, members, leaving })
    }
}

impl Leases {
    /// Whether this node has a role.
    #[must_use]
    pub fn has(&self, role: &str) -> bool {
        self.shares.contains_key(role)
    }
}

#[async_trait]
impl Membership for Leases {
    fn share(&self, role: &str) -> Proposed {
        self.shares.get(role).cloned().unwrap_or_else(|| watch::Sender::new(BTreeSet::new()).subscribe())
    }

    fn owners(&self) -> Arc<dyn Owners> {
        Arc::clone(&self.owners)
    }

    fn members(&self) -> Vec<Member> {
        self.members.borrow().clone()
    }

    async fn leave(&self) {
        let (left, is_left) = oneshot::channel();
        if self.leaving.send(left).await.is_ok() {
            // If the task is gone, so is the lease.
            drop(is_left.await);
        }
    }
}

/// The task that renews the lease.
struct Lease {
    address: Address,
    log: [u8; 16],
    partitions: u16,
    node: Node,
    /// Tells this process from an earlier one of the same name.
    incarnation: [u8; 16],
    connection: Option<PgConnection>,
    heard: Arc<Heard>,
    propose: BTreeMap<&'static str, watch::Sender<BTreeSet<u16>>>,
    show: watch::Sender<Vec<Member>>,
    told: mpsc::UnboundedReceiver<(u16, u64)>,
    /// The terms that this node said it owns, until a newer one is heard of.
    own: BTreeMap<u16, u64>,
    renewed: Instant,
}

impl Lease {
    async fn run(mut self, mut leave: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                left = leave.recv() => {
                    self.give_back();
                    self.end().await;
                    // Whoever waits knows by now, or no longer waits.
                    return left.map_or((), |left| left.send(()).unwrap_or_default());
                }
                Some((partition, term)) = self.told.recv() => {
                    self.own.insert(partition, term);
                    self.announce_in_time(partition, term).await;
                }
                _ = ticks.tick() => self.renew().await,
            }
        }
    }

    /// Looks at the others; gives everything back when the lease is over or somebody else has it.
    async fn renew(&mut self) {
        if self.renewed.elapsed() >= self.node.session {
            // Who declared a loss meanwhile had the owners forgotten, and terms begin again below those of before.
            self.own.clear();
        }
        let looked = timeout(LOOK_MAX, self.look()).await;
        let trouble: Option<Box<dyn std::error::Error + Send + Sync>> = match looked {
            Ok(Ok(true)) => return,
            Ok(Ok(false)) => {
                tracing::error!(node = self.node.name, "ALARM: another process goes by this node's name");
                self.give_back();
                return;
            }
            Ok(Err(error)) => Some(Box::new(self.address.explain(error))),
            Err(_) => None,
        };
        self.connection = None;
        tracing::warn!(
            node = self.node.name,
            error = trouble.as_deref().map(|error| error as &dyn std::error::Error),
            "The lease of this node could not be renewed"
        );
        if self.renewed.elapsed() >= self.node.session {
            self.give_back();
        }
    }

    /// Nothing is proposed to this node any more.
    fn give_back(&self) {
        self.propose.values().for_each(|share| {
            share.send_replace(BTreeSet::new());
        });
    }

    async fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        if self.connection.is_none() {
            let options = self.address.options().application_name(APPLICATION);
            self.connection = Some(PgConnection::connect_with(&options).await?);
        }
        self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)
    }

    /// Renews the lease and learns who else is there; `false` if another process has the name.
    async fn look(&mut self) -> sqlx::Result<bool> {
        let (log, incarnation) = (self.log, self.incarnation);
        let Node { name, url, roles, session } = self.node.clone();
        let roles: Vec<&str> = roles.into_iter().collect();
        // Before the question: the server counts the session from later on.
        let asked = Instant::now();
        let connection = self.connection().await?;
        let lease =
            "INSERT INTO loyalnest_nodes.node AS mine(log, name, url, roles, incarnation, leased_until)
            VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))
            ON CONFLICT (log, name) DO UPDATE SET url = excluded.url, roles = excluded.roles,
                incarnation = excluded.incarnation, leased_until = excluded.leased_until
            WHERE mine.incarnation = excluded.incarnation OR mine.leased_until < clock_timestamp()";
        let lease = sqlx::query(lease).bind(log).bind(&name).bind(&url).bind(roles).bind(incarnation);
        let renewed = lease.bind(session.as_secs_f64()).execute(&mut *connection).await?;
        if renewed.rows_affected() == 0 {
            return Ok(false);
        }
        let live = "SELECT name, url, roles FROM loyalnest_nodes.node
            WHERE log = $1 AND leased_until > clock_timestamp() ORDER BY name";
        let live: Vec<(String, String, Vec<String>)> =
            sqlx::query_as(live).bind(log).fetch_all(&mut *connection).await?;
        let owners = "SELECT partition, url, term FROM loyalnest_nodes.owner WHERE log = $1";
        let owners: Vec<(i32, String, i64)> =
            sqlx::query_as(owners).bind(log).fetch_all(&mut *connection).await?;
        self.renewed = asked;
        let known: BTreeMap<i32, i64> =
            owners.iter().map(|(partition, _, term)| (*partition, *term)).collect();
        self.hear(owners);
        self.share(live);
        self.tell_again(&known).await?;
        Ok(true)
    }

    /// Announces once more what the others do not know yet: an announcement may be lost, and until the next claim they would
    /// ask where nobody owns the partition any more.
    async fn tell_again(&mut self, known: &BTreeMap<i32, i64>) -> sqlx::Result<()> {
        let known = |partition: u16| {
            let term = known.get(&i32::from(partition));
            term.and_then(|term| u64::try_from(*term).ok()).unwrap_or_default()
        };
        self.own.retain(|partition, term| *term >= known(*partition));
        let unknown = self.own.iter().filter(|(partition, term)| **term > known(**partition));
        for (partition, term) in unknown.map(|(partition, term)| (*partition, *term)).collect::<Vec<_>>() {
            self.announce(partition, term).await?;
        }
        Ok(())
    }

    fn hear(&self, owners: Vec<(i32, String, i64)>) {
        let mut heard = self.heard.owners.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, url, term) in owners {
            if let (Ok(partition), Ok(term)) = (u16::try_from(partition), u64::try_from(term)) {
                heard.insert(partition, OwnedBy { url, term });
            }
        }
    }

    fn share(&self, live: Vec<(String, String, Vec<String>)>) {
        let members: Vec<Member> =
            live.into_iter().map(|(name, url, roles)| Member { name, url, roles }).collect();
        for (role, propose) in &self.propose {
            let candidates: Vec<&str> = members
                .iter()
                .filter(|member| member.roles.iter().any(|other| other == role))
                .map(|member| member.name.as_str())
                .collect();
            let best = |partition: u16| candidates.iter().max_by_key(|name| score(partition, name));
            let is_own = |partition: &u16| {
                planted::is_proposed_everything() || best(*partition) == Some(&self.node.name.as_str())
            };
            let own: BTreeSet<u16> = (0..self.partitions).filter(is_own).collect();
            change(propose, own);
        }
        change(&self.show, members);
    }

    /// Best effort: what is not told now is told at the next look. It must not keep the lease from being renewed.
    async fn announce_in_time(&mut self, partition: u16, term: u64) {
        let told = timeout(LOOK_MAX, self.announce(partition, term)).await;
        let trouble = match told {
            Ok(Ok(())) => return,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        self.connection = None;
        tracing::warn!(
            partition,
            error = trouble.as_ref().map(|error| error as &dyn std::error::Error),
            "The owner was not announced"
        );
    }

    async fn announce(&mut self, partition: u16, term: u64) -> sqlx::Result<()> {
        let (log, url) = (self.log, self.node.url.clone());
        let (partition, term) = (i32::from(partition), i64::try_from(term).unwrap_or(i64::MAX));
        let announce = "INSERT INTO loyalnest_nodes.owner AS known(log, partition, url, term)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (log, partition) DO UPDATE SET url = excluded.url, term = excluded.term
            WHERE known.term < excluded.term";
        let announce = sqlx::query(announce).bind(log).bind(partition).bind(url).bind(term);
        announce.execute(self.connection().await?).await.map(drop)
    }

    async fn end(&mut self) {
        let (log, name, incarnation) = (self.log, self.node.name.clone(), self.incarnation);
        let end = "DELETE FROM loyalnest_nodes.node WHERE log = $1 AND name = $2 AND incarnation = $3";
        let Ok(connection) = self.connection().await else { return };
        let ended = sqlx::query(end).bind(log).bind(name).bind(incarnation).execute(connection).await;
        if let Err(error) = ended {
            tracing::warn!(error = &error as &dyn std::error::Error, "The lease ends by itself");
        }
    }
}

/// Tells whoever watches, if it is news.
fn change<T: PartialEq>(shown: &watch::Sender<T>, now: T) {
    shown.send_if_modified(|shown| {
        let differs = *shown != now;
        *shown = now;
        differs
    });
}

/// How well a node suits a partition: rendezvous hashing.
fn score(partition: u16, name: &str) -> [u8; 8] {
    let mut bytes = partition.to_be_bytes().to_vec();
    bytes.extend_from_slice(name.as_bytes());
    let mut score = [0; 8];
    score.copy_from_slice(&digest(&SHA256, &bytes).as_ref()[..8]);
    score
}

#[cfg(test)]
mod tests {
    use postgres_store::testing::TestDatabase;

    use super::*;
    use crate::testing::within;

    const LOG: [u8; 16] = [7; 16];
    const PARTITIONS: u16 = 16;

    const ROLE: &str = "commands";
    const OTHER: &str = "policies";
    const LONG: Duration = Duration::from_secs(60);

    async fn join(database: &TestDatabase, name: &str, roles: &[&'static str]) -> Result<Leases, JoinError> {
        let (name, url) = (name.to_owned(), format!("http://{name}"));
        let node = Node { name, url, roles: roles.iter().copied().collect(), session: LONG };
        Leases::join(&database.address(), LOG, PARTITIONS, node).await
    }

    async fn until_true(holds: impl Fn() -> bool) {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until(leases: &Leases, holds: impl FnMut(&BTreeSet<u16>) -> bool) -> BTreeSet<u16> {
        leases.share(ROLE).wait_for(holds).await.unwrap().clone()
    }

    #[tokio::test]
    async fn live_nodes_share_all_partitions_and_who_leaves_gives_its_share_back() {
        let database = TestDatabase::create();
        let a = join(&database, "a", &[ROLE]).await.unwrap();
        assert_eq!(until(&a, |_| true).await.len(), usize::from(PARTITIONS));
        let b = join(&database, "b", &[ROLE]).await.unwrap();
        let own = until(&b, |_| true).await;
        let rest = until(&a, |proposed| proposed.len() < usize::from(PARTITIONS)).await;
        assert!(!own.is_empty() && own.is_disjoint(&rest));
        assert_eq!(own.len() + rest.len(), usize::from(PARTITIONS));
        let members: Vec<_> = a.members().into_iter().map(|member| member.name).collect();
        assert_eq!(members, ["a", "b"]);

        b.leave().await;
        assert!(until(&b, |_| true).await.is_empty());
        until(&a, |proposed| proposed.len() == usize::from(PARTITIONS)).await;
    }

    /// Catches: partitions that are shared among all live nodes, whatever they do.
    #[tokio::test]
    async fn a_role_is_shared_among_the_nodes_that_have_it() {
        let database = TestDatabase::create();
        let a = join(&database, "a", &[ROLE, OTHER]).await.unwrap();
        let b = join(&database, "b", &[OTHER]).await.unwrap();
        let (own, all) = (b.share(OTHER).borrow().clone(), usize::from(PARTITIONS));
        let rest = a.share(OTHER).wait_for(|share| share.len() < all).await.unwrap().clone();
        assert!(own.is_disjoint(&rest) && own.len() + rest.len() == all);
        assert_eq!((until(&a, |_| true).await.len(), until(&b, |_| true).await.len()), (all, 0));
    }

    /// Catches: a name that is taken over while its lease runs (no condition on the incarnation).
    #[tokio::test]
    async fn a_name_is_taken_as_long_as_its_node_lives() {
        let database = TestDatabase::create();
        let first = join(&database, "a", &[ROLE]).await.unwrap();
        let second = join(&database, "a", &[ROLE]).await.err().unwrap();
        assert!(matches!(second, JoinError::NameTaken { .. }), "{second}");
        first.leave().await;
        join(&database, "a", &[ROLE]).await.unwrap();
    }

    #[tokio::test]
    async fn a_node_that_is_gone_without_a_word_is_replaced_when_its_session_ends() {
        let database = TestDatabase::create();
        let silent = "INSERT INTO loyalnest_nodes.node VALUES ($1, 'z', 'http://z', '{commands}', $2, clock_timestamp() + interval '1 s')";
        let a = join(&database, "a", &[ROLE]).await.unwrap();
        let mut other = database.address().connect("test").await.unwrap();
        let silent = sqlx::query(silent).bind(LOG).bind(LOG);
        silent.execute(&mut other).await.unwrap();
        until(&a, |proposed| proposed.len() < usize::from(PARTITIONS)).await;
        until(&a, |proposed| proposed.len() == usize::from(PARTITIONS)).await;
    }

    /// Catches: an older announcement that arrives late and wins. Without telling again, what was lost stayed unknown.
    #[tokio::test]
    async fn the_owner_of_the_newest_term_is_heard_and_nobody_hears_themselves() {
        let database = TestDatabase::create();
        let first = join(&database, "a", &[ROLE]).await.unwrap();
        let second = join(&database, "b", &[ROLE]).await.unwrap();
        let (a, b) = (first.owners(), second.owners());
        b.announce(3, 8);
        let is_heard = async |owner: Option<(&str, u64)>, by: &Arc<dyn Owners>| {
            let expected = owner.map(|(url, term)| OwnedBy { url: url.to_owned(), term });
            let hears = until_true(|| by.owner(3) == expected);
            within("the owner", hears).await;
        };
        is_heard(Some(("http://b", 8)), &a).await;
        a.announce(3, 7);
        a.announce(4, 1);
        within("another owner", until_true(|| b.owner(4).is_some())).await;
        is_heard(Some(("http://b", 8)), &a).await;
        is_heard(None, &b).await;
        assert_eq!(alive(&database.address(), LOG).await.unwrap(), ["a", "b"]);
        forget_owners(&database.address(), LOG).await.unwrap();
        let told = "SELECT partition::text, term::text FROM loyalnest_nodes.owner ORDER BY partition";
        let expected = [["3", "8"], ["4", "1"]].map(|row| row.map(|cell| Some(cell.to_owned())).to_vec());
        within("what was lost", until_true(|| database.texts("", told) == expected)).await;
        first.leave().await;
        second.leave().await;
        forget_owners(&database.address(), LOG).await.unwrap();
        assert!(alive(&database.address(), [8; 16]).await.unwrap().is_empty());
        let c = join(&database, "c", &[ROLE]).await.unwrap().owners();
        assert!((0..PARTITIONS).all(|partition| c.known(partition).is_none()));
    }
}
