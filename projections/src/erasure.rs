//! Erasures in the tables: the sealed cells of whoever was erased are emptied, also in tables kept for a way back.
//!
//! An emptied cell still tells that there was something; who opens it is told that it is shredded. A person's events come
//! in one partition, so nothing sealed follows their erasure there. A shop's come in all of them, in any order, so each
//! table remembers which shops are erased and takes in nothing sealed of them any more.
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use event_log::Position;
use event_schemas::{
    CustomerId, Event, MerchantId,
    catalogue::{CustomerEvent, MerchantEvent, PointsAccountEvent},
};

use crate::{
    Error, ReadStore, StoreError, Value, all,
    column::{Column as _, ColumnType, Kind},
    fold::Standing,
    generations,
    live::Live,
    parked,
    recorded::Content,
    session::{Session, Typed as _},
    table::Shape,
};

/// Which shops were erased, as far as each table has folded.
pub(crate) const ERASED: Shape = Shape {
    table: Cow::Borrowed("erased"),
    columns: &[
        ("projection", ColumnType::of(Kind::Text)),
        ("generation", ColumnType::of(Kind::Integer)),
        ("merchant", ColumnType::of(Kind::Bytes)),
    ],
    key_len: 3,
    indexes: &[],
    subject: None,
};

/// So many people are named by one statement.
const PEOPLE_MAX: usize = 500;

/// The erased shops of all tables.
pub(crate) struct ShopsByTable(HashMap<(String, u32), Shops>);

/// Erased shops, as far as one table has folded.
#[derive(Clone, Default)]
pub(crate) struct Shops(HashSet<[u8; 16]>);

/// What each table knows of erased shops.
pub(crate) fn shops(session: &dyn Session) -> Result<ShopsByTable, StoreError> {
    let sql = "SELECT projection, generation, merchant FROM erased";
    let rows = session
        .all(sql, &[], |row| Ok(((row.get::<String>(0)?, row.get::<u32>(1)?), row.get::<[u8; 16]>(2)?)))?;
    let mut tables: HashMap<_, Shops> = HashMap::new();
    for (table, merchant) in rows {
        tables.entry(table).or_default().0.insert(merchant);
    }
    Ok(ShopsByTable(tables))
}

impl ShopsByTable {
    /// Those of one table.
    pub(crate) fn of(&self, live: &Live) -> Shops {
        self.0.get(&(live.definition.name.to_owned(), live.generation)).cloned().unwrap_or_default()
    }
}

impl Shops {
    pub(crate) fn extend(&mut self, erasures: &Erasures) {
        self.0.extend(&erasures.shops);
    }

    /// A row, with what is sealed emptied if its shop is erased.
    pub(crate) fn without_sealed(&self, shape: &Shape, mut row: Vec<Value>) -> Vec<Value> {
        if matches!(row.first(), Some(Value::Id(merchant)) if self.0.contains(merchant)) {
            for (value, (_, of)) in row.iter_mut().zip(shape.columns) {
                if of.sealed && *value != Value::Null {
                    *value = Value::Bytes(Vec::new());
                }
            }
        }
        row
    }

    /// Takes the ciphertexts out of what waits of these shops' events.
    pub(crate) fn scrub_parked(&self, session: &dyn Session, live: &Live) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|merchant| parked::scrub(session, &live.parked_as, *merchant, None))
    }
}

/// Who is erased in a batch.
#[derive(Default)]
pub(crate) struct Erasures {
    people: BTreeMap<[u8; 16], BTreeSet<[u8; 16]>>,
    shops: BTreeSet<[u8; 16]>,
}

impl Erasures {
    /// Those that matter to the table: none, if it holds nothing sealed and nothing waits for it that may.
    pub(crate) fn of<'a>(live: &Live, contents: impl Iterator<Item = &'a Content>) -> Self {
        let mut erasures = Self::default();
        if live.definition.is_of_records {
            return erasures;
        }
        for content in contents {
            let Content::Event(event) = content else { continue };
            let (merchant, person) = (event.merchant.bytes(), event.route.into_bytes());
            match event.event {
                Event::Customer(CustomerEvent::CustomerRedacted(_))
                | Event::PointsAccount(PointsAccountEvent::PointsAccountRedacted(_)) => {
                    erasures.people.entry(merchant).or_default().insert(person);
                }
                Event::Merchant(MerchantEvent::ShopRedacted(_)) => drop(erasures.shops.insert(merchant)),
                _ => {}
            }
        }
        erasures
    }

    /// Empties their sealed cells, and what waits of their events. Of a served table all generations, because what is
    /// kept for a way back follows the log no more.
    pub(crate) fn apply(&self, session: &dyn Session, live: &Live) -> Result<(), StoreError> {
        if self.people.is_empty() && self.shops.is_empty() {
            return Ok(());
        }
        let name = live.definition.name;
        let is_served = live.parked_as == name;
        let generations = if is_served { generations::all(session, name)? } else { vec![live.generation] };
        for generation in generations {
            let table = (live.definition.shape)(format!("{name}_{generation}"));
            for (merchant, people) in &self.people {
                let people: Vec<_> = people.iter().copied().collect();
                people.chunks(PEOPLE_MAX).try_for_each(|some| empty(session, &table, *merchant, some))?;
            }
            for merchant in &self.shops {
                empty(session, &table, *merchant, &[])?;
            }
            let told =
                self.shops.iter().map(|shop| vec![Value::text(name), generation.store(), Value::Id(*shop)]);
            session.upsert(&ERASED, &mut told.collect::<Vec<_>>().into_iter())?;
        }
        for (merchant, people) in &self.people {
            let people: Vec<_> = people.iter().copied().collect();
            parked::scrub(session, &live.parked_as, *merchant, Some(&people))?;
        }
        self.shops.iter().try_for_each(|shop| parked::scrub(session, &live.parked_as, *shop, None))
    }
}

