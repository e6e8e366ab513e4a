//! What `init` decides once for the life of a log, and the states that follow from it.

use crate::{
    admit::State,
    hash::{Hash, Purpose, digest},
    ids::{LogId, WriterId},
};

/// The route of reference data: it belongs to partition 0, whoever the merchant is.
pub const REFERENCE_ROUTE: [u8; 16] = [0; 16];

/// What the store itself promises about an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Class {
    /// The append itself checks the head, so nothing stale, orphaned or undecodable can be honest (SQLite, Postgres).
    Conditional = 1,
    /// Anything may land in any order; readers sort it out (Kafka).
    Open = 2,
}

impl Class {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Conditional, Self::Open].into_iter().find(|class| *class as u8 == code)
    }
}

/// The birth certificate of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// Who the log is.
    pub log_id: LogId,
    /// Which hashing it uses.
    pub hash_version: u8,
    /// How many partitions it has, for ever.
    pub partitions: u16,
    /// What its store promises.
    pub class: Class,
}

impl Genesis {
    /// A new log; only `init` calls this, never a claim.
    pub(crate) fn new(partitions: u16, class: Class) -> Self {
        Self { log_id: LogId::random(), hash_version: crate::hash::HASH_VERSION, partitions, class }
    }

    /// The state of a partition before its first record.
    pub fn state(&self, partition: u16) -> State {
        State {
            class: self.class,
            head: self.head(partition),
            height: 0,
            number: 0,
            writer: WriterId::NOBODY,
            seq: 0,
        }
    }

    /// Which partition a merchant's route lives in.
    pub fn partition_of(&self, merchant: [u8; 16], route: [u8; 16]) -> u16 {
        if route == REFERENCE_ROUTE {
            return 0;
        }
        let hash = digest(Purpose::Route, &[&merchant, &route]);
        let number = hash.as_bytes().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        (number % u64::from(self.partitions)) as u16
    }

    fn head(&self, partition: u16) -> Hash {
        digest(
            Purpose::Genesis,
            &[
                self.log_id.as_bytes(),
                &[self.hash_version],
                &partition.to_be_bytes(),
                &self.partitions.to_be_bytes(),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genesis(partitions: u16) -> Genesis {
        Genesis { log_id: LogId::from_bytes([1; 16]), hash_version: 1, partitions, class: Class::Open }
    }

    /// Computed by another implementation; a change would give streams a second home.
    #[test]
    fn routes_never_move() {
        let found: Vec<u16> = (1..=8).map(|byte| genesis(32).partition_of([7; 16], [byte; 16])).collect();
        assert_eq!(found, [4, 5, 5, 12, 9, 11, 31, 26]);
    }

    #[test]
    fn the_same_route_of_two_merchants_is_two_routes() {
        let partition_of = |merchant| genesis(u16::MAX).partition_of([merchant; 16], [1; 16]);
        assert_ne!(partition_of(1), partition_of(2));
    }

    #[test]
    fn reference_data_lives_in_partition_zero() {
        assert_eq!(genesis(32).partition_of([9; 16], REFERENCE_ROUTE), 0);
    }

    /// Computed by another implementation; a change breaks every log ever written.
    #[test]
    fn the_first_head_never_changes() {
        assert_eq!(
            genesis(8).state(3).head.to_string(),
            "3aa2ded18111f69c6f64e06176585dbadabc8bfee17b9a62827ace32443c778e"
        );
    }

    #[test]
    fn the_first_head_depends_on_all_that_genesis_fixes() {
        let base = genesis(8);
        let heads = [
            base.state(0).head,
            base.state(1).head,
            Genesis { partitions: 9, ..base }.state(0).head,
            Genesis { hash_version: 2, ..base }.state(0).head,
            Genesis { log_id: LogId::from_bytes([2; 16]), ..base }.state(0).head,
        ];
        for (index, head) in heads.iter().enumerate() {
            assert!(!heads[..index].contains(head));
        }
    }
}
