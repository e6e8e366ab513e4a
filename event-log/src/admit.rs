//! The rule by which every reader on every backend takes a record into its history. Pure; nothing waits.

use crate::{
    error::Reason,
    frame::{Frame, Kind, Record},
    genesis::Class,
    hash::{Hash, roll},
    ids::{Term, WriterId},
    mutation::{Mutation, planted},
};

/// All that `admit` looks at besides the record. Readers of one history have equal states at equal positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// What the store promises, from genesis.
    pub class: Class,
    /// The rolling hash over all admitted records.
    pub head: Hash,
    /// How many records were admitted.
    pub height: u64,
    /// Number of the current term.
    pub number: u64,
    /// Writer of the current term.
    pub writer: WriterId,
    /// The last admitted place in the current term.
    pub seq: u64,
}

impl State {
    /// The current term.
    pub fn term(&self) -> Term {
        Term { number: self.number, writer: self.writer }
    }
}

/// What becomes of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is history; the state moved on.
    Admitted,
    /// Of an older term, or a duplicate: skip and count.
    Stale,
    /// A record of its term before it is missing: skip and count, read on.
    Orphan,
    /// Not our history: stop and alarm.
    Diverged(Reason),
}

/// Judges a record, and moves the state on if it is admitted.
pub fn admit(state: &mut State, record: &Record) -> Admission {
    let frame = &record.frame;
    let verdict = match frame.kind {
        Kind::Claim => judge_claim(state, frame),
        Kind::Commit | Kind::Outcome | Kind::Barrier => judge_successor(state, frame),
    };
    let verdict = match state.class {
        Class::Conditional => forbid_skipping(verdict),
        Class::Open => verdict,
    };
    if verdict == Admission::Admitted {
        state.number = frame.term.number;
        state.writer = frame.term.writer;
        state.seq = if frame.kind == Kind::Claim { 0 } else { frame.seq };
        state.height += 1;
        state.head = roll(state.head, record.hash);
    }
    verdict
}

/// The number alone decides: the first claim of a number to land wins, and writers are never ordered.
fn judge_claim(state: &State, claim: &Frame) -> Admission {
    if claim.term.number <= state.number {
        return Admission::Stale;
    }
    if state.class == Class::Conditional && claim.prev != state.head {
        return Admission::Diverged(Reason::ClaimOffHead);
    }
    Admission::Admitted
}

fn judge_successor(state: &State, frame: &Frame) -> Admission {
    let follows = Some(frame.height) == state.height.checked_add(1);
    if planted(Mutation::AdmitOnHeightOnly) {
        return if follows { Admission::Admitted } else { Admission::Stale };
    }
    if frame.term.number < state.number {
        return Admission::Stale;
    }
    if frame.term != state.term() {
        return Admission::Diverged(Reason::UnknownWriter);
    }
    if frame.seq <= state.seq {
        return Admission::Stale;
    }
    if frame.seq - state.seq > 1 {
        return Admission::Orphan;
    }
    if frame.prev != state.head || !follows {
        return Admission::Diverged(Reason::ChainBroken);
    }
    Admission::Admitted
}

/// Where the append itself checks the head, nothing that would have to be skipped can be honest.
fn forbid_skipping(verdict: Admission) -> Admission {
    match verdict {
        Admission::Stale => Admission::Diverged(Reason::Stale),
        Admission::Orphan => Admission::Diverged(Reason::Orphan),
        Admission::Admitted | Admission::Diverged(_) => verdict,
    }
}

/// One vector per clause of the contract, for both classes.
#[cfg(test)]
mod tests {
    use super::*;

    const OURS: WriterId = WriterId::from_bytes([1; 16]);
    const OTHER: WriterId = WriterId::from_bytes([2; 16]);
    const HEAD: Hash = Hash::from_bytes([7; 32]);
    const ELSEWHERE: Hash = Hash::from_bytes([8; 32]);

    /// Term 5 of our writer, three records in, ten high.
    fn state(class: Class) -> State {
        State { class, head: HEAD, height: 10, number: 5, writer: OURS, seq: 3 }
    }

    /// The record that fits [`state`].
    fn next() -> Frame {
        Frame {
            kind: Kind::Commit,
            term: Term { number: 5, writer: OURS },
            seq: 4,
            height: 11,
            prev: HEAD,
            merchant: [0; 16],
            merchant_seq: 0,
            merchant_prev: Hash::ZERO,
            route: [0; 16],
            stream: [0; 16],
            key_count: 0,
        }
    }

    fn claim(number: u64, writer: WriterId) -> Frame {
        Frame { kind: Kind::Claim, term: Term { number, writer }, seq: 0, ..next() }
    }

    fn term(number: u64, writer: WriterId) -> Frame {
        Frame { term: Term { number, writer }, ..next() }
    }

