//! Keeps deliveries in groups: those that arrive while one group becomes durable are the next.
use std::sync::Arc;

use group_commit::Fault;
use tokio::sync::{mpsc, oneshot};

use super::{
    inbox::{Error, Fresh, Inbox},
    worker::Queue,
};

/// At most this many deliveries are kept at once.
const GROUP_MAX: usize = 1024;

type Waiting = (Fresh, oneshot::Sender<Result<(), Error>>);

/// The way into the inbox; its task ends with the last clone.
#[derive(Clone)]
pub(super) struct Keeper {
    waiting: mpsc::UnboundedSender<Waiting>,
}

impl Keeper {
    pub(super) fn start(inbox: Inbox, queue: Arc<Queue>) -> Self {
        let (waiting, arriving) = mpsc::unbounded_channel();
        tokio::spawn(run(inbox, queue, arriving));
        Self { waiting }
    }

    /// Keeps a delivery durably and has it worked off, also if the caller goes away meanwhile.
    pub(super) async fn keep(&self, fresh: Fresh) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send((fresh, answer)).map_err(|_| Fault::Closed)?;
        answered.await.map_err(|_| Fault::Closed)?
    }
}

async fn run(inbox: Inbox, queue: Arc<Queue>, mut arriving: mpsc::UnboundedReceiver<Waiting>) {
    let mut waiting = Vec::new();
    while arriving.recv_many(&mut waiting, GROUP_MAX).await > 0 {
        let (fresh, answers): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        let rows: Vec<_> = fresh.iter().map(|fresh| (fresh.merchant, fresh.row)).collect();
        match inbox.keep(fresh).await {
            Ok(kept) => {
                for ((merchant, _), kept) in rows.into_iter().zip(kept) {
                    if kept.open {
                        queue.opened(merchant, kept.row);
                    }
                }
                answers.into_iter().for_each(|answer| tell(answer, Ok(())));
            }
            Err(error) => {
                // They may be kept nevertheless, and then nobody else would work them off before the next start.
                rows.into_iter().for_each(|(merchant, row)| queue.opened(merchant, row));
                let reason = error.to_string();
                answers
                    .into_iter()
                    .for_each(|answer| tell(answer, Err(Fault::Commit(reason.clone()).into())));
            }
        }
    }
}

fn tell(answer: oneshot::Sender<Result<(), Error>>, result: Result<(), Error>) {
    // A caller that went away no longer wants to know.
    drop(answer.send(result));
}
