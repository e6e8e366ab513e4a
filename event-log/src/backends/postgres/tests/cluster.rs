//! A server of a test's own, which it may stop, kill and set up badly.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use postgres_store::testing::TestDatabase;
use tempfile::TempDir;

use super::*;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// The superuser, and the password without which nobody is let in.
const USER: &str = "owner";
pub(super) const PASSWORD: &str = "correct-horse-battery";

/// A cluster in a folder of its own; killed and removed with this.
pub(super) struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    /// Uid and gid of the user that the server runs as, if not as ours.
    user: Option<(u32, u32)>,
    server: Option<Child>,
}

impl Cluster {
    /// A new cluster that is not started; its programs are those of the server that all tests share.
    pub(super) async fn create() -> Self {
        let shared = TestDatabase::create();
        let mut connection = shared.address().connect("tests").await.unwrap();
        let programs = sqlx::query_scalar::<_, String>("SELECT setting FROM pg_config WHERE name = 'BINDIR'");
        let programs = PathBuf::from(programs.fetch_one(&mut connection).await.unwrap());
        // The server refuses to run as root.
        let user = (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])));
        let folder = TempDir::new().unwrap();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let cluster = Self { programs, folder, port: free_port(), user, server: None };
        let secret = cluster.folder.path().join("secret");
        fs::write(&secret, PASSWORD).unwrap();
        let mut made = cluster.command("initdb");
        made.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", USER])
            .arg("--pwfile")
            .arg(&secret)
            .arg("--pgdata")
            .arg(cluster.folder.path().join("data"));
        let Output { status, stderr, .. } = made.output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        cluster
    }

    /// Gives the server a certificate for its address: what to start it with, who signed it, and who did not.
    pub(super) fn certify(&self) -> ([String; 3], PathBuf, PathBuf) {
        let folder = self.folder.path();
        let openssl = |command: &str| {
            let made = Command::new("openssl").args(command.split(' ')).current_dir(folder).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["root", "stranger"] {
            openssl(&format!(
                "req -x509 {new_key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
            ));
        }
        openssl(&format!("req {new_key} -keyout server.key -out server.request -subj /CN=server"));
        fs::write(folder.join("server.names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(
            "x509 -req -in server.request -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile server.names \
             -out server.pem",
        );
        if let Some((uid, gid)) = self.user {
            chown(folder.join("server.key"), Some(uid), Some(gid)).unwrap();
        }
        let file = |name: &str| folder.join(name);
        let settings = [
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.pem").display()),
            format!("ssl_key_file={}", file("server.key").display()),
        ];
        (settings, file("root.pem"), file("stranger.pem"))
    }

    /// A standby of this cluster, which must run; it is not started.
    pub(super) fn standby(&self) -> Self {
        let folder = TempDir::new().unwrap();
        if let Some((uid, gid)) = self.user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let standby = Self {
            programs: self.programs.clone(),
            folder,
            port: free_port(),
            user: self.user,
            server: None,
        };
        let mut copy = standby.command("pg_basebackup");
        copy.args([
            "--write-recovery-conf",
            "--no-sync",
            "--checkpoint=fast",
            "--dbname",
            &self.url(),
            "--pgdata",
        ]);
        let Output { status, stderr, .. } = copy.arg(standby.folder.path().join("data")).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        standby
    }

    /// Starts the server with these settings, and waits until it lets somebody in.
    pub(super) async fn start(&mut self, settings: &[&str]) {
        let mut command = self.command("postgres");
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.args(["-p", &self.port.to_string(), "-D"]).arg(self.folder.path().join("data"));
        let printed = fs::File::create(self.folder.path().join("printed")).unwrap();
        self.server =
            Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(printed).spawn().unwrap());
        let deadline = Instant::now() + READY_WITHIN;
        while self.address().connect("tests").await.is_err() {
            let printed = || fs::read_to_string(self.folder.path().join("printed")).unwrap();
            assert!(Instant::now() < deadline, "{}", printed());
            sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server and all that it started, as a power cut would: the children follow their parent at once.
    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // An immediate shutdown is a crash: nothing is written, and the next start recovers from the log.
            let signal = Command::new("kill").args(["-s", "QUIT", &server.id().to_string()]).status();
            assert!(signal.unwrap().success());
            server.wait().unwrap();
        }
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(super) fn address(&self) -> Address {
        self.url().parse().unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below those that the system gives away: one of these would soon be somebody else's while its server is away.
fn free_port() -> u16 {
    let any = RandomState::new();
    let mut ports = (0..1_000).map(|attempt| 15_000 + u16::try_from(any.hash_one(attempt) % 17_000).unwrap());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

fn id(arguments: &[&str]) -> u32 {
    let output = Command::new("id").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
