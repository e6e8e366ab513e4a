//! The ring: the wrapped keys of epochs, kept apart from the rows that hang under them.
//!
//! A copy of the key store opens nothing without the ring, and the ring holds only epochs that are still needed: so what
//! was destroyed in the store dies in every copy of it once its epoch leaves the ring. Keep the ring out of backups that
//! live longer than an epoch may. Files have it beside the root key's file, a Postgres in a schema of its own; a key
//! service would be a third.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use group_commit::Session;
#[cfg(feature = "postgres")]
use group_commit::values;

use crate::{
    Error, RootKey,
    keys::Epoch,
    root::{private, sync_folder},
};

/// An epoch's key, wrapped by the root key with this fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) root: String,
    pub(crate) epoch: Epoch,
    pub(crate) wrapped: Vec<u8>,
}

/// Where the ring is. `store` is the transaction of the key store that is under way; who has a place of its own does not
/// need it, and is durable before the transaction is.
pub(crate) trait Ring: Send + Sync {
    /// What it holds.
    fn slots(&self, store: &dyn Session) -> Result<Vec<Slot>, Error>;

    /// Adds slots; one that is there stays as it is.
    fn add(&self, store: &dyn Session, slots: &[Slot]) -> Result<(), Error>;

    /// Overwrites and removes the slots that are `gone`.
    fn destroy(&self, store: &dyn Session, gone: &dyn Fn(&Slot) -> bool) -> Result<(), Error>;

    /// Destroys what other root keys than this one wrapped, which is the store's: what a rotation of the root key left that
    /// was interrupted. Whether there was any.
    fn settle(&self, store: &dyn Session, own: &str) -> Result<bool, Error> {
        let has_others = self.slots(store)?.iter().any(|slot| slot.root != own);
        if has_others {
            self.destroy(store, &|slot| slot.root != own)?;
        }
        Ok(has_others)
    }

    /// Notes that slots are about to be added to a ring in another file, for whoever settles either.
    fn begin_move(&self, _: &Path) -> Result<(), Error> {
        Ok(())
    }

