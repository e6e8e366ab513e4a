//! The rule of admission, and the wrong ones that are tried in its place.

use event_log::{Admission, Class, Frame, Kind, Reason, Record, State, Term, WriterId, admit};

/// By which rule everybody in a world admits records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// The crate's own.
    Real,
    /// Any record of the next height.
    HeightOnly,
    /// Any record that extends the head; with no term to look at, the rest is skipped.
    HashWithoutTerm,
    /// Term, place and height, but not the head.
    TermWithoutHash,
    /// Height and the term's number, but neither its writer nor the head.
    NumberOnly,
    /// The crate's, but of two claims of one number the higher writer wins.
    TiesByWriter,
}

impl Rule {
    pub(crate) fn admit(self, state: &mut State, record: &Record) -> Admission {
        let verdict = match (self, record.frame.kind) {
            (Self::TiesByWriter, Kind::Claim) if wins_tie(state, &record.frame) => Admission::Admitted,
            (Self::Real | Self::TiesByWriter, _) | (_, Kind::Claim) => return admit(state, record),
            _ => self.judge(state, &record.frame),
        };
        if verdict == Admission::Admitted {
            force(state, record);
        }
        verdict
    }

    fn judge(self, state: &State, frame: &Frame) -> Admission {
        let follows = frame.height == state.height + 1;
        match self {
            Self::HeightOnly if follows => Admission::Admitted,
            Self::HashWithoutTerm if follows && frame.prev == state.head => Admission::Admitted,
            Self::HeightOnly | Self::HashWithoutTerm => Admission::Stale,
            Self::NumberOnly if frame.term.number < state.number => Admission::Stale,
            Self::NumberOnly if frame.term.number > state.number => {
                Admission::Diverged(Reason::UnknownWriter)
            }
            Self::NumberOnly if frame.height <= state.height => Admission::Stale,
            Self::NumberOnly if !follows => Admission::Orphan,
            Self::NumberOnly => Admission::Admitted,
            Self::Real | Self::TiesByWriter | Self::TermWithoutHash => without_hash(state, frame, follows),
        }
    }
}

fn wins_tie(state: &State, claim: &Frame) -> bool {
    claim.term.number == state.number && claim.term.writer.as_bytes() > state.writer.as_bytes()
}

fn without_hash(state: &State, frame: &Frame, follows: bool) -> Admission {
    if frame.term.number < state.number {
        return Admission::Stale;
    }
    if frame.term != state.term() {
        return Admission::Diverged(Reason::UnknownWriter);
    }
    match frame.seq {
        seq if seq <= state.seq => Admission::Stale,
        seq if seq > state.seq + 1 => Admission::Orphan,
        _ if follows => Admission::Admitted,
        _ => Admission::Diverged(Reason::ChainBroken),
    }
}

/// Moves the state on as if the record fitted: the crate rolls the head over anything that looks like a newer claim.
fn force(state: &mut State, record: &Record) {
    let Term { number, writer } = record.frame.term;
    let newer = Term { number: state.number + 1, writer: WriterId::NOBODY };
    let frame = Frame { kind: Kind::Claim, term: newer, ..record.frame };
    let class = std::mem::replace(&mut state.class, Class::Open);
    admit(state, &Record { frame, ..record.clone() });
    (state.class, state.number, state.writer, state.seq) = (class, number, writer, record.frame.seq);
}
