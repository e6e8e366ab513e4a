//! The executable at a job that ends by itself, such as `rebuild`, watched while it goes on.
use std::{
    path::PathBuf,
    process::{Child, Output, Stdio},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{
    Folder,
    process::{PATIENCE, command, end_of, signal},
};

/// A running job. Dropping it kills it.
pub(crate) struct Job {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Job {
    pub(crate) fn start(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let start = folder.starts.fetch_add(1, Ordering::Relaxed);
        let child = command(environment)
            .args(arguments)
            .envs(folder.environment())
            .current_dir(folder.root())
            .stdin(Stdio::null())
            .stdout(folder.print_file(start, "stdout"))
            .stderr(folder.print_file(start, "stderr"))
            .spawn()
            .unwrap();
        let printed = |stream| folder.printed().join(format!("{start}.{stream}"));
        Self { child, stdout: printed("stdout"), stderr: printed("stderr") }
    }

    /// Waits until it has said this on standard error.
    pub(crate) fn until_said(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = std::fs::read_to_string(&self.stderr).unwrap();
            if said.contains(text) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?} without {text:?}: {said}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Output {
        let status = end_of(&mut self.child);
        let read = |path: &PathBuf| std::fs::read(path).unwrap();
        Output { status, stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the executable to its end, which must come by itself.
pub(crate) fn run(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Job::start(folder, arguments, environment).end()
}

/// What it said when it was asked to serve this folder, and did not.
pub(crate) fn refused(folder: &Folder) -> String {
    let refused = run(folder, &["serve", "--no-demo", "--port", "0", "--data", "data"], &[]);
    assert!(!refused.status.success());
    String::from_utf8(refused.stderr).unwrap()
}

/// Runs a program that comes with the newest Postgres here, such as `pg_dump`.
#[cfg(feature = "postgres")]
pub(crate) fn program_of_postgres(name: &str, arguments: &[&str]) {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().map(|version| version.unwrap().path());
    let programs = versions.map(|version| version.join("bin").join(name)).filter(|program| program.exists());
    let newest = programs.max().unwrap_or_else(|| panic!("there is no {name} on this machine"));
    let done = std::process::Command::new(newest).args(arguments).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}
