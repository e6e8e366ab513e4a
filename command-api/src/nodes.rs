//! Several processes over one log: who owns which partition, and asks for aggregates that another node owns.
//!
//! An assignment only proposes; the claim in the log decides, so two nodes that believe in the same partition are never a
//! danger, only a delay. What a node hears of the others is a hint of the same kind: a forwarded command is decided by
//! whoever proves to be the owner, or by nobody.
mod forward;
#[cfg(all(feature = "kafka", feature = "postgres"))]
pub mod group;
#[cfg(feature = "postgres")]
pub mod leases;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;

pub use forward::ForwardError;
pub(crate) use forward::Forwarder;
pub use serve::router;

/// The partitions that this process is to own; it claims those that appear and gives back those that go.
pub type Proposed = watch::Receiver<BTreeSet<u16>>;

/// Where the owner of a partition is, as far as this node heard. The newest term counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedBy {
    /// Base URL of the node, such as `http://10.0.0.7:8080`.
    pub url: String,
    /// Number of the term in which it claimed.
    pub term: u64,
}

/// How the nodes of an installation tell each other what they own: a topic, a table, or nothing where there is one node.
///
/// It is a hint. `announce` may be late or lost, and `owner` may be wrong: an ask that comes to a node that owns nothing
/// is refused there, and asked again.
pub trait Owners: Send + Sync {
    /// The node that announced this partition in the newest term, other than this one.
    fn owner(&self, partition: u16) -> Option<OwnedBy>;
    /// The newest announcement that was heard of, this node's own among them.
    fn known(&self, partition: u16) -> Option<OwnedBy> {
        self.owner(partition)
    }
    /// Says that this node serves the partition from this term on. Never blocks.
    fn announce(&self, partition: u16, term: u64);
}

/// A live node, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it does.
    pub roles: Vec<String>,
}

/// A process's part in an installation of several nodes: who shares out the partitions, and who is there.
#[async_trait]
pub trait Membership: Send + Sync {
    /// The partitions that this node is to take in a role; for ever none if it does not have it.
    fn share(&self, role: &str) -> Proposed;
    /// What the nodes tell each other of what they own.
    fn owners(&self) -> Arc<dyn Owners>;
    /// All live nodes.
    fn members(&self) -> Vec<Member>;
    /// Gives everything back at once, so that the others need not wait for the session to end.
    async fn leave(&self);
}

/// What a process needs to be one of several nodes.
#[derive(Clone)]
pub struct Nodes {
    /// What this node is to own.
    pub proposed: Proposed,
    /// What the others own.
    pub owners: Arc<dyn Owners>,
    /// Whether this node follows the partitions that it does not own, so that it takes one over at once.
    pub stands_by: bool,
}

/// Returns when the partition is proposed to this process. If nobody can propose any more, never.
pub(crate) async fn until_proposed(proposed: &mut Proposed, partition: u16) {
    let is_proposed = proposed.wait_for(|proposed| proposed.contains(&partition)).await.is_ok();
    if !is_proposed {
        std::future::pending::<()>().await;
    }
}

/// Returns when the partition is no longer proposed; without other nodes, never. Whoever can no longer propose takes
/// nothing away: the claim of another node does.
pub(crate) async fn until_withdrawn(proposed: Option<&mut Proposed>, partition: u16) {
    let is_withdrawn = match proposed {
        Some(proposed) => proposed.wait_for(|proposed| !proposed.contains(&partition)).await.is_ok(),
        None => false,
    };
    if !is_withdrawn {
        std::future::pending::<()>().await;
    }
}

/// Whether the partition is this process's to work on; without other nodes all are.
pub(crate) fn is_proposed(proposed: Option<&Proposed>, partition: u16) -> bool {
    proposed.is_none_or(|proposed| proposed.borrow().contains(&partition))
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("proposed", &*self.proposed.borrow()).finish_non_exhaustive()
    }
}
