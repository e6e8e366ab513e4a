//! Nodes over a log in Kafka: a consumer group proposes owners, and a topic tells who owns what as soon as it is so. Who is
//! there, and who has which share of the other roles, is in Postgres like everything that nodes share beside the log; so is
//! who owns what once more, because a topic can be away with its broker, or lost.
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
    /// What is lost there is told again.
    table: Arc<dyn Owners>,
    url: String,
}

impl Owners for Heard {
    fn owner(&self, partition: u16) -> Option<OwnedBy> {
        self.known(partition).filter(|owner| owner.url != self.url)
    }

    fn known(&self, partition: u16) -> Option<OwnedBy> {
        let told = self.owners.of(partition).map(|Announced { term, place }| OwnedBy { url: place, term });
        told.into_iter().chain(self.table.known(partition)).max_by_key(|owner| owner.term)
    }

    fn announce(&self, partition: u16, term: u64) {
        self.owners.announce(partition, &Announced { term, place: self.url.clone() });
        self.table.announce(partition, term);
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
        let owners = Arc::new(Heard { owners, table: leases.owners(), url: url.to_owned() });
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use event_log::kafka::testing::new_topic;
    use postgres_store::testing::TestDatabase;

    use super::{super::leases::Node, *};
    use crate::testing::within;

    const LOG: [u8; 16] = [7; 16];
    const SESSION: Duration = Duration::from_secs(60);

    /// A node that hears of owners, and is proposed nothing.
    async fn join(database: &TestDatabase, topic: &Address, name: &str) -> Grouped {
        let url = format!("http://{name}");
        let node = Node { name: name.to_owned(), url: url.clone(), roles: BTreeSet::new(), session: SESSION };
        let leases = Leases::join(&database.address(), LOG, 16, node).await.unwrap();
        Grouped::join(topic, LogId::from_bytes(LOG), leases, name, &url, SESSION).await.unwrap()
    }

    async fn until_heard(by: &Grouped, url: &str, term: u64) {
        let (owners, expected) = (by.owners(), OwnedBy { url: url.to_owned(), term });
        let hears = async {
            while owners.owner(3).as_ref() != Some(&expected) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(&format!("the owner in term {term}"), hears).await;
    }

    /// Catches: a node that believes the topic alone, or the table alone, or the older of the two. Two topics stand for one
    /// that was lost, or away, after the first announcement.
    #[tokio::test]
    async fn what_the_topic_of_the_owners_lost_becomes_known_all_the_same() {
        let (database, topic, lost) = (TestDatabase::create(), new_topic(), new_topic());
        let (a, hears) = (join(&database, &topic, "a").await, join(&database, &topic, "hears").await);
        a.owners().announce(3, 7);
        until_heard(&hears, "http://a", 7).await;
        let b = join(&database, &lost, "b").await;
        b.owners().announce(3, 8);
        for hears in [&hears, &a, &join(&database, &lost, "later").await] {
            until_heard(hears, "http://b", 8).await;
        }
        let late = kafka::Owners::open(&topic, LogId::from_bytes(LOG)).await.unwrap();
        late.announce(3, &Announced { term: 9, place: "http://c".to_owned() });
        until_heard(&hears, "http://c", 9).await;
    }
}
