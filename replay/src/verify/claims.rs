//! Claims that do not follow the record ahead of them. On a store that cannot check what is appended that is no fault: the
//! claimer had not read the newest records yet. But a claim may also follow a record that is not there any more, and then
//! nothing else in the log may show that it is missing.
use std::collections::VecDeque;

use event_log::{AdmittedRecord, Checkpoint, Hash, Kind, Position};

/// So many records back a claimer may have been.
const BACK_MAX: usize = 4_096;

/// What is known of the claims of one partition.
pub(super) struct Claims {
    partition: u16,
    /// The newest records, and where the partition begins.
    behind: VecDeque<(Hash, Position)>,
    /// How many claims were late, and the last of them.
    late: u64,
    last: String,
    /// Those that follow a record which is not there.
    astray: Vec<String>,
}

impl Claims {
    pub(super) fn behind(begin: &Checkpoint) -> Self {
        let behind = VecDeque::from([(begin.state.head, begin.position)]);
        Self { partition: begin.partition, behind, late: 0, last: String::new(), astray: Vec::new() }
    }

    pub(super) fn take(&mut self, record: &AdmittedRecord) {
        if record.frame.kind == Kind::Claim {
            self.compare(record.frame.prev, record.frame.term.number, record.position);
        }
        if self.behind.len() == BACK_MAX {
            self.behind.pop_front();
        }
        self.behind.push_back((record.head, record.position));
    }

    fn compare(&mut self, prev: Hash, term: u64, position: Position) {
        let found = self.behind.iter().rev().position(|(head, _)| *head == prev);
        match found {
            Some(0) => {}
            Some(between) => {
                self.late += 1;
                self.last = format!("that of term {term} at position {position}, behind {between} it had not read");
            }
            None => self.astray.push(format!(
                "partition {}: the claim of term {term} at position {position} follows a record that is not in the log \
                 (or stands more than {BACK_MAX} records before it); what its writer had read may be lost",
                self.partition
            )),
        }
    }

    /// What to tell.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        let late = (self.late > 0).then(|| {
            let Self { partition, late, last, .. } = self;
            format!(
                "partition {partition}: {late} claims came behind records that they had not read, last {last}"
            )
        });
        self.astray.iter().cloned().chain(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(n: u8) -> Hash {
        Hash::from_bytes([n; 32])
    }

    /// What is told of claims with these `prev`, each behind one more record.
    fn told(prev: &[u8]) -> Vec<String> {
        let mut claims = Claims {
            partition: 3,
            behind: VecDeque::from([(head(0), Position::START)]),
            late: 0,
            last: String::new(),
            astray: Vec::new(),
        };
        for (position, prev) in (1..).zip(prev) {
            claims.compare(head(*prev), u64::from(position), Position::new(position.into()));
            claims.behind.push_back((head(position), Position::new(position.into())));
        }
        claims.notes().collect()
    }

    #[test]
    fn a_claim_that_does_not_follow_the_record_ahead_of_it_is_told() {
        assert_eq!(told(&[0, 1, 2, 3]), Vec::<String>::new());
        let late = told(&[0, 0, 1, 3]);
        assert!(
            matches!(&late[..], [note] if note.contains("2 claims") && note.contains("term 3")),
            "{late:?}"
        );
        let astray = told(&[0, 1, 9]);
        assert!(matches!(&astray[..], [note] if note.contains("not in the log")), "{astray:?}");
    }
}