/// Empties sealed cells: of these people, or of the whole shop if nobody is named.
fn empty(
    session: &dyn Session,
    table: &Shape,
    merchant: [u8; 16],
    people: &[[u8; 16]],
) -> Result<(), StoreError> {
    let Some((whose, values)) = whose(table, merchant, people) else { return Ok(()) };
    let emptied = |column| {
        format!("{column} = CASE WHEN length({column}) > 0 THEN substr({column}, 1, 0) ELSE {column} END")
    };
    let set: Vec<_> = table.sealed().map(emptied).collect();
    let sql = format!("UPDATE {} SET {} WHERE {whose}", table.table, set.join(", "));
    session.execute(&sql, &values).map(drop)
}

/// The condition that a row with sealed cells is theirs; nothing if the table has none.
fn whose(table: &Shape, merchant: [u8; 16], people: &[[u8; 16]]) -> Option<(String, Vec<Value>)> {
    let subject = table.subject?;
    let mut values = vec![Value::Id(merchant)];
    values.extend(people.iter().map(|person| Value::Id(*person)));
    let any = vec!["?"; people.len()].join(", ");
    let narrower = if people.is_empty() { String::new() } else { format!(" AND {subject} IN ({any})") };
    Some((format!("merchant = ?{narrower}"), values))
}

impl ReadStore {
    /// The rows in which something sealed is left of these people, or of the whole shop if nobody is named, by the table
    /// they stand in. Counted are what is served, what is kept for a way back, and as `parked` what waits; a table that is
    /// being built beside has folded the erasure before it is served.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn remaining(
        &self,
        merchant: MerchantId,
        people: Option<&[CustomerId]>,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        self.counted(merchant, people, true).await
    }

    /// The rows in which something sealed of these people, or of the whole shop, was emptied, by the served table that
    /// they stand in.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn emptied(
        &self,
        merchant: MerchantId,
        people: Option<&[CustomerId]>,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        self.counted(merchant, people, false).await
    }

    async fn counted(
        &self,
        merchant: MerchantId,
        people: Option<&[CustomerId]>,
        remaining: bool,
    ) -> Result<BTreeMap<&'static str, u64>, Error> {
        let merchant = merchant.bytes();
        let people: Option<Vec<_>> = people.map(|all| all.iter().map(|one| one.bytes()).collect());
        self.read(move |session| {
            let mut counts = BTreeMap::new();
            if people.as_ref().is_some_and(Vec::is_empty) {
                return Ok(counts);
            }
            for definition in all() {
                let served = generations::served(session, definition)?;
                let mut kept = generations::all(session, definition.name)?;
                kept.retain(
                    |generation| if remaining { *generation <= served } else { *generation == served },
                );
                for generation in kept {
                    let table = (definition.shape)(format!("{}_{generation}", definition.name));
                    if table.subject.is_some() {
                        let count = rows(session, &table, merchant, people.as_deref(), remaining)?;
                        *counts.entry(definition.name).or_default() += count;
                    }
                }
                if remaining && !definition.is_of_records {
                    let waiting = parked::sealed(session, definition.name, merchant, people.as_deref())?;
                    *counts.entry("parked").or_default() += waiting;
                }
            }
            Ok(counts)
        })
        .await
    }

    /// Up to where every projection has folded each partition, as the store knows: whoever folds it.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Log`].
    pub async fn reached(&self, partitions: u16) -> Result<Vec<Position>, Error> {
        let tables = self.tables();
        self.read(move |session| {
            let tables = tables.all(session)?;
            let lowest = |partition| {
                let standing = Standing::look(session, partition)?;
                let place = |table: &Arc<Live>| {
                    Ok(standing.checkpoint(table)?.map_or(Position::START, |at| at.position))
                };
                let places = tables.iter().map(place).collect::<Result<Vec<_>, Error>>()?;
                Ok(places.into_iter().min().unwrap_or(Position::START))
            };
            (0..partitions).map(lowest).collect()
        })
        .await
    }
}

fn rows(
    session: &dyn Session,
    table: &Shape,
    merchant: [u8; 16],
    people: Option<&[[u8; 16]]>,
    remaining: bool,
) -> Result<u64, StoreError> {
    let is = if remaining { "> 0" } else { "= 0" };
    let any: Vec<_> = table.sealed().map(|column| format!("length({column}) {is}")).collect();
    let count = |people: &[[u8; 16]]| {
        let Some((whose, values)) = whose(table, merchant, people) else { return Ok(0) };
        let sql = format!("SELECT count(*) FROM {} WHERE {whose} AND ({})", table.table, any.join(" OR "));
        session.one(&sql, &values, |row| row.get::<u64>(0))
    };
    match people {
        None => count(&[]),
        Some(people) => people.chunks(PEOPLE_MAX).map(count).sum(),
    }
}
