//! A disk that keeps for sure only what was synced: replays a trace, and shows what a power cut may leave of it.
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use rand::{Rng as _, rngs::StdRng};

use super::trace::Operation;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What becomes of that which was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// It stays: what `kill -9` leaves.
    #[cfg(feature = "planted-bugs")]
    Nothing,
    /// It goes, all of it.
    Everything,
    /// Each file keeps its first changes, the last of them perhaps torn.
    Tails,
    /// Each sector stays or goes by itself.
    Scattered,
}

/// The files of one folder, with what of them would outlast a power cut.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since the folder was synced, in order: no file system turns these around.
    namings: Vec<Naming>,
    syncs: HashMap<u32, Syncing>,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    /// Since then, in order.
    changes: Vec<Change>,
    len: usize,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Clone)]
enum Naming {
    Link(String, usize),
    Remove(String),
    Rename(String, String),
}

/// A sync makes last what was there when it began, once it has ended.
enum Syncing {
    File { file: usize, changes: usize },
    Folder { namings: usize },
}

impl Disk {
    pub(crate) fn apply(&mut self, what: &Operation) {
        match what {
            Operation::Open { name, emptied } => {
                let file = self.open(name);
                if *emptied {
                    self.files[file].change(Change::Cut(0));
                }
            }
            Operation::Write { name, at, bytes } => {
                let file = self.open(name);
                let at = at.unwrap_or(self.files[file].len);
                self.files[file].change(Change::Write { at, bytes: bytes.clone() });
            }
            Operation::Cut { name, len } => {
                let file = self.open(name);
                self.files[file].change(Change::Cut(*len));
            }
            Operation::Remove { name } => self.rename(Naming::Remove(name.clone())),
            Operation::Rename { from, to } => self.rename(Naming::Rename(from.clone(), to.clone())),
            Operation::SyncBegun { by, name: None } => {
                self.syncs.insert(*by, Syncing::Folder { namings: self.namings.len() });
            }
            Operation::SyncBegun { by, name: Some(name) } => {
                let file = self.open(name);
                let changes = self.files[file].changes.len();
                self.syncs.insert(*by, Syncing::File { file, changes });
            }
            Operation::SyncEnded { by } => self.synced(*by),
        }
    }

    fn open(&mut self, name: &str) -> usize {
        if let Some(file) = self.names.get(name) {
            return *file;
        }
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.rename(Naming::Link(name.to_owned(), file));
        file
    }

    fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.namings.push(naming);
    }

    fn synced(&mut self, by: u32) {
        match self.syncs.remove(&by) {
            Some(Syncing::File { file, changes }) => {
                let file = &mut self.files[file];
                let changes = changes.min(file.changes.len());
                for change in file.changes.drain(..changes) {
                    change.apply(&mut file.synced);
                }
            }
            Some(Syncing::Folder { namings }) => {
                let namings = namings.min(self.namings.len());
                self.namings.drain(..namings).for_each(|naming| naming.apply(&mut self.synced_names));
            }
            None => {}
        }
    }

    /// Writes into an empty folder what a power cut now could leave.
    pub(crate) fn after_power_cut(&self, loss: Loss, chance: &mut StdRng, into: &Path) {
        let mut names = self.synced_names.clone();
        let kept = match loss {
            #[cfg(feature = "planted-bugs")]
            Loss::Nothing => self.namings.len(),
            Loss::Everything => 0,
            Loss::Tails | Loss::Scattered => chance.random_range(0..=self.namings.len()),
        };
        self.namings[..kept].iter().for_each(|naming| naming.clone().apply(&mut names));
        for (name, file) in names {
            let path = into.join(&name);
            fs::write(&path, self.files[file].left(loss, chance)).unwrap();
            // The root key must be its owner's alone.
            let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, owner).unwrap();
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        self.len = change.len_after(self.len);
        self.changes.push(change);
    }

    fn left(&self, loss: Loss, chance: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match loss {
            Loss::Everything => {}
            #[cfg(feature = "planted-bugs")]
            Loss::Nothing => self.changes.iter().for_each(|change| change.apply(&mut bytes)),
            Loss::Tails => {
                let whole = chance.random_range(0..=self.changes.len());
                self.changes[..whole].iter().for_each(|change| change.apply(&mut bytes));
                if let Some(torn) = self.changes.get(whole) {
                    let sectors = torn.sectors();
                    let kept = chance.random_range(0..=sectors.len());
                    sectors[..kept].iter().for_each(|sector| sector.apply(&mut bytes));
                }
            }
            Loss::Scattered => {
                let kept_of_ten = chance.random_range(0..=10);
                for sector in self.changes.iter().flat_map(Change::sectors) {
                    if chance.random_ratio(kept_of_ten, 10) {
                        sector.apply(&mut bytes);
                    }
                }
            }
        }
        bytes
    }
}

impl Change {
    fn len_after(&self, len: usize) -> usize {
        match self {
            Self::Write { at, bytes } => len.max(at + bytes.len()),
            Self::Cut(len) => *len,
        }
    }

    fn apply(&self, file: &mut Vec<u8>) {
        file.resize(self.len_after(file.len()), 0);
        if let Self::Write { at, bytes } = self {
            file[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The change, in parts that lie in one sector each.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write { at, bytes } = self else {
            let Self::Cut(len) = self else { return Vec::new() };
            return vec![Self::Cut(*len)];
        };
        let (mut parts, mut done) = (Vec::new(), 0);
        while done < bytes.len() {
            let at = at + done;
            let end = bytes.len().min(done + SECTOR - at % SECTOR);
            parts.push(Self::Write { at, bytes: bytes[done..end].to_vec() });
            done = end;
        }
        parts
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}
