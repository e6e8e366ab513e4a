//! The tables of the key store, and how a store is born or recognised.
use std::collections::BTreeMap;

use group_commit::{Session, values};
use zeroize::Zeroizing;

use crate::{
    Error,
    aead::Cipher,
    chance, epochs,
    keys::{DataKey, Epoch, Wrap},
    ring::Slot,
    signing::Signer,
    vault::Roots,
};

/// Format that this program reads and writes.
const FORMAT: u32 = 2;

/// A rollback journal that is deleted at each commit, and its folder synced: after a commit no file holds the old bytes
/// of a page. `EXTRA` because with `FULL` a power cut may bring the journal back and undo an answered commit. The cache
/// holds two pages of a rotation.
pub(crate) const PRAGMAS: &str = "PRAGMA page_size=4096; PRAGMA secure_delete=ON; PRAGMA journal_mode=DELETE;
    PRAGMA synchronous=EXTRA; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192;";

/// Times are Unix seconds, days count from 0001-01-01, ids are 16 bytes, and 16 zero bytes stand for nobody or for the
/// whole shop.
///
/// `secure_delete` wipes a deleted cell, but not the copies that a split page leaves in its unused bytes: measured, one
/// row in a thousand survives in a table that is ordered by a random key. So rows are appended by number and keep their
/// length when they change: then they are never moved. Only index entries are, until a `VACUUM`; so no index holds a
/// key, or a hash together with what it leads to. That a reference has one row is kept by whoever
/// writes being alone.
///
/// A notice says what every process has to forget of what it remembers, in the order in which it became so. An erasure
/// counts what it did, so that one that was interrupted still tells all of it.
pub(crate) const TABLES: &str = "
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta(
    one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, log_id BLOB NOT NULL,
    root_fingerprint TEXT NOT NULL, insert_count INTEGER NOT NULL, epoch INTEGER NOT NULL,
    global_key BLOB NOT NULL, token_key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS epoch_key(
    epoch INTEGER PRIMARY KEY, wrapped BLOB NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER,
    destroyed_at INTEGER);
CREATE TABLE IF NOT EXISTS merchant_key(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, epoch INTEGER NOT NULL, wrapped BLOB NOT NULL,
    own_key BLOB NOT NULL, UNIQUE (merchant, epoch));
CREATE TABLE IF NOT EXISTS subject_key(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, subject BLOB NOT NULL, epoch INTEGER NOT NULL,
    wrapped BLOB NOT NULL, UNIQUE (merchant, subject));
CREATE TABLE IF NOT EXISTS day_key(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, day INTEGER NOT NULL, epoch INTEGER NOT NULL,
    wrapped BLOB NOT NULL, UNIQUE (merchant, day));
CREATE TABLE IF NOT EXISTS fence(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, subject BLOB NOT NULL, fenced_at INTEGER NOT NULL,
    certificate TEXT, UNIQUE (merchant, subject));
CREATE TABLE IF NOT EXISTS directory(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, kind INTEGER NOT NULL, ref_hash BLOB NOT NULL,
    id BLOB NOT NULL, subject BLOB NOT NULL, sealed_ref BLOB, added_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS directory_by_reference ON directory(merchant, kind, ref_hash);
CREATE INDEX IF NOT EXISTS directory_by_id ON directory(merchant, kind, id);
CREATE INDEX IF NOT EXISTS directory_by_subject ON directory(merchant, subject);
CREATE TABLE IF NOT EXISTS tombstone(
    n INTEGER PRIMARY KEY, merchant BLOB NOT NULL, kind INTEGER NOT NULL, ref_hash BLOB NOT NULL,
    UNIQUE (merchant, kind, ref_hash));
CREATE TABLE IF NOT EXISTS notice(
    n INTEGER PRIMARY KEY, what INTEGER NOT NULL, merchant BLOB NOT NULL, subject BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS erasure(
    n INTEGER PRIMARY KEY, request BLOB NOT NULL UNIQUE, merchant BLOB NOT NULL, is_shop INTEGER NOT NULL,
    epoch INTEGER, keys INTEGER NOT NULL, directory_rows INTEGER NOT NULL, tombstones INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS signing_key(one INTEGER PRIMARY KEY CHECK (one = 1), wrapped BLOB NOT NULL);
COMMIT;
";

/// The same where several processes share it. What is deleted there is not gone from the disk: the end of its epoch makes it
/// useless.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: postgres_store::Schema = postgres_store::Schema {
    name: "loyalnest_keys",
    steps: &[include_str!("schema/1.sql"), include_str!("schema/2.sql")],
};

/// Stands for nobody, or for the whole shop.
pub(crate) const NOBODY: [u8; 16] = [0; 16];

/// What the root key opens of a store.
pub(crate) struct Trunk {
    pub(crate) insert_count: u64,
    pub(crate) epochs: BTreeMap<Epoch, Cipher>,
    pub(crate) global: DataKey,
    pub(crate) token: DataKey,
    pub(crate) signer: Signer,
    /// The ring held what another root key wrapped, which is to be cleared away.
    pub(crate) settled: bool,
    /// The newest notice; who has just opened the store remembers nothing older.
    pub(crate) noticed: u64,
}

/// Makes the store's first rows if it has none, brings those of an earlier format up to date, then checks that it is of this
/// root key and log, and that its ring is there.
pub(crate) fn open(session: &dyn Session, roots: &Roots, log_id: &[u8; 16]) -> Result<Trunk, Error> {
    let Roots { root, ring, .. } = roots;
    if session.first("SELECT 1 FROM meta", values![], |_| Ok(()))?.is_none() {
        create(session, roots, log_id)?;
    }
    check(session, roots, log_id)?;
    let settled = ring.settle(session, &root.fingerprint())?;
    let cipher = root.cipher()?;
    let meta = "SELECT insert_count, epoch, global_key, token_key FROM meta";
    let (insert_count, epoch, global, token) = session.one(meta, values![], |row| {
        Ok((row.at(0)?, row.at(1)?, row.at::<Vec<u8>>(2)?, row.at::<Vec<u8>>(3)?))
    })?;
    let epochs = epochs::opened(&ring.slots(session)?, root, log_id)?;
    if !epochs.contains_key(&epoch) {
        return Err(Error::EpochGone { epoch });
    }
    Ok(Trunk {
        insert_count,
        epochs,
        global: DataKey(Wrap::Global.open(&cipher, log_id, &global)?),
        token: DataKey(Wrap::Token.open(&cipher, log_id, &token)?),
        signer: signer(session, &cipher, log_id)?,
        settled,
        noticed: session.one("SELECT coalesce(max(n), 0) FROM notice", values![], |row| row.at(0))?,
    })
}

/// The key that signs certificates, made with the first store that has none.
fn signer(session: &dyn Session, root: &Cipher, log_id: &[u8; 16]) -> Result<Signer, Error> {
    let stored = session.first("SELECT wrapped FROM signing_key", values![], |row| row.at::<Vec<u8>>(0))?;
    if let Some(wrapped) = stored {
        return Signer::new(&*Wrap::Signing.open(root, log_id, &wrapped)?);
    }
    let mut seed = Zeroizing::new([0; 32]);
    chance::fill(&mut *seed)?;
    let wrapped = Wrap::Signing.seal(root, log_id, &*seed)?;
    session.execute("INSERT INTO signing_key VALUES (1, ?1)", values![&wrapped])?;
    Signer::new(&seed)
}

fn create(session: &dyn Session, roots: &Roots, log_id: &[u8; 16]) -> Result<(), Error> {
    let Roots { root, ring, .. } = roots;
    let cipher = root.cipher()?;
    // A first start that was interrupted has left slots behind that nothing hangs under.
    let first = ring.slots(session)?.iter().map(|slot| slot.epoch + 1).max().unwrap_or(epochs::FIRST);
    ring.add(session, &[epochs::fresh_slot(first, root, log_id)?])?;
    epochs::insert_epoch(session, first, now())?;
    let global = Wrap::Global.seal(&cipher, log_id, &*DataKey::generate()?.0)?;
    let token = Wrap::Token.seal(&cipher, log_id, &*DataKey::generate()?.0)?;
    session.execute(
        "INSERT INTO meta VALUES (1, ?1, ?2, ?3, 0, ?4, ?5, ?6)",
        values![FORMAT, log_id, &root.fingerprint(), first, &global, &token],
    )?;
    Ok(())
}

fn check(session: &dyn Session, roots: &Roots, log_id: &[u8; 16]) -> Result<(), Error> {
    let meta = "SELECT format, root_fingerprint, log_id FROM meta";
    let (format, expected, log) =
        session.one(meta, values![], |row| Ok((row.at(0)?, row.at::<String>(1)?, row.at::<Vec<u8>>(2)?)))?;
    if !(1..=FORMAT).contains(&format) {
        return Err(Error::UnknownFormat { found: format, known: FORMAT });
    }
    if log != log_id {
        return Err(Error::OtherLog);
    }
    let found = roots.root.fingerprint();
    if expected != found {
        return Err(Error::WrongRootKey { expected, found });
    }
    if format < FORMAT { move_epochs(session, roots) } else { Ok(()) }
}

/// The first format had the wrapped keys of epochs beside what hangs under them. Copies of it hold them still, until what is
/// wrapped under these epochs is wrapped anew.
fn move_epochs(session: &dyn Session, roots: &Roots) -> Result<(), Error> {
    let rows = "SELECT epoch, wrapped FROM epoch_key WHERE destroyed_at IS NULL";
    let rows = session.all(rows, values![], |row| Ok((row.at::<Epoch>(0)?, row.at::<Vec<u8>>(1)?)))?;
    let root = roots.root.fingerprint();
    let slot = |(epoch, wrapped): &(Epoch, Vec<u8>)| Slot {
        root: root.clone(),
        epoch: *epoch,
        wrapped: wrapped.clone(),
    };
    roots.ring.add(session, &rows.iter().map(slot).collect::<Vec<_>>())?;
    for (epoch, wrapped) in rows {
        let overwrite = "UPDATE epoch_key SET wrapped = ?2 WHERE epoch = ?1";
        session.execute(overwrite, values![epoch, &vec![0; wrapped.len()]])?;
    }
    session.execute("UPDATE meta SET format = ?1", values![FORMAT])?;
    Ok(())
}

/// A count as a store keeps it.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Unix seconds; for sweepers and operators, nothing is decided by it.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}
