//! Debian's PostgreSQL: a new cluster, reachable over TCP on this machine only, durable as shipped.
use std::{
    fs::{self, File},
    io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::{Started, ports::free_ports};
use crate::run;

/// Where Debian keeps each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The package, and the user that it makes.
const PACKAGE: &str = "postgresql";
const USER: &str = "postgres";
/// The superuser of the new cluster; whoever reaches the port is trusted.
const ROLE: &str = "loyalnest";
const READY_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn start(folder: &Path) -> anyhow::Result<Started> {
    let cluster = Cluster::make(folder)?;
    let server = cluster.serve()?;
    Ok(Started { processes: vec![server.id()], url: cluster.url() })
}

/// A server for one test that stops it and starts it again. Says where it listens, which process it is and in which
/// folder; then starts it again for each line of the input, and says its process; and ends with the input.
pub(super) fn own() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("own-postgres-").tempdir()?;
    let cluster = Cluster::make(folder.path())?;
    let mut server = Ending(cluster.serve()?);
    let (url, process) = (cluster.url(), server.0.id());
    println!("{}", serde_json::json!({"url": url, "processes": [process], "folder": folder.path()}));
    for line in io::stdin().lines() {
        line?;
        drop(server);
        server = Ending(cluster.serve()?);
        println!("{}", server.0.id());
    }
    Ok(())
}

/// Ends with this.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It ends its own processes, which a kill would leave behind. It may have ended by itself.
        drop(
            Command::new("kill")
                .args(["-s", "QUIT", &self.0.id().to_string()])
                .stderr(Stdio::null())
                .status(),
        );
        drop(self.0.wait());
    }
}

/// A cluster in a folder, and where it listens.
struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
}

impl Cluster {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let programs = match programs() {
            Some(programs) => programs,
            None => {
                run::install_package(PACKAGE)?;
                programs().with_context(|| format!("{PACKAGE} was installed, but not below {VERSIONS}"))?
            }
        };
        let user = User::find()?;
        if let Some(User { uid, gid }) = user {
            chown(folder, Some(uid), Some(gid))?;
        }
        let port = free_ports(1)?[0];
        let cluster = Self { programs, folder: folder.to_owned(), user, port };
        let made = cluster
            .command("initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username", ROLE, "--pgdata"])
            .arg(folder.join("data"))
            .output()?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        Ok(cluster)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn url(&self) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Starts the server and waits until it answers.
    fn serve(&self) -> anyhow::Result<Child> {
        let (port, printed) = (self.port.to_string(), self.folder.join("printed"));
        let mut server = self
            .command("postgres")
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "fsync=on", "-c", "synchronous_commit=on"])
            // Tests of several nodes at once have many connections, and a busy machine ends them late.
            .args(["-c", "max_connections=400", "-p", &port, "-D"])
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&printed)?)
            // It outlives this program, and a Ctrl-C meant for it.
            .process_group(0)
            .spawn()?;
        let deadline = Instant::now() + READY_WITHIN;
        let ask = || {
            let mut ask = self.command("pg_isready");
            ask.args(["--quiet", "--host=127.0.0.1", "--port", &port]).status()
        };
        while !ask()?.success() {
            if server.try_wait()?.is_some() || Instant::now() > deadline {
                // It may have ended by itself.
                drop(server.kill());
                drop(server.wait());
                bail!("the server did not start: {}", fs::read_to_string(&printed)?.trim());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

/// The programs of the newest version that can make a cluster.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten().map(|version| version.path().join("bin"));
    let complete = versions.filter(|programs| programs.join("initdb").exists());
    complete.max_by_key(|programs| {
        let version = programs.parent().and_then(Path::file_name);
        version.and_then(|version| version.to_str()?.parse::<u32>().ok())
    })
}

/// Whom the server runs as.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The server refuses to run as root; anybody else runs it as themselves.
    fn find() -> anyhow::Result<Option<Self>> {
        if id(&["-u"])? != 0 {
            return Ok(None);
        }
        Ok(Some(Self { uid: id(&["-u", USER])?, gid: id(&["-g", USER])? }))
    }
}

fn id(arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    ensure!(output.status.success(), "there is no user {USER}");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
