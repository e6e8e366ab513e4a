//! The executable as a child process: started on a folder of its own, stopped, killed, started again.
use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tempfile::TempDir;

/// The executable under test.
pub(crate) const EXECUTABLE: &str = env!("CARGO_BIN_EXE_loyalnest");
/// Longest wait for what a process is to do by itself; a debug build on a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A folder with the data of one installation and, beside it, what its processes printed. Gone with its last owner.
#[derive(Clone)]
pub(crate) struct Folder {
    root: Arc<TempDir>,
    pub(super) starts: Arc<AtomicU32>,
    /// Where the log is, if not in a file; told to every process.
    log: Option<Arc<str>>,
    /// The same of the read models.
    read: Option<Arc<str>>,
    /// The same of keys and inbox.
    stores: Option<Arc<str>>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("suite-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(root.path().join("printed")).unwrap();
        Self { root: Arc::new(root), starts: Arc::default(), log: None, read: None, stores: None }
    }

    /// One whose log is at this address.
    #[cfg(any(feature = "postgres", feature = "kafka"))]
    pub(crate) fn with_log(address: &str) -> Self {
        Self { log: Some(address.into()), ..Self::new() }
    }

    /// One whose read models are at this address.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_reads(address: &str) -> Self {
        Self { read: Some(address.into()), ..Self::new() }
    }

    /// One that holds nothing that may not be lost.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_everything(address: &str) -> Self {
        Self { stores: Some(address.into()), read: Some(address.into()), ..Self::with_log(address) }
    }

    /// The same with its log elsewhere.
    #[cfg(all(feature = "kafka", feature = "postgres"))]
    pub(crate) fn with_servers(log: &str, address: &str) -> Self {
        Self { log: Some(log.into()), ..Self::with_everything(address) }
    }

    /// One whose keys and inbox are at this address.
    #[cfg(feature = "postgres")]
    pub(crate) fn with_stores(address: &str) -> Self {
        Self { stores: Some(address.into()), ..Self::new() }
    }

    /// The same folder with another log.
    #[cfg(any(feature = "postgres", feature = "kafka"))]
    pub(crate) fn with_other_log(&self, address: &str) -> Self {
        Self { log: Some(address.into()), ..self.clone() }
    }

    /// What every process on it is told.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let log = self.log.iter().map(|log| ("LOYALNEST_LOG", &**log));
        let read = self.read.iter().map(|read| ("LOYALNEST_READ", &**read));
        log.chain(read).chain(self.stores.iter().map(|stores| ("LOYALNEST_STORES", &**stores)))
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Standard output and standard error of every process so far, a file each.
    pub(crate) fn printed(&self) -> PathBuf {
        self.root.path().join("printed")
    }

    pub(super) fn print_file(&self, start: u32, stream: &str) -> File {
        let path = self.printed().join(format!("{start}.{stream}"));
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    }
}

/// The ready line, as the contract has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) data: String,
    pub(crate) webhook_secret: String,
    pub(crate) operator_token: String,
    pub(crate) shops: Vec<ReadyShop>,
}

/// One shop of the ready line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct ReadyShop {
    pub(crate) shop_domain: String,
    pub(crate) merchant_id: String,
    pub(crate) token: String,
}

/// A running process. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) ready: Ready,
    pub(crate) folder: Folder,
    child: Child,
    /// Which of the folder's processes it is.
    start: u32,
}

impl Server {
    /// An empty installation in a new folder.
    pub(crate) fn start() -> Self {
        Self::start_on(&Folder::new(), &[])
    }

    /// `serve --data DIR --port 0 --no-demo --json`, until its ready line.
    pub(crate) fn start_on(folder: &Folder, environment: &[(&str, &str)]) -> Self {
        Self::serve(folder, &["--no-demo"], environment)
    }

