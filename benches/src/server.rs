//! A server in a process of its own: the executable that ships, or a peer.
use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

/// The first line a server prints, as far as we use it.
#[derive(Deserialize, Serialize)]
pub(crate) struct Ready {
    /// Where it listens.
    pub(crate) url: String,
    /// What webhooks are signed with.
    pub(crate) webhook_secret: String,
    /// The operator's token.
    pub(crate) operator_token: String,
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Ready,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The executable on a data folder, until it is ready.
    pub(crate) fn serve(executable: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::serve_with(executable, data, &[])
    }

    /// The same with further arguments.
    pub(crate) fn serve_with(executable: &Path, data: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(executable);
        command
            .args(["serve", "--port", "0", "--no-demo", "--json", "--log-filter", "error", "--data"])
            .arg(data)
            .args(arguments);
        Self::start(command).with_context(|| format!("{} did not start", executable.display()))
    }

    /// The peer that only checks signatures, until it is ready.
    pub(crate) fn hmac_only(secret: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["hmac-server", secret]);
        Self::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let ready: Ready = match (read, serde_json::from_str(&line)) {
            (Some(Ok(_)), Ok(ready)) => ready,
            (_, parsed) => {
                // A child that is not waited for would stay as a zombie.
                drop(child.kill());
                drop(child.wait());
                parsed.context("it did not say that it is ready")?
            }
        };
        let address = ready.url.trim_start_matches("http://").parse()?;
        Ok(Self { child, ready, address })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").arg(self.id().to_string()).status()?;
        ensure!(asked.success(), "the server could not be asked to end");
        ensure!(self.child.wait()?.success(), "the server did not end cleanly");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
