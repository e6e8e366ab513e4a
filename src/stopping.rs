//! Being told to stop, which a server may be at any time, also while it starts.
use std::{io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

/// Whether this process was told to stop; it stays told.
#[derive(Clone)]
pub(crate) struct Told(watch::Receiver<bool>);

impl Told {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(crate) fn by_signals() -> io::Result<Self> {
        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            tracing::info!("Stopping");
            tell.send_replace(true);
        });
        Ok(Self(told))
    }

    /// Waits until it is told.
    pub(crate) async fn wait(&self) {
        // An error means that nobody can tell any more, which is a reason to stop as well.
        drop(self.0.clone().wait_for(|told| *told).await);
    }

    /// Does this unless told to stop before it is done; then it is dropped, so it must be such that a kill would harm nothing.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait() => None,
            done = work => Some(done),
        }
    }

    /// The same, but what has begun is given so long to come to its end.
    pub(crate) async fn or_done_within<T>(
        &self,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        match self.or(&mut work).await {
            Some(done) => Some(done),
            None => timeout(grace, work).await.ok(),
        }
    }
}
