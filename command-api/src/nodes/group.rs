//! Nodes over a log in Kafka: a consumer group proposes owners, and a topic tells who owns what. Who is there, and who has
//! which share of the other roles, is in Postgres like everything that nodes share beside the log.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use event_log::{
    LogId,
    kafka::{self, Address, Announced},
};

use super::{Member, Membership, OwnedBy, Owners, Proposed, leases::Leases};
use crate::planted;

/// The role whose partitions the group shares out: owning them.
pub const OWNING: &str = "commands";

/// This node's part in the group.
pub struct Grouped {
    leases: Leases,
    owners: Arc<Heard>,
    /// None once it left; or the node does not own partitions.
    group: Mutex<Option<kafka::Group>>,
    proposed: Option<Proposed>,
}

struct Heard {
    owners: kafka::Owners,
    url: String,
}

impl Owners for Heard {
    fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.known(partition).filter(|owner| owner.url != self.url)
    }

    fn known(&self, partition: u16) -> Option<OwnedBy> {
        self.owners.of(partition).map(|Announced { term, place }| OwnedBy { url: place, term })
    }

    fn announce(&self, partition: u16, term: u64) {
        self.owners.announce(partition, &Announced { term, place: self.url.clone() });
    }
}

impl Grouped {
    /// Joins the group of the log as the node `name` that is at `url`, if it is to own partitions.
    ///
    /// # Errors
    /// The topic of the owners, or the clients.
    pub async fn join(
        address: &Address,
        log: LogId,
        leases: Leases,
        name: &str,
        url: &str,
        session: Duration,
    ) -> Result<Self, event_log::Error> {
        let owners = kafka::Owners::open(address, log).await?;
        let owns = leases.has(OWNING);
        let group = owns.then(|| kafka::Group::join(address, log, name, session)).transpose()?;
        let proposed = group.as_ref().map(kafka::Group::proposed);
        let owners = Arc::new(Heard { owners, url: url.to_owned() });
        Ok(Self { leases, owners, group: Mutex::new(group), proposed })
    }
}

#[async_trait]
impl Membership for Grouped {
    fn share(&self, role: &str) -> Proposed {
        match &self.proposed {
            Some(proposed) if role == OWNING && !planted::is_proposed_everything() => proposed.clone(),
            _ => self.leases.share(role),
        }
    }

    fn owners(&self) -> Arc<dyn Owners> {
        self.owners.clone()
    }

    fn members(&self) -> Vec<Member> {
        self.leases.members()
    }

    async fn leave(&self) {
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        let left = async {
            if let Some(group) = group {
                // It waits for its thread, which no task may do.
                drop(tokio::task::spawn_blocking(move || group.leave()).await);
            }
        };
        // Neither needs the other, and a group that takes long to leave must not cost the others the session of the lease.
        tokio::join!(left, self.leases.leave());
    }
}
