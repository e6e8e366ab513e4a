//! The worlds in which the rules must hold, and that everything really happens in them.

use event_log::Class;

use crate::{assert_sound, is_full, rules::Rule, search::Seen, world::Config};

/// Two commands, one that earns a point and one that spends it; nothing goes wrong but delay, loss and reordering.
pub(crate) const INTACT: Config = Config {
    name: "open, three claims",
    class: Class::Open,
    claims: &[2, 1],
    opening: 0,
    changes: &[1, -1],
    appends: 2,
    duplicates: 0,
    crashes: 0,
    shrinks: 0,
    rule: Rule::Real,
    bug: None,
};

/// Open stores on which nothing is ever lost behind a reader's back.
pub(crate) const OPEN_INTACT: [Config; 4] = [
    INTACT,
    Config { name: "open, duplicates", claims: &[1, 1], duplicates: 1, ..INTACT },
    Config { name: "open, crashes and a reader", claims: &[1, 1, 0], crashes: 1, ..INTACT },
    Config { name: "open, three records, crashes", claims: &[1, 1], appends: 3, crashes: 1, ..INTACT },
];

const OPEN_SHRINKING: [Config; 2] = [
    Config { name: "open, shrinks", claims: &[1, 1], appends: 3, shrinks: 1, ..INTACT },
    Config { name: "open, shrinks, crashes", claims: &[1, 1], crashes: 1, shrinks: 1, ..INTACT },
];

const CONDITIONAL: Config = Config { name: "conditional", class: Class::Conditional, appends: 3, ..INTACT };

const CONDITIONAL_WORLDS: [Config; 3] = [
    CONDITIONAL,
    Config {
        name: "conditional, duplicates, crashes",
        claims: &[1, 1],
        duplicates: 1,
        crashes: 1,
        ..CONDITIONAL
    },
    Config { name: "conditional, shrinks, crashes", claims: &[1, 1], crashes: 1, shrinks: 1, ..CONDITIONAL },
];

/// For the soak, like the three below it.
const OPEN_INTACT_FULL: [Config; 5] = [
    Config { name: "full: open, three records", appends: 3, ..INTACT },
    Config { name: "full: open, duplicates", duplicates: 1, ..INTACT },
    Config { name: "full: open, two crashes", crashes: 2, ..INTACT },
    Config { name: "full: open, three writers", claims: &[1, 1, 1], ..INTACT },
    Config {
        name: "full: open, two spend one point",
        claims: &[1, 1],
        opening: 1,
        changes: &[-1, -1],
        appends: 3,
        duplicates: 1,
        ..INTACT
    },
];

const OPEN_SHRINKING_FULL: [Config; 2] = [
    Config { name: "full: open, shrinks", shrinks: 1, ..INTACT },
    Config {
        name: "full: open, three writers, shrinks",
        claims: &[1, 1, 1],
        appends: 1,
        shrinks: 1,
        ..INTACT
    },
];

const CONDITIONAL_FULL: [Config; 2] = [
    Config {
        name: "full: conditional, three writers",
        claims: &[1, 1, 1],
        duplicates: 1,
        crashes: 1,
        ..CONDITIONAL
    },
    Config { name: "full: conditional, shrinks", crashes: 1, shrinks: 1, ..CONDITIONAL },
];

/// Explores the worlds, the larger ones if asked to; what happened in any of them.
fn all_of(configs: &[Config], larger: &[Config]) -> Seen {
    let larger = if is_full() { larger } else { &[] };
    let explored = configs.iter().chain(larger).map(assert_sound);
    explored.fold(Seen::default(), |seen, explored| seen.or(explored.seen))
}

#[test]
fn the_rules_hold_on_an_open_store_that_keeps_what_it_has() {
    let seen = all_of(&OPEN_INTACT, &OPEN_INTACT_FULL);
    assert_eq!(seen, Seen { found_shrunk: false, ..Seen::ALL });
}

#[test]
fn the_rules_hold_on_an_open_store_that_shrinks() {
    assert_eq!(all_of(&OPEN_SHRINKING, &OPEN_SHRINKING_FULL), Seen::ALL);
}

/// There is nothing stale and no orphan to be seen.
#[test]
fn the_rules_hold_on_a_conditional_store() {
    let seen = all_of(&CONDITIONAL_WORLDS, &CONDITIONAL_FULL);
    assert_eq!(seen, Seen { stale: false, orphan: false, ..Seen::ALL });
}
