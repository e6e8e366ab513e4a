//! What the topic of a log must be like, so that no broker loses a record on purpose.

use rdkafka::admin::{ConfigResource, NewTopic, TopicReplication};

use super::client::MESSAGE_BYTES_MAX;

/// One setting of the topic.
struct Setting {
    name: &'static str,
    wanted: Wanted,
    /// What happens otherwise.
    or_else: &'static str,
}

enum Wanted {
    Exactly(&'static str),
    AtLeast(usize),
    /// The number of replicas that must have a record before it counts.
    InSync,
    /// How it is made; records are as safe without.
    IfMade(&'static str),
}

/// Every setting, one line each.
const SETTINGS: &[Setting] = &[
    Setting { name: "cleanup.policy", wanted: Wanted::Exactly("delete"), or_else: "records are thinned out" },
    Setting { name: "retention.ms", wanted: Wanted::Exactly("-1"), or_else: "old records are deleted" },
    Setting { name: "retention.bytes", wanted: Wanted::Exactly("-1"), or_else: "old records are deleted" },
    Setting {
        name: "unclean.leader.election.enable",
        wanted: Wanted::Exactly("false"),
        or_else: "confirmed records can be lost",
    },
    Setting { name: "min.insync.replicas", wanted: Wanted::InSync, or_else: "confirmed records can be lost" },
    Setting {
        name: "max.message.bytes",
        wanted: Wanted::AtLeast(MESSAGE_BYTES_MAX),
        or_else: "the largest records are refused",
    },
    Setting { name: "message.timestamp.type", wanted: Wanted::IfMade("LogAppendTime"), or_else: "" },
];

/// How often a record is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copies {
    pub(super) replicas: usize,
    in_sync: usize,
}

impl Copies {
    /// Three copies, two before a record counts; less only where there are not as many brokers.
    pub(super) fn of(brokers: usize) -> Self {
        Self { replicas: brokers.clamp(1, 3), in_sync: brokers.clamp(1, 2) }
    }
}

/// What production should know of a topic with so many copies of each message.
pub(super) fn few(replicas: usize) -> Option<String> {
    let wanted = Copies::of(usize::MAX).replicas;
    (replicas < wanted).then(|| {
        format!(
            "has {replicas} of the {wanted} copies that production wants. Copies follow the brokers that answer when \
             it is made, and are not added by themselves: docs/operations.md says how under Kafka"
        )
    })
}

/// A topic to be made.
pub(super) fn new_topic<'a>(
    name: &'a str,
    partitions: u16,
    copies: Copies,
    values: &'a [(&str, String)],
) -> NewTopic<'a> {
    let replicas = i32::try_from(copies.replicas).unwrap_or(1);
    let topic = NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(replicas));
    values.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
}

/// The settings of a topic to be made.
pub(super) fn values(copies: Copies) -> Vec<(&'static str, String)> {
    let value = |setting: &Setting| match setting.wanted {
        Wanted::Exactly(value) | Wanted::IfMade(value) => value.to_owned(),
        Wanted::AtLeast(least) => least.to_string(),
        Wanted::InSync => copies.in_sync.to_string(),
    };
    SETTINGS.iter().map(|setting| (setting.name, value(setting))).collect()
}

/// Everything about an existing topic that must be changed before a log may be in it, in words.
pub(super) fn faults(topic: &ConfigResource, replicas: usize, copies: Copies) -> Vec<String> {
    let value = |name| topic.get(name).and_then(|entry| entry.value.as_deref());
    let mut faults: Vec<String> =
        SETTINGS.iter().filter_map(|setting| setting.fault(value(setting.name)?, copies)).collect();
    if replicas < copies.replicas {
        faults.push(format!(
            "each record has {replicas} replicas, but should have {} (docs/operations.md says how under Kafka)",
            copies.replicas
        ));
    }
    faults
}

impl Setting {
    fn fault(&self, value: &str, copies: Copies) -> Option<String> {
        let (fits, wanted) = match self.wanted {
            Wanted::Exactly(wanted) => (value == wanted, wanted.to_owned()),
            Wanted::AtLeast(least) => (at_least(value, least), format!("at least {least}")),
            Wanted::InSync => (at_least(value, copies.in_sync), format!("at least {}", copies.in_sync)),
            Wanted::IfMade(_) => return None,
        };
        let Self { name, or_else, .. } = self;
        (!fits).then(|| format!("{name} is {value}, but must be {wanted}, or {or_else}"))
    }
}

fn at_least(value: &str, least: usize) -> bool {
    value.parse::<usize>().is_ok_and(|value| value >= least)
}
