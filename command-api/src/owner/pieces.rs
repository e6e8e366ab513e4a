//! Many short pieces of bytes side by side, in chunks of pieces of one size: what the allocator gives to others meanwhile
//! leaves no holes between them.

/// Rooms differ by so many bytes.
const STEP: usize = 32;
/// Longer pieces are allocated each by itself.
const SHORT_MAX: usize = 4 * 1024;
/// So many bytes are allocated at once for short pieces.
const CHUNK_BYTES: usize = 16 * 1024;

/// Where a piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    len: u32,
    at: u32,
}

/// All pieces of one owner.
pub(super) struct Pieces {
    /// By room, the smallest first.
    short: Vec<Rooms>,
    long: Vec<Box<[u8]>>,
    /// Of the long ones.
    free: Vec<u32>,
}

/// Rooms of one size.
#[derive(Default)]
struct Rooms {
    chunks: Vec<Box<[u8]>>,
    /// Rooms that were left.
    free: Vec<u32>,
    /// Rooms that were ever taken.
    taken: u32,
}

impl Piece {
    fn len(self) -> usize {
        self.len as usize
    }

    /// The memory that it takes.
    pub(super) fn room(self) -> usize {
        let len = self.len();
        if len > SHORT_MAX { len } else { room(size(len)) }
    }
}

/// Which of the sizes a short piece has.
const fn size(len: usize) -> usize {
    len.saturating_sub(1) / STEP
}

const fn room(size: usize) -> usize {
    (size + 1) * STEP
}

impl Pieces {
    pub(super) fn new() -> Self {
        let short = std::iter::repeat_with(Rooms::default).take(size(SHORT_MAX) + 1).collect();
        Self { short, long: Vec::new(), free: Vec::new() }
    }

    /// Takes in a piece, given in parts. None if it is too long to be one.
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> Option<Piece> {
        let len = u32::try_from(parts.iter().map(|part| part.len()).sum::<usize>()).ok()?;
        let at = match self.short.get_mut(size(len as usize)) {
            Some(rooms) => rooms.take(room(size(len as usize)))?,
            None => self.free.pop().map_or_else(|| u32::try_from(self.long.len()).ok(), Some)?,
        };
        let piece = Piece { len, at };
        if piece.len() > SHORT_MAX {
            let at = at as usize;
            self.long.resize_with(self.long.len().max(at + 1), Box::default);
            self.long[at] = parts.concat().into_boxed_slice();
            return Some(piece);
        }
        let mut rest = self.get_mut(piece);
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        Some(piece)
    }

    pub(super) fn get(&self, piece: Piece) -> &[u8] {
        let Piece { len, at } = piece;
        match self.short.get(size(len as usize)) {
            Some(rooms) => {
                let (chunk, from) = place(at, piece.room());
                &rooms.chunks[chunk][from..from + piece.len()]
            }
            None => &self.long[at as usize],
        }
    }

    fn get_mut(&mut self, piece: Piece) -> &mut [u8] {
        let Piece { len, at } = piece;
        match self.short.get_mut(size(len as usize)) {
            Some(rooms) => {
                let (chunk, from) = place(at, piece.room());
                &mut rooms.chunks[chunk][from..from + piece.len()]
            }
            None => &mut self.long[at as usize],
        }
    }

    /// Lets go of a piece; its room is for the next one.
    pub(super) fn remove(&mut self, piece: Piece) {
        match self.short.get_mut(size(piece.len())) {
            Some(rooms) => rooms.leave(piece.at),
            None => {
                self.long[piece.at as usize] = Box::default();
                self.free.push(piece.at);
            }
        }
    }
}

/// The chunk of a room, and where in it the room begins.
const fn place(at: u32, room: usize) -> (usize, usize) {
    let of_chunk = CHUNK_BYTES / room;
    (at as usize / of_chunk, at as usize % of_chunk * room)
}

impl Rooms {
    fn take(&mut self, room: usize) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        let at = self.taken;
        self.taken = at.checked_add(1)?;
        if place(at, room).0 == self.chunks.len() {
            self.chunks.push(vec![0; CHUNK_BYTES / room * room].into_boxed_slice());
        }
        Some(at)
    }

    fn leave(&mut self, at: u32) {
        self.free.push(at);
        if self.free.len() == self.taken as usize {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn chunks(pieces: &Pieces) -> usize {
        pieces.short.iter().map(|rooms| rooms.chunks.len()).sum::<usize>() + pieces.long.len()
    }

    /// Seen to fail where rooms are a step too small, and where a long piece leaves its place to two.
    #[test]
    fn every_piece_stays_as_it_is_whatever_comes_and_goes() {
        let (mut rng, mut pieces, mut model) = (StdRng::seed_from_u64(1), Pieces::new(), BTreeMap::new());
        for number in 0..20_000_u32 {
            if rng.random_ratio(3, 5) {
                let longest = if rng.random_ratio(1, 50) { 3 * SHORT_MAX } else { 700 };
                let bytes: Vec<u8> = (0..rng.random_range(0..longest)).map(|_| rng.random()).collect();
                let (first, second) = bytes.split_at(bytes.len() / 3);
                model.insert(number, (pieces.put(&[first, second]).unwrap(), bytes));
            } else if let Some((piece, bytes)) = model.remove(&rng.random_range(0..=number)) {
                assert_eq!(pieces.get(piece), bytes);
                pieces.remove(piece);
            }
        }
        assert!(model.values().all(|(piece, bytes)| pieces.get(*piece) == bytes));
        assert!(model.len() > 1_000);
        model.into_values().for_each(|(piece, _)| pieces.remove(piece));
        assert_eq!(pieces.short.iter().map(|rooms| rooms.chunks.len()).sum::<usize>(), 0);
    }

    /// Seen to fail where rooms that were left are forgotten.
    #[test]
    fn a_room_that_was_left_is_taken_again() {
        for len in [0, 1, 31, 32, 33, 500, SHORT_MAX, SHORT_MAX + 1] {
            let mut pieces = Pieces::new();
            let bytes = vec![7; len];
            let first: Vec<Piece> = (0..100).map(|_| pieces.put(&[&bytes]).unwrap()).collect();
            let before = chunks(&pieces);
            for piece in &first[1..] {
                pieces.remove(*piece);
                assert!(pieces.put(&[&bytes]).is_some());
            }
            assert_eq!(chunks(&pieces), before, "{len}");
            assert!(first[0].room() >= len && first[0].room() <= len + STEP);
        }
    }
}