    /// `serve --data DIR --port 0 --json` with more arguments, until its ready line.
    pub(crate) fn serve(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::started(folder, command(environment), arguments).unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// The same without the demo, unless it does not come to its ready line; then what it said.
    pub(crate) fn try_start_on(folder: &Folder) -> Result<Self, String> {
        Self::try_start_with(folder, &[])
    }

    /// The same in this environment.
    pub(crate) fn try_start_with(folder: &Folder, environment: &[(&str, &str)]) -> Result<Self, String> {
        Self::started(folder, command(environment), &["--no-demo"])
    }

    /// A server whose calls that change files are written into `trace`, which is whole once the process has ended.
    pub(crate) fn traced(folder: &Folder, environment: &[(&str, &str)], trace: &Path) -> Self {
        // The tracer detaches itself, so that the child is the server.
        let mut traced = Command::new("strace");
        traced.args(super::trace::OPTIONS).arg("-o").arg(trace).arg(EXECUTABLE);
        let traced = cleared(traced, environment);
        Self::started(folder, traced, &["--no-demo"]).unwrap_or_else(|refused| panic!("{refused}"))
    }

    fn started(folder: &Folder, mut command: Command, arguments: &[&str]) -> Result<Self, String> {
        let start = folder.starts.fetch_add(1, Ordering::Relaxed);
        let mut child = command
            .args(["serve", "--port", "0", "--json", "--data"])
            .arg(folder.data())
            .args(arguments)
            .envs(folder.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(folder.print_file(start, "stderr"))
            .spawn()
            .unwrap();
        let first = first_line(child.stdout.take().unwrap(), folder.print_file(start, "stdout"));
        let ready = first.as_deref().map(serde_json::from_str);
        let Some(Ok(ready)) = ready else {
            // A child that is not waited for would stay as a zombie.
            drop(child.kill());
            drop(child.wait());
            let said = last_printed(folder, start);
            return Err(format!("the first line is not the ready line: {first:?}\n{said}"));
        };
        Ok(Self { ready, folder: folder.clone(), child, start })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and the same folder for the next process.
    pub(crate) fn kill(mut self) -> Folder {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.clone()
    }

    /// Asks the process to end and waits for it.
    pub(crate) fn end_by(self, name: &str) -> (ExitStatus, Folder) {
        signal(self.id(), name);
        self.end()
    }

    /// Waits for the end of a process that was asked to end.
    pub(crate) fn end(mut self) -> (ExitStatus, Folder) {
        (end_of(&mut self.child), self.folder.clone())
    }

    /// What the process said last.
    pub(crate) fn last_printed(&self) -> String {
        last_printed(&self.folder, self.start)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A process that speaks to people: `serve` without `--json`. Dropping it kills it.
pub(crate) struct Spoken {
    /// Where it listens, as it said.
    pub(crate) url: String,
    child: Child,
    stdout: PathBuf,
    /// Stays as long as the process writes into it.
    folder: Folder,
}

impl Spoken {
    /// Starts it and waits until it has said how to stop it, which is the last line.
    pub(crate) fn start(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(environment);
        command.args(["serve", "--data"]).arg(folder.data()).args(arguments);
        Self::of(folder, command)
    }

    /// The same of a command that becomes such a process.
    pub(crate) fn of(folder: &Folder, mut command: Command) -> Self {
        let start = folder.starts.fetch_add(1, Ordering::Relaxed);
        let child = command
            .stdin(Stdio::null())
            .stdout(folder.print_file(start, "stdout"))
            .stderr(folder.print_file(start, "stderr"))
            .spawn()
            .unwrap();
        let stdout = folder.printed().join(format!("{start}.stdout"));
        let mut spoken = Self { url: String::new(), child, stdout, folder: folder.clone() };
        let deadline = Instant::now() + PATIENCE;
        while !spoken.printed().contains("Ctrl-C") {
            let ended = spoken.child.try_wait().unwrap();
            let said = || format!("{}\n{}", spoken.printed(), last_printed(&spoken.folder, start));
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", said());
            thread::sleep(Duration::from_millis(10));
        }
        let text = spoken.printed();
        let url = text.split_whitespace().find(|word| word.starts_with("http://"));
        url.unwrap_or_else(|| panic!("an address in {text}")).clone_into(&mut spoken.url);
        spoken
    }

    /// Its standard output so far.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    /// Asks the process to end and waits for it.
    pub(crate) fn end_by(mut self, name: &str) -> ExitStatus {
        signal(self.child.id(), name);
        end_of(&mut self.child)
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A server that nobody waits for. Dropping it kills it.
pub(crate) struct Unready(Child);

impl Unready {
    /// `serve --data DIR --port 0 --json` with more arguments.
    pub(crate) fn start(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let start = folder.starts.fetch_add(1, Ordering::Relaxed);
        let child = command(environment)
            .args(["serve", "--port", "0", "--json", "--data"])
            .arg(folder.data())
            .args(arguments)
            .envs(folder.environment())
            .stdin(Stdio::null())
            .stdout(folder.print_file(start, "stdout"))
            .stderr(folder.print_file(start, "stderr"))
            .spawn();
        Self(child.unwrap())
    }

    /// Asks the process to end and waits for it.
    #[cfg(all(feature = "planted-bugs", feature = "postgres"))]
    pub(crate) fn end_by(mut self, name: &str) -> ExitStatus {
        signal(self.0.id(), name);
        end_of(&mut self.0)
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a server and kills it after a while, ready or not.
pub(crate) fn interrupted_start(folder: &Folder, arguments: &[&str], after: Duration) {
    let _killed = Unready::start(folder, arguments, &[]);
    thread::sleep(after);
}

/// The executable with nothing of the caller's own settings.
pub(super) fn command(environment: &[(&str, &str)]) -> Command {
    cleared(Command::new(EXECUTABLE), environment)
}

/// A line of a shell in the folder, with nothing of the caller's own settings.
pub(crate) fn shell(folder: &Folder, line: &str, environment: &[(&str, &str)]) -> Command {
    let mut shell = cleared(Command::new("sh"), environment);
    shell.args(["-c", line]).current_dir(folder.root());
    shell
}

fn cleared(mut command: Command, environment: &[(&str, &str)]) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("LOYALNEST_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).envs(environment.iter().copied());
    command
}

/// Sends a signal such as `TERM`.
pub(crate) fn signal(process: u32, name: &str) {
    assert!(try_signal(process, name), "no signal {name} to {process}");
}

/// The same to a process that may have ended by itself; whether it was there.
pub(crate) fn try_signal(process: u32, name: &str) -> bool {
    let kill = ["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &process.to_string()];
    Command::new("sh").args(kill).status().unwrap().success()
}

pub(super) fn end_of(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            drop(child.kill());
            drop(child.wait());
            panic!("the process did not end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The first line; everything is copied to `copy` until the process ends.
fn first_line(stdout: ChildStdout, mut copy: File) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            drop(sender.send(String::from_utf8_lossy(&line).into_owned()));
            drop(copy.write_all(&line).and_then(|()| copy.write_all(b"\n")));
        }
    });
    receiver.recv_timeout(PATIENCE).ok()
}

fn last_printed(folder: &Folder, start: u32) -> String {
    let text = std::fs::read(folder.printed().join(format!("{start}.stderr"))).unwrap_or_default();
    let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect::<Vec<_>>();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// One server for all scenarios that need nothing but a shop of their own. It ends with the test process.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = Server::start();
        outlived_by_nobody(&server);
        server
    })
}

/// Statics are not dropped. A shell waits for the end of its input, which comes however the test process ends.
fn outlived_by_nobody(server: &Server) {
    // Holds the shell's input open until this process is no more.
    static SHELL: OnceLock<Child> = OnceLock::new();
    let shell = Command::new("sh")
        .args(["-c", "read -r _; kill -s KILL \"$0\"; rm -rf \"$1\""])
        .arg(server.id().to_string())
        .arg(server.folder.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(SHELL.set(shell));
}
