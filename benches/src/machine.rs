//! The machine that a table was measured on, in one line.
use std::{fs, io::Write as _, path::Path, time::Instant};

use crate::rounds::median;

/// Syncs whose median is told.
const SYNCS: usize = 200;

/// Cores, memory, disk, kernel, and what else it had to do.
pub(crate) fn describe(folder: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let memory: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse().ok())
        .unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let sync = sync_us(folder).map_or_else(|_| "unknown".to_owned(), |us| format!("{us} us"));
    format!(
        "{cores} cores ({cpu}), {} GiB of memory, {} with fdatasync in {sync}, Linux {}, load {} before",
        memory / 1024 / 1024,
        filesystem(folder).unwrap_or_else(|| "an unknown file system".to_owned()),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// Type of the file system with the longest mount point above the folder.
fn filesystem(folder: &Path) -> Option<String> {
    let (mounts, folder) = (fs::read_to_string("/proc/mounts").ok()?, folder.canonicalize().ok()?);
    let mounts = mounts.lines().filter_map(|line| {
        let mut parts = line.split(' ').skip(1);
        Some((parts.next()?, parts.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}

/// Median time of a small append with fdatasync.
fn sync_us(folder: &Path) -> anyhow::Result<u64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        times.push(u64::try_from(started.elapsed().as_micros())?);
    }
    Ok(median(times))
}
