//! The physical limit of a log: a plain file to which one thread appends whatever waits, then syncs, then answers.
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    thread,
};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// As many as one group of the log has at most.
const GROUP_MAX: usize = 1_024;

type Job = (Bytes, oneshot::Sender<std::io::Result<()>>);

/// The file; clones share its thread, which ends with the last of them.
#[derive(Clone)]
pub(crate) struct AppendFile {
    jobs: mpsc::UnboundedSender<Job>,
    record: Bytes,
}

impl AppendFile {
    /// A new file to which records of this length are appended.
    pub(crate) fn create(path: &Path, record_len: usize) -> anyhow::Result<Self> {
        let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
        let (jobs, mut queue) = mpsc::unbounded_channel();
        let serve = move || {
            let (mut group, mut bytes) = (Vec::with_capacity(GROUP_MAX), Vec::new());
            while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
                commit(&mut file, &mut group, &mut bytes);
            }
        };
        thread::Builder::new().name("append file".to_owned()).spawn(serve)?;
        let record = (0..record_len).map(|place| place.to_le_bytes()[0]).collect();
        Ok(Self { jobs, record })
    }

    /// Appends one record; durable when it returns.
    pub(crate) async fn append(self) -> anyhow::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send((self.record.clone(), answer)).ok().context("the file's thread has ended")?;
        Ok(answered.await??)
    }
}

fn commit(file: &mut File, group: &mut Vec<Job>, bytes: &mut Vec<u8>) {
    bytes.clear();
    group.iter().for_each(|(record, _)| bytes.extend_from_slice(record));
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    for (_, answer) in group.drain(..) {
        // A caller that went away no longer wants to know.
        drop(answer.send(written.as_ref().copied().map_err(|error| error.kind().into())));
    }
}
