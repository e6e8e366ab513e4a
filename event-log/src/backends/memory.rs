//! A log in memory, of either class, for tests. Its positions have holes, as Kafka's do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use crate::{
    backend::{
        Backend, Delivery, Ends, Entry, Fetched, Last, Producer, StoreHead, Stored, Tail, wait_beyond,
    },
    error::{Fault, Reason},
    frame::hash_of,
    genesis::{Class, Genesis},
    hash::Hash,
    ids::Position,
    log::Log,
    mutation::{Mutation, planted},
};

/// A new log in memory; `partitions` is at least 1.
pub fn init(partitions: u16, class: Class) -> Log {
    Memory::init(partitions, class).log()
}

/// The store itself, for tests that break it or put a faulty wrapper around it; a clone is the same store.
#[derive(Clone)]
pub struct Memory(Arc<Store>);

struct Store {
    genesis: Genesis,
    ends: Ends,
    partitions: Mutex<Vec<Partition>>,
}

struct Partition {
    records: Vec<Stored>,
    head: StoreHead,
    /// Hash of the last record, as the append left it.
    last: Hash,
}

impl Memory {
    /// An empty store; `partitions` is at least 1.
    pub fn init(partitions: u16, class: Class) -> Self {
        let genesis = Genesis::new(partitions.max(1), class);
        let empty = |partition| {
            let head = StoreHead::from(&genesis.state(partition));
            Partition { records: Vec::new(), head, last: Hash::ZERO }
        };
        let partitions = (0..genesis.partitions).map(empty).collect();
        Self(Arc::new(Store {
            genesis,
            ends: Ends::new(genesis.partitions),
            partitions: Mutex::new(partitions),
        }))
    }

    /// A log over the store.
    pub fn log(&self) -> Log {
        Log::new(Arc::new(self.clone()))
    }

    /// Changes what is stored in a partition, behind the back of everybody; the store's head stays as it is.
    pub fn tamper(&self, partition: u16, change: impl FnOnce(&mut Vec<Stored>)) {
        if let Some(partition) = self.0.lock().get_mut(usize::from(partition)) {
            change(&mut partition.records);
        }
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Vec<Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, number: u16, entry: Entry) -> Delivery {
        let mut partitions = self.lock();
        let Some(partition) = partitions.get_mut(usize::from(number)) else {
            return Delivery::Unknown(Fault::new("find a partition", "there is no such partition"));
        };
        if self.genesis.class == Class::Conditional && !planted(Mutation::SkipFence) {
            if let Err(reason) = partition.recheck() {
                return Delivery::Diverged(reason);
            }
            if entry.before != partition.head {
                return Delivery::Refused { number: partition.head.number };
            }
        }
        let position = partition.append(entry);
        drop(partitions);
        self.ends.advance(number, position);
        Delivery::Stored(position)
    }
}

impl Partition {
    /// The last record stored must still be there when the next one is put behind it.
    fn recheck(&self) -> Result<(), Reason> {
        let found = self.records.last().map_or(Hash::ZERO, |stored| hash_of(&stored.bytes));
        if found == self.last { Ok(()) } else { Err(Reason::LastReadGone) }
    }

    fn append(&mut self, entry: Entry) -> Position {
        let last = self.records.last().map_or(0, |stored| stored.position.get());
        let hole = u64::from(last % 5 == 3);
        let position = Position::new(last + 1 + hole);
        self.last = entry.record.hash;
        self.head = entry.after;
        self.records.push(Stored { position, bytes: entry.record.bytes });
        position
    }
}

#[async_trait]
impl Backend for Memory {
    fn genesis(&self) -> &Genesis {
        &self.0.genesis
    }

    fn ends(&self) -> &Ends {
        &self.0.ends
    }

    fn tail(&self, partition: u16) -> Box<dyn Tail> {
        let end = self.0.ends.subscribe(partition);
        Box::new(MemoryTail { store: self.0.clone(), partition, end })
    }

    async fn producer(&self, partition: u16) -> Result<Option<Box<dyn Producer>>, Fault> {
        Ok(Some(Box::new(MemoryProducer { store: self.0.clone(), partition })))
    }
}

struct MemoryTail {
    store: Arc<Store>,
    partition: u16,
    end: watch::Receiver<Position>,
}

#[async_trait]
impl Tail for MemoryTail {
    async fn fetch(&mut self, after: Position, max_records: usize) -> Result<Fetched, Fault> {
        let partitions = self.store.lock();
        let partition = &partitions[usize::from(self.partition)];
        let at = partition.records.iter().find(|stored| stored.position == after);
        let last = at.map_or(Last::Absent, |stored| Last::Bytes(stored.bytes.clone()));
        let behind = partition.records.iter().filter(|stored| stored.position > after);
        let records: Vec<Stored> = behind.take(max_records).cloned().collect();
        let to_the_end = records.len() < max_records && self.store.genesis.class == Class::Conditional;
        Ok(Fetched { last, records, head: to_the_end.then_some(partition.head) })
    }

    async fn changed(&mut self, after: Position) -> Result<(), Fault> {
        wait_beyond(&mut self.end, after).await
    }
}

struct MemoryProducer {
    store: Arc<Store>,
    partition: u16,
}

impl Producer for MemoryProducer {
    fn send(&mut self, entry: Entry) -> oneshot::Receiver<Delivery> {
        let (report, delivery) = oneshot::channel();
        drop(report.send(self.store.store(self.partition, entry)));
        delivery
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Fixture, Tamper, conformance};

    impl Fixture for Memory {
        fn log(&self) -> Log {
            self.log()
        }

        async fn reopen(self) -> Self {
            self
        }

        fn tamper(&self, tamper: Tamper) {
            self.tamper(0, |records| match tamper {
                Tamper::Edit(index, bytes) => records[index].bytes = bytes,
                Tamper::Delete(index) => drop(records.remove(index)),
                Tamper::Swap(one, other) => {
                    let bytes = records[one].bytes.clone();
                    records[one].bytes = std::mem::replace(&mut records[other].bytes, bytes);
                }
            });
        }
    }

    conformance!(conditional, Memory::init(4, Class::Conditional));
    conformance!(open, Memory::init(4, Class::Open));
}