    /// Checks the verdict on an open and on a conditional store, and that only admission changes the state.
    #[track_caller]
    fn check(frame: Frame, open: Admission, conditional: Admission) {
        for (class, expected) in [(Class::Open, open), (Class::Conditional, conditional)] {
            let before = state(class);
            let mut after = before;
            assert_eq!(admit(&mut after, &Record::encode(frame, b"body")), expected, "{class:?}");
            assert_eq!(after != before, expected == Admission::Admitted, "{class:?}");
        }
    }

    const ADMITTED: Admission = Admission::Admitted;

    fn diverged(reason: Reason) -> Admission {
        Admission::Diverged(reason)
    }

    #[test]
    fn a_claim_of_a_lower_or_equal_number_is_stale_whoever_wrote_it() {
        for number in [0, 4, 5] {
            for writer in [OURS, OTHER, WriterId::NOBODY, WriterId::from_bytes([255; 16])] {
                check(claim(number, writer), Admission::Stale, diverged(Reason::Stale));
            }
        }
    }

    #[test]
    fn a_claim_of_any_higher_number_is_admitted() {
        for number in [6, 7, u64::MAX] {
            check(claim(number, OTHER), ADMITTED, ADMITTED);
        }
    }

    #[test]
    fn a_claim_starts_its_term_at_zero_and_raises_the_chain_by_one() {
        let record = Record::encode(claim(9, OTHER), b"");
        let mut after = state(Class::Open);
        admit(&mut after, &record);
        let head = roll(HEAD, record.hash);
        assert_eq!(after, State { class: Class::Open, head, height: 11, number: 9, writer: OTHER, seq: 0 });
    }

    #[test]
    fn a_claim_off_the_head_is_free_on_an_open_store_only() {
        let off_head = Frame { prev: ELSEWHERE, ..claim(6, OTHER) };
        check(off_head, ADMITTED, diverged(Reason::ClaimOffHead));
    }

    #[test]
    fn a_claim_is_not_held_to_the_height_it_expected() {
        check(Frame { height: 3, ..claim(6, OTHER) }, ADMITTED, ADMITTED);
    }

    #[test]
    fn a_record_of_a_lower_number_is_stale() {
        check(term(4, OURS), Admission::Stale, diverged(Reason::Stale));
        check(term(4, OTHER), Admission::Stale, diverged(Reason::Stale));
    }

    #[test]
    fn a_record_of_a_term_never_claimed_here_diverges() {
        let unknown = diverged(Reason::UnknownWriter);
        check(term(6, OURS), unknown, unknown);
        check(term(5, OTHER), unknown, unknown);
    }

    #[test]
    fn an_unknown_writer_diverges_even_where_its_place_was_taken_or_is_ahead() {
        let unknown = diverged(Reason::UnknownWriter);
        check(Frame { seq: 1, ..term(5, OTHER) }, unknown, unknown);
        check(Frame { seq: 9, ..term(5, OTHER) }, unknown, unknown);
    }

    #[test]
    fn a_repeated_place_is_a_duplicate_and_stale() {
        for seq in [0, 1, 3] {
            check(Frame { seq, ..next() }, Admission::Stale, diverged(Reason::Stale));
        }
    }

    #[test]
    fn a_duplicate_is_stale_whatever_it_extends() {
        let duplicate = Frame { seq: 3, prev: ELSEWHERE, height: 2, ..next() };
        check(duplicate, Admission::Stale, diverged(Reason::Stale));
    }

    #[test]
    fn a_gap_in_the_term_is_an_orphan() {
        for seq in [5, 6, u64::MAX] {
            check(Frame { seq, ..next() }, Admission::Orphan, diverged(Reason::Orphan));
        }
    }

    #[test]
    fn the_next_record_must_extend_the_head() {
        let broken = diverged(Reason::ChainBroken);
        check(Frame { prev: ELSEWHERE, ..next() }, broken, broken);
    }

    #[test]
    fn the_next_record_must_have_the_next_height() {
        let broken = diverged(Reason::ChainBroken);
        for height in [0, 10, 12] {
            check(Frame { height, ..next() }, broken, broken);
        }
    }

    #[test]
    fn the_next_record_of_each_kind_is_admitted() {
        for kind in [Kind::Commit, Kind::Outcome, Kind::Barrier] {
            check(Frame { kind, ..next() }, ADMITTED, ADMITTED);
        }
    }

    #[test]
    fn an_admitted_record_moves_its_place_the_height_and_the_head_only() {
        let record = Record::encode(next(), b"body");
        let mut after = state(Class::Conditional);
        admit(&mut after, &record);
        assert_eq!(
            after,
            State { head: roll(HEAD, record.hash), height: 11, seq: 4, ..state(Class::Conditional) }
        );
    }

    #[test]
    fn a_height_that_cannot_grow_breaks_the_chain_instead_of_wrapping() {
        let mut full = State { height: u64::MAX, ..state(Class::Open) };
        let record = Record::encode(Frame { height: 0, ..next() }, b"");
        assert_eq!(admit(&mut full, &record), diverged(Reason::ChainBroken));
    }
}
