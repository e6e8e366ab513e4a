//! What is packed comes back as it was: every shape that states are made of, and the states themselves.
use std::collections::BTreeMap;

use domain::Aggregate;
use event_schemas::{Event, StreamType, Timestamp, catalogue::EVENTS, sample};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Nothing,
    One(i64),
    Two(u16, String),
    Named { a: Option<u8>, b: Vec<bool> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<i32>,
    second: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    third: String,
    unit: (),
    character: Option<char>,
    bytes: [u8; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    wide: Option<(u32, i16)>,
    map: BTreeMap<u32, String>,
}

fn there_and_back<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let mut packed = Vec::new();
    pack(value, &mut packed).unwrap();
    let mut rest = packed.as_slice();
    let back = unpack(&mut rest).unwrap();
    assert!(rest.is_empty());
    back
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Nothing),
        any::<i64>().prop_map(Choice::One),
        any::<(u16, String)>().prop_map(|(a, b)| Choice::Two(a, b)),
        any::<(Option<u8>, Vec<bool>)>().prop_map(|(a, b)| Choice::Named { a, b }),
    ]
}

fn sparse() -> impl Strategy<Value = Sparse> {
    let one = any::<(Option<i32>, u64, String, Option<char>, [u8; 3], Option<(u32, i16)>)>();
    (one, any::<BTreeMap<u32, String>>()).prop_map(|((first, second, third, character, bytes, wide), map)| {
        Sparse { first, second, third, unit: (), character, bytes, wide, map }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_shape_comes_back(values in proptest::collection::vec((choice(), sparse()), 0..8)) {
        prop_assert_eq!(there_and_back(&values), values);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_value_and_never_a_panic(bytes: Vec<u8>) {
        drop(unpack::<Vec<(Choice, Sparse)>>(&mut bytes.as_slice()));
    }
}

#[test]
fn bytes_that_were_cut_are_an_error() {
    let value =
        (Choice::Named { a: Some(1), b: vec![true] }, Sparse { third: "x".into(), ..Sparse::default() });
    let mut packed = Vec::new();
    pack(&value, &mut packed).unwrap();
    for length in 0..packed.len() {
        assert!(unpack::<(Choice, Sparse)>(&mut &packed[..length]).is_err(), "{length}");
    }
}

/// Every aggregate in every state that the samples of its events lead to, one by one and one after another. A state
/// that holds an internally tagged enum was seen to fail here.
#[test]
fn every_aggregate_comes_back_whatever_happened_to_it() {
    for stream in (0..=u16::MAX).filter_map(StreamType::from_number) {
        let mut all = Aggregate::new(stream);
        assert_eq!(there_and_back(&all), all);
        for kind in EVENTS.iter().filter(|kind| kind.stream == stream.name()) {
            let event = Event::decode(kind.number, kind.version, &(kind.sample)().unwrap()).unwrap();
            let mut one = Aggregate::new(stream);
            one.evolve(&event).unwrap();
            all.evolve(&event).unwrap();
            assert_eq!(there_and_back(&one), one, "after {}", kind.name);
            assert_eq!(there_and_back(&all), all, "after all up to {}", kind.name);
        }
    }
}

#[test]
fn times_and_ids_come_back() {
    for at in [sample::time(), Timestamp::EPOCH, Timestamp::from_micros(-1)] {
        assert_eq!(there_and_back(&(at, sample::ENTRY)), (at, sample::ENTRY));
    }
}