    /// Clears away what is left of destroyed slots, once the transaction is durable.
    fn clear(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// A file of lines: fingerprint, epoch and wrapped key.
pub(crate) struct FileRing {
    path: PathBuf,
    /// One changes it at a time.
    alone: Mutex<()>,
}

const TITLE: &str = "loyalnest epochs 1";
/// How the name of a ring ends, behind the name of what it is beside and the log's.
const SUFFIX: &str = ".epochs";
/// Behind the name of a ring while slots move: the file that holds the other one's path.
const MOVING: &str = "moving";

impl FileRing {
    /// The ring of the log with this id: beside the root key's file, or beside the key store if the root key has none.
    pub(crate) fn beside(root: &RootKey, store: &Path, log_id: [u8; 16]) -> Self {
        let mut path = root.file().unwrap_or(store).as_os_str().to_owned();
        path.push(format!(".{}{SUFFIX}", hex::encode(&log_id[..4])));
        Self { path: path.into(), alone: Mutex::new(()) }
    }

    /// The lines, without the title. What a change that was interrupted left behind is cleared away first.
    fn lines(&self) -> io::Result<Vec<String>> {
        for left in [self.named("old"), self.named("next")] {
            shred(&left)?;
        }
        match fs::read_to_string(&self.path) {
            Ok(text) if text.lines().next() == Some(TITLE) => {
                Ok(text.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect())
            }
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ring of epochs")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Puts a new file in the old one's place, and overwrites the old one's bytes.
    fn replace(&self, lines: &[String]) -> io::Result<()> {
        let (old, next) = (self.named("old"), self.named("next"));
        let mut file = private(&next)?;
        file.write_all(format!("{TITLE}\n{}\n", lines.join("\n")).as_bytes())?;
        file.sync_all()?;
        if self.path.exists() {
            fs::hard_link(&self.path, &old)?;
        }
        fs::rename(&next, &self.path)?;
        self.sync_folder()?;
        shred(&old)?;
        self.sync_folder()
    }

    fn change(&self, change: impl FnOnce(Vec<String>) -> Vec<String>) -> Result<(), Error> {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.lines().and_then(|before| {
            let after = change(before.clone());
            if after == before { Ok(()) } else { self.replace(&after) }
        });
        changed.map_err(|source| Error::Ring { path: self.path.clone(), source })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The ring that slots were moving to or from when somebody was interrupted.
    fn other(&self) -> io::Result<Option<Self>> {
        match fs::read(self.named(MOVING)) {
            // One that is cut short was being written, and no slot moves before both are.
            Ok(note) => Ok(String::from_utf8(note)
                .ok()
                .filter(|path| path.ends_with(SUFFIX))
                .map(|path| Self { path: path.into(), alone: Mutex::new(()) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether its medium is mounted: then the ring is there, or what it is beside, or a note.
    fn is_mounted(&self) -> io::Result<bool> {
        let beside = self.path.with_extension("").with_extension("");
        Ok(self.path.try_exists()? || beside.try_exists()? || self.named(MOVING).try_exists()?)
    }

    fn note_other(&self, other: &Path) -> io::Result<()> {
        let other = std::path::absolute(other)?;
        if let Some(Self { path, .. }) = self.other()?.filter(|left| left.path != other) {
            let left =
                format!("an interrupted rotation left the ring {}: start once with it", path.display());
            return Err(io::Error::other(left));
        }
        let other = other.to_str().ok_or_else(|| io::Error::other("the other ring's path is not UTF-8"))?;
        self.forget_other()?;
        let mut note = private(&self.named(MOVING))?;
        note.write_all(other.as_bytes())?;
        note.sync_all()?;
        self.sync_folder()
    }

    fn forget_other(&self) -> io::Result<()> {
        match fs::remove_file(self.named(MOVING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn fault(&self, source: io::Error) -> Error {
        Error::Ring { path: self.path.clone(), source }
    }

    fn named(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{suffix}"));
        path.into()
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new(".")))
    }
}

impl Ring for FileRing {
    fn slots(&self, _: &dyn Session) -> Result<Vec<Slot>, Error> {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = self.lines().map_err(|source| Error::Ring { path: self.path.clone(), source })?;
        let slots = lines.iter().enumerate().filter_map(|(number, line)| {
            let slot = parse(line);
            if slot.is_none() {
                tracing::error!(ring = %self.path.display(), line = number + 2, "A line of the ring of epochs is damaged");
            }
            slot
        });
        Ok(slots.collect())
    }

    fn add(&self, _: &dyn Session, slots: &[Slot]) -> Result<(), Error> {
        self.change(|mut lines| {
            for slot in slots {
                let is_there = |line: &String| {
                    parse(line).is_some_and(|known| (&known.root, known.epoch) == (&slot.root, slot.epoch))
                };
                if !lines.iter().any(is_there) {
                    lines.push(format!("{} {} {}", slot.root, slot.epoch, hex::encode(&slot.wrapped)));
                }
            }
            lines
        })
    }

    fn destroy(&self, _: &dyn Session, gone: &dyn Fn(&Slot) -> bool) -> Result<(), Error> {
        self.change(|mut lines| {
            lines.retain(|line| !parse(line).is_some_and(|slot| gone(&slot)));
            lines
        })
    }

    fn settle(&self, store: &dyn Session, own: &str) -> Result<bool, Error> {
        let is_other = |slot: &Slot| slot.root != own;
        let other = self.other().map_err(|source| self.fault(source))?;
        let has_others = other.is_some() || self.slots(store)?.iter().any(is_other);
        if has_others {
            self.destroy(store, &is_other)?;
        }
        if let Some(other) = other {
            if !other.is_mounted().map_err(|source| self.fault(source))? {
                tracing::error!(
                    ring = %other.path.display(),
                    note = %self.named(MOVING).display(),
                    "A rotation of the root key was interrupted and its other ring is not there: start once with its medium \
                     mounted, so that it is emptied, or delete the note if it is gone for good"
                );
                return Ok(has_others);
            }
            other.destroy(store, &is_other)?;
            let forgotten = other.forget_other().and_then(|()| self.forget_other());
            forgotten.map_err(|source| self.fault(source))?;
        }
        Ok(has_others)
    }

    fn begin_move(&self, to: &Path) -> Result<(), Error> {
        if self.path == to {
            return Ok(());
        }
        // The one that the store's root key finds first: without it nobody would know of the other.
        let to = Self { path: to.to_owned(), alone: Mutex::new(()) };
        let noted = self.note_other(&to.path).and_then(|()| to.note_other(&self.path));
        noted.map_err(|source| self.fault(source))
    }
}

fn parse(line: &str) -> Option<Slot> {
    let mut parts = line.split(' ');
    let slot = Slot {
        root: parts.next()?.to_owned(),
        epoch: parts.next()?.parse().ok()?,
        wrapped: hex::decode(parts.next()?).ok()?,
    };
    parts.next().is_none().then_some(slot)
}

/// Overwrites a file's bytes where they stand, then removes it. A file system that never writes in place keeps them all the
/// same, which is why a key service is the better place.
fn shred(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::Read::take(io::repeat(0), len), &mut file)?;
    File::sync_all(&file)?;
    fs::remove_file(path)
}

/// A schema of its own in the key store's database.
#[cfg(feature = "postgres")]
pub(crate) struct SchemaRing {
    address: postgres_store::Address,
}

#[cfg(feature = "postgres")]
const SCHEMA: postgres_store::Schema =
    postgres_store::Schema { name: "loyalnest_epochs", steps: &[include_str!("schema/epochs.1.sql")] };

#[cfg(feature = "postgres")]
impl SchemaRing {
    /// Makes the schema if it is not there.
    pub(crate) async fn open(address: &postgres_store::Address) -> Result<Self, Error> {
        let fault = |error| Error::from(group_commit::StoreError::from(error));
        let mut connection = address.connect_to_keep("loyalnest epochs").await.map_err(fault)?;
        SCHEMA.migrate(address, &mut connection).await.map_err(fault)?;
        Ok(Self { address: address.clone() })
    }
}

#[cfg(feature = "postgres")]
impl Ring for SchemaRing {
    fn slots(&self, store: &dyn Session) -> Result<Vec<Slot>, Error> {
        let slots = "SELECT root, epoch, wrapped FROM loyalnest_epochs.epoch_key";
        Ok(store.all(slots, values![], |row| {
            Ok(Slot { root: row.at(0)?, epoch: row.at(1)?, wrapped: row.at(2)? })
        })?)
    }

    fn add(&self, store: &dyn Session, slots: &[Slot]) -> Result<(), Error> {
        for Slot { root, epoch, wrapped } in slots {
            let add = "INSERT INTO loyalnest_epochs.epoch_key (root, epoch, wrapped) VALUES (?1, ?2, ?3)
                ON CONFLICT (root, epoch) DO NOTHING";
            store.execute(add, values![root, *epoch, wrapped])?;
        }
        Ok(())
    }

    fn destroy(&self, store: &dyn Session, gone: &dyn Fn(&Slot) -> bool) -> Result<(), Error> {
        for slot in self.slots(store)?.iter().filter(|slot| gone(slot)) {
            let destroy = "DELETE FROM loyalnest_epochs.epoch_key WHERE root = ?1 AND epoch = ?2";
            store.execute(destroy, values![&slot.root, slot.epoch])?;
        }
        Ok(())
    }

    /// Writes the table anew, so that its file does not keep the rows that were deleted.
    fn clear(&self) -> Result<(), Error> {
        let client = group_commit::postgres::Client::connect(&self.address, "loyalnest epochs")?;
        let client: &dyn Session = &client;
        client.execute("VACUUM FULL loyalnest_epochs.epoch_key", values![])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file needs no transaction of the store.
    struct Nothing;

    impl Session for Nothing {
        fn each(
            &self,
            _: &str,
            _: &[group_commit::ValueRef<'_>],
            _: group_commit::OnRow<'_>,
        ) -> Result<(), group_commit::StoreError> {
            Err(group_commit::StoreError::Missing)
        }

        fn execute(
            &self,
            _: &str,
            _: &[group_commit::ValueRef<'_>],
        ) -> Result<u64, group_commit::StoreError> {
            Err(group_commit::StoreError::Missing)
        }

        fn number(
            &self,
            _: &str,
            _: &str,
            _: &[group_commit::ValueRef<'_>],
        ) -> Result<i64, group_commit::StoreError> {
            Err(group_commit::StoreError::Missing)
        }
    }

    fn slot(epoch: Epoch) -> Slot {
        Slot { root: "0123456789abcdef".to_owned(), epoch, wrapped: vec![epoch.to_be_bytes()[3]; 61] }
    }

    fn ring(folder: &Path) -> FileRing {
        FileRing::beside(&RootKey::from_bytes([7; 32]), &folder.join("keys.db"), [9; 16])
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        files.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn slots_are_added_once_and_leave_nothing_behind_when_they_are_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        ring.add(&Nothing, &[slot(1), slot(2)]).unwrap();
        ring.add(&Nothing, &[Slot { wrapped: vec![0; 61], ..slot(2) }, slot(3)]).unwrap();
        assert_eq!(ring.slots(&Nothing).unwrap(), [slot(1), slot(2), slot(3)]);
        ring.destroy(&Nothing, &|slot| slot.epoch < 3).unwrap();
        assert_eq!(ring.slots(&Nothing).unwrap(), [slot(3)]);
        assert_eq!(names(folder.path()), ["keys.db.09090909.epochs"], "one file, for its owner only");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&ring.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    /// Tried without the overwriting: whoever had the old file open reads its keys.
    #[test]
    fn the_bytes_of_the_file_before_are_overwritten_and_not_only_forgotten() {
        use std::io::Read as _;
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        ring.add(&Nothing, &[slot(1), slot(2)]).unwrap();
        let mut before = File::open(&ring.path).unwrap();
        ring.destroy(&Nothing, &|slot| slot.epoch == 1).unwrap();
        let mut bytes = Vec::new();
        before.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() > 100 && bytes.iter().all(|byte| *byte == 0));
    }

    /// Tried without the clearing: the next change fails, because its file is there already.
    #[test]
    fn a_change_that_was_interrupted_is_cleared_away_by_whoever_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        ring.add(&Nothing, &[slot(1)]).unwrap();
        for left in ["old", "next"] {
            fs::write(ring.named(left), "left behind").unwrap();
        }
        ring.add(&Nothing, &[slot(2)]).unwrap();
        assert_eq!(ring.slots(&Nothing).unwrap(), [slot(1), slot(2)]);
        assert_eq!(names(folder.path()).len(), 1);
    }

    /// Tried with a ring that is taken for settled where nothing is, and with a note that the next move writes over.
    #[test]
    fn a_ring_whose_medium_was_not_mounted_is_settled_once_it_is() {
        for has_mount_point in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let [here, stick, away] = ["here", "stick", "away"].map(|name| root.path().join(name));
            let [own, other] = [&here, &stick].map(|folder| {
                fs::create_dir(folder).unwrap();
                FileRing::beside(&RootKey::create_file(&folder.join("root.key")).unwrap(), folder, [9; 16])
            });
            let theirs = Slot { root: "other".to_owned(), ..slot(1) };
            own.add(&Nothing, &[slot(1)]).unwrap();
            own.begin_move(&other.path).unwrap();
            other.add(&Nothing, std::slice::from_ref(&theirs)).unwrap();
            fs::rename(&stick, &away).unwrap();
            if has_mount_point {
                fs::create_dir(&stick).unwrap();
            }
            for _ in 0..2 {
                assert!(own.settle(&Nothing, &slot(1).root).unwrap());
                assert!(matches!(own.begin_move(&here.join("third.epochs")), Err(Error::Ring { .. })));
            }
            if has_mount_point {
                fs::remove_dir(&stick).unwrap();
            }
            fs::rename(&away, &stick).unwrap();
            assert_eq!(other.slots(&Nothing).unwrap(), [theirs]);
            assert!(own.settle(&Nothing, &slot(1).root).unwrap());
            assert_eq!(other.slots(&Nothing).unwrap(), []);
            assert_eq!(own.slots(&Nothing).unwrap(), [slot(1)]);
            assert_eq!([&here, &stick].map(|folder| names(folder).len()), [2, 2], "keys and rings, no notes");
        }
    }

    /// Tried with notes that are taken as they stand: the empty one is a ring in the working folder, the other the key.
    #[test]
    fn a_note_that_was_cut_short_names_no_ring() {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        ring.add(&Nothing, &[slot(1)]).unwrap();
        let key = folder.path().join("new.key");
        fs::write(&key, "a key").unwrap();
        for note in ["", key.to_str().unwrap(), "\0\0\0"] {
            fs::write(ring.named(MOVING), note).unwrap();
            assert!(!ring.settle(&Nothing, &slot(1).root).unwrap(), "{note:?}");
        }
        ring.begin_move(&folder.path().join("new.key.09090909.epochs")).unwrap();
        assert!(ring.settle(&Nothing, &slot(1).root).unwrap());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn a_damaged_line_is_left_as_it_is_and_the_others_serve() {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        ring.add(&Nothing, &[slot(1), slot(2)]).unwrap();
        let text = fs::read_to_string(&ring.path).unwrap().replacen(" 1 ", " l ", 1);
        fs::write(&ring.path, &text).unwrap();
        assert_eq!(ring.slots(&Nothing).unwrap(), [slot(2)]);
        ring.destroy(&Nothing, &|slot| slot.epoch == 2).unwrap();
        assert!(fs::read_to_string(&ring.path).unwrap().contains(" l "));
        fs::write(&ring.path, "something else").unwrap();
        assert!(matches!(ring.slots(&Nothing), Err(Error::Ring { .. })));
    }
}
