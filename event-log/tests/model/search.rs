//! Every state that can be reached, each once, nearest first; so what is found first takes the fewest steps.
//!
//! A state is remembered by 64 bits of hash: among ten million states two share one with a chance of 1 in 350,000.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::{
    arena::Arena,
    properties::{Violation, violations},
    step::Step,
    world::{Action, Config, World},
};

/// What happened somewhere, so that a search that met nothing of it cannot pass for proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) accepted: bool,
    pub(crate) rejected: bool,
    pub(crate) fenced: bool,
    pub(crate) doubt: bool,
    pub(crate) stale: bool,
    pub(crate) orphan: bool,
    /// Two claims of one number landed, and the loser saw it.
    pub(crate) tie: bool,
    pub(crate) resumed: bool,
    pub(crate) found_shrunk: bool,
}

impl Seen {
    pub(crate) const ALL: Self = Self {
        accepted: true,
        rejected: true,
        fenced: true,
        doubt: true,
        stale: true,
        orphan: true,
        tie: true,
        resumed: true,
        found_shrunk: true,
    };

    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            accepted: self.accepted || other.accepted,
            rejected: self.rejected || other.rejected,
            fenced: self.fenced || other.fenced,
            doubt: self.doubt || other.doubt,
            stale: self.stale || other.stale,
            orphan: self.orphan || other.orphan,
            tie: self.tie || other.tie,
            resumed: self.resumed || other.resumed,
            found_shrunk: self.found_shrunk || other.found_shrunk,
        }
    }
}

/// What a search came to.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// How many steps away the last state is.
    pub(crate) depth: usize,
    pub(crate) seen: Seen,
    /// The first violation, and the shortest way there.
    pub(crate) violation: Option<(Violation, Vec<String>)>,
}

struct Search<'a> {
    config: &'a Config,
    arena: Arena,
    seen: Seen,
    /// Each state and the one it was first reached from.
    reached: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    steps: usize,
}

/// Explores all states, or until one of the violations is found; others are passed over.
pub(crate) fn explore(config: &Config, wanted: &[Violation]) -> Explored {
    let bits = wanted.iter().fold(0, |bits, violation| bits | violation.bit());
    let mut search = Search {
        config,
        arena: config.arena(),
        seen: Seen::default(),
        reached: HashMap::default(),
        steps: 0,
    };
    let start = World::start(config);
    search.reached.insert(fingerprint(&start), 0);
    let (mut level, mut depth, mut violation) = (vec![start], 0, None);
    while !level.is_empty() && violation.is_none() {
        let (next, found) = search.next_level(&level, bits);
        violation = found.map(|(violation, world)| (violation, search.way_to(&world)));
        depth += usize::from(!next.is_empty());
        level = next;
    }
    let Search { seen, reached, steps, .. } = search;
    Explored { states: reached.len(), steps, depth, seen, violation }
}

impl Search<'_> {
    fn next_level(&mut self, level: &[World], wanted: u16) -> (Vec<World>, Option<(Violation, World)>) {
        let mut next = Vec::with_capacity(level.len());
        for world in level {
            let from = fingerprint(world);
            for action in world.actions(self.config, &self.arena) {
                let after = self.step(world, action);
                self.steps += 1;
                let known = self.reached.len();
                self.reached.entry(fingerprint(&after)).or_insert(from);
                if self.reached.len() == known {
                    continue;
                }
                next.push(after);
                let found = violations(&self.arena, &after) & wanted;
                let found = Violation::ALL.into_iter().find(|violation| found & violation.bit() != 0);
                if let Some(violation) = found {
                    return (next, Some((violation, after)));
                }
            }
        }
        (next, None)
    }

    fn step(&mut self, world: &World, action: Action) -> World {
        let Self { config, arena, seen, .. } = self;
        Step { config, arena, seen, world: *world }.take(action)
    }

    /// The actions that lead to a state.
    fn way_to(&mut self, world: &World) -> Vec<String> {
        let mut wanted = vec![fingerprint(world)];
        while let Some(from) = wanted.last().and_then(|state| self.reached.get(state))
            && *from != 0
        {
            wanted.push(*from);
        }
        let mut world = World::start(self.config);
        let mut way = Vec::new();
        for wanted in wanted.iter().rev().skip(1) {
            for action in world.actions(self.config, &self.arena) {
                let after = self.step(&world, action);
                if fingerprint(&after) == *wanted {
                    way.push(format!("{action:?}"));
                    world = after;
                    break;
                }
            }
        }
        way
    }
}

fn fingerprint(world: &World) -> u64 {
    let mut mixer = Mixer(0);
    world.hash(&mut mixer);
    mixer.finish()
}

/// A fast hash: whole words, mixed by multiplication.
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product as u64 ^ (product >> 64) as u64).rotate_left(29);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(number.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_isize(&mut self, number: isize) {
        self.mix(number as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// For keys that are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are keys");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
