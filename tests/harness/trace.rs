//! What a process did to the files of its data folder, in order, as `strace` wrote it down.
use std::{collections::HashMap, fs, path::Path};

/// One call that ended well, or the beginning of a sync.
pub(crate) struct Event {
    /// When it was seen, in microseconds of the clock that everybody here reads.
    pub(crate) at_us: u64,
    pub(crate) what: Operation,
}

/// What changes files, or makes changes last. Names are relative to the data folder.
pub(crate) enum Operation {
    /// Opened for writing; made if it was not there.
    Open {
        name: String,
        emptied: bool,
    },
    /// `at` is absent where the process wrote on from where it was, which only new files see.
    Write {
        name: String,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Cut {
        name: String,
        len: usize,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    /// Of a file, or of the folder itself.
    SyncBegun {
        by: u32,
        name: Option<String>,
    },
    SyncEnded {
        by: u32,
    },
}

/// The calls that are recorded, as `strace` names them.
pub(crate) const CALLS: &str = "trace=openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,\
                                creat,pwritev,pwritev2,fallocate,renameat,renameat2,unlinkat,sync_file_range,\
                                copy_file_range,link,linkat";
/// Everything in hexadecimal, flags as numbers, files by their paths, no bytes left out.
pub(crate) const OPTIONS: &[&str] =
    &["-D", "-f", "--seccomp-bpf", "-ttt", "-y", "-X", "raw", "-xx", "-s", "1000000", "-e", CALLS];

const WRITABLE: u64 = 0o3;
const CREATE: u64 = 0o100;
const TRUNCATE: u64 = 0o1000;

/// The events of one folder in a trace, in order.
pub(crate) fn events(trace: &Path, folder: &Path) -> Vec<Event> {
    let text = fs::read_to_string(trace).unwrap();
    let mut reading = Reading { folder: folder.to_str().unwrap(), begun: HashMap::new(), events: Vec::new() };
    text.lines().for_each(|line| reading.line(line));
    reading.events
}

struct Reading<'a> {
    folder: &'a str,
    /// By thread: the call that it is in.
    begun: HashMap<u32, &'a str>,
    events: Vec<Event>,
}

impl<'a> Reading<'a> {
    /// A line is `thread seconds call(…) = result`, or one of its two halves when threads overlap.
    fn line(&mut self, line: &'a str) {
        let Some((by, rest)) = line.split_once(' ') else { return };
        let Some((at, rest)) = rest.trim_start().split_once(' ') else { return };
        let (by, at_us) = (by.parse().unwrap(), at.replace('.', "").parse().unwrap());
        if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            self.begun.insert(by, first);
            self.sync_begun(by, at_us, first);
        } else if rest.starts_with("<... ") {
            let first = self.begun.remove(&by).unwrap_or_default();
            let (_, second) = rest.split_once("resumed>").unwrap();
            self.whole(by, at_us, &format!("{first}{second}"));
        } else if !rest.starts_with(['+', '-']) {
            self.sync_begun(by, at_us, rest);
            self.whole(by, at_us, rest);
        }
    }

    fn push(&mut self, at_us: u64, what: Operation) {
        self.events.push(Event { at_us, what });
    }

    fn sync_begun(&mut self, by: u32, at_us: u64, call: &str) {
        if let Some(("fsync" | "fdatasync", arguments)) = call.split_once('(')
            && let Some(path) = path_of(arguments)
        {
            if path == self.folder {
                self.push(at_us, Operation::SyncBegun { by, name: None });
            } else if let Some(name) = self.name(&path) {
                self.push(at_us, Operation::SyncBegun { by, name: Some(name) });
            }
        }
    }

    fn whole(&mut self, by: u32, at_us: u64, call: &str) {
        let (Some((call, rest)), Some((_, result))) = (call.split_once('('), call.rsplit_once(" = ")) else {
            return;
        };
        if result.starts_with('-') {
            return;
        }
        let what = match call {
            "fsync" | "fdatasync" => Some(Operation::SyncEnded { by }),
            "openat" => self.open(rest),
            "write" | "pwrite64" => self.write(rest, call == "pwrite64"),
            "ftruncate" => self
                .named(rest)
                .map(|(name, after)| Operation::Cut { name, len: number(after.split(')').next().unwrap()) }),
            "unlink" => self.quoted_name(rest, 0).map(|name| Operation::Remove { name }),
            "rename" => {
                let names = self.quoted_name(rest, 0).zip(self.quoted_name(rest, 1));
                names.map(|(from, to)| Operation::Rename { from, to })
            }
            other => {
                let path = format!("{}/", self.folder);
                assert!(!rest.contains(&in_hex(&path)), "{other} changes files and is not understood");
                None
            }
        };
        if let Some(what) = what {
            self.push(at_us, what);
        }
    }

    fn open(&self, arguments: &str) -> Option<Operation> {
        let name = self.quoted_name(arguments, 0)?;
        let flags = arguments.split('"').nth(2)?.trim_start_matches(", ").split([',', ')']).next()?;
        let flags = u64::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or_default();
        let writes = flags & (WRITABLE | CREATE) != 0;
        writes.then_some(Operation::Open { name, emptied: flags & TRUNCATE != 0 })
    }

    fn write(&self, arguments: &str, placed: bool) -> Option<Operation> {
        let (name, after) = self.named(arguments)?;
        let mut parts = after.split('"');
        let (bytes, rest) = (parts.nth(1)?, parts.next()?);
        assert!(rest.starts_with(','), "the trace left bytes out");
        let at = placed.then(|| number(rest.split(')').next().unwrap().rsplit(", ").next().unwrap()));
        Some(Operation::Write { name, at, bytes: from_hex(bytes) })
    }

    /// The file that a call's first argument is open on, and the arguments behind it.
    fn named<'b>(&self, arguments: &'b str) -> Option<(String, &'b str)> {
        let name = self.name(&path_of(arguments)?)?;
        Some((name, arguments.split_once(">, ")?.1))
    }

    /// The file that the quoted argument with this number names.
    fn quoted_name(&self, arguments: &str, number: usize) -> Option<String> {
        let path = arguments.split('"').nth(2 * number + 1)?;
        self.name(&String::from_utf8(from_hex(path)).ok()?)
    }

    /// Shared memory of SQLite is no file to it: it is made anew after a crash.
    fn name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(self.folder)?.strip_prefix('/')?;
        (!name.ends_with("-shm")).then(|| name.to_owned())
    }
}

/// The path of an open file, none if it was removed meanwhile.
fn path_of(arguments: &str) -> Option<String> {
    let (path, after) = arguments.split_once('<')?.1.split_once('>')?;
    (!after.starts_with("(deleted)")).then(|| String::from_utf8(from_hex(path)).ok())?
}

fn number(text: &str) -> usize {
    let text = text.trim();
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| usize::from_str_radix(hex, 16));
    parsed.unwrap_or_else(|_| panic!("not a number in the trace: {text}"))
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |four: &[u8]| Some(digit(four[2])? * 16 + digit(four[3])?);
    let bytes = text.as_bytes().chunks(4).map(|four| byte(four).expect("bytes like \\x00"));
    bytes.collect()
}

fn in_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}
