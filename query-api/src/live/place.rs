//! Where a consumer of the live feed is: a position in every partition, opaque to the consumer.
use std::fmt;

use event_log::LogId;
use projections::audit_log::Stretch;

use crate::Reads;

/// A place in all partitions of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    log: String,
    positions: Vec<u64>,
}

/// Why a text is no place that this log can go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAPlace {
    /// It is no place at all.
    Malformed,
    /// It is of another log, or of a history that this one does not hold.
    OtherHistory,
}

impl Reads {
    /// Up to where all projections show the log.
    pub(crate) fn place(&self) -> Place {
        let partitions = 0..self.log.partitions();
        let positions = partitions.map(|partition| self.progress.caught_up_to(partition).get());
        Place { log: name(self.log.id()), positions: positions.collect() }
    }

    /// The place that an earlier message named.
    pub(crate) fn place_of(&self, text: &str) -> Result<Place, NotAPlace> {
        let mut parts = text.split('.');
        let log = parts.next().filter(|log| log.len() == 8).ok_or(NotAPlace::Malformed)?;
        let positions: Option<Vec<u64>> = parts.map(|part| part.parse().ok()).collect();
        let positions = positions.filter(|all| !all.is_empty()).ok_or(NotAPlace::Malformed)?;
        let ends: Vec<u64> =
            (0..self.log.partitions()).map(|partition| self.log.end(partition).get()).collect();
        let held = positions.len() == ends.len() && positions.iter().zip(&ends).all(|(at, end)| at <= end);
        if log != name(self.log.id()) || !held {
            return Err(NotAPlace::OtherHistory);
        }
        Ok(Place { log: log.to_owned(), positions })
    }
}

fn name(log: LogId) -> String {
    let id = log.to_string();
    id.get(..8).unwrap_or_default().to_owned()
}

impl Place {
    /// Moves on to a position of one partition.
    pub(crate) fn reach(&mut self, part: u16, position: u64) {
        if let Some(reached) = self.positions.get_mut(usize::from(part)) {
            *reached = position;
        }
    }

    /// What lies between an earlier place and this one.
    pub(crate) fn beyond(&self, earlier: &Self) -> Vec<Stretch> {
        let both = earlier.positions.iter().zip(&self.positions);
        let stretches =
            (0..).zip(both).map(|(part, (after, until))| Stretch { part, after: *after, until: *until });
        stretches.filter(|stretch| stretch.until > stretch.after).collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.log)?;
        self.positions.iter().try_for_each(|position| write!(f, ".{position}"))
    }
}
