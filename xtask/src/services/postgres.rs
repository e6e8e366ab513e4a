//! Debian's PostgreSQL: a new cluster, reachable over TCP on this machine only, durable as shipped.
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::Started;
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
    let data = folder.join("data");
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(folder);
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let made = command("initdb")
        .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username", ROLE, "--pgdata"])
        .arg(&data)
        .output()?;
    ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let printed = folder.join("printed");
    let mut server = command("postgres")
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c", "fsync=on", "-c", "synchronous_commit=on", "-p", &port.to_string(), "-D"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&printed)?)
        // It outlives this program, and a Ctrl-C meant for it.
        .process_group(0)
        .spawn()?;
    let deadline = Instant::now() + READY_WITHIN;
    let ask = |port: u16| {
        let mut ask = command("pg_isready");
        ask.args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()]).status()
    };
    while !ask(port)?.success() {
        if server.try_wait()?.is_some() || Instant::now() > deadline {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
            bail!("the server did not start: {}", fs::read_to_string(&printed)?.trim());
        }
        sleep(Duration::from_millis(50));
    }
    let url = format!("postgres://{ROLE}@127.0.0.1:{port}/postgres?sslmode=disable");
    Ok(Started { processes: vec![server.id()], url })
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
