//! Batches of several partitions that wait to be folded go into one transaction: whoever's turn it is folds for all.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{
    Mutex as Turn,
    oneshot::{self, error::TryRecvError},
};

use crate::{
    Error, ReadStore,
    fold::{Batch, fold},
};

/// Per member how many of its events wait, or why nothing was folded.
type Folded = Result<Vec<u64>, Error>;

/// Who waits to have a batch folded.
#[derive(Default)]
pub(crate) struct Together {
    waiting: Mutex<Vec<Job>>,
    turn: Turn<()>,
}

struct Job {
    /// Places in the registry.
    members: Vec<usize>,
    batch: Arc<Batch>,
    folded: oneshot::Sender<Folded>,
}

impl Together {
    /// Folds a batch into its members' tables, in one transaction with others that wait for the same members. If that
    /// fails while the store can be reached, it is nobody's fault yet: each is tried by itself.
    pub(crate) async fn fold(&self, store: &ReadStore, members: &[usize], batch: &Arc<Batch>) -> Folded {
        let mut folded = self.ask(members, batch);
        let _turn = self.turn.lock().await;
        loop {
            match folded.try_recv() {
                Ok(folded) => return folded,
                Err(TryRecvError::Empty) => {}
                // Whoever had it in hand is gone. If it is folded nevertheless, the tables say so.
                Err(TryRecvError::Closed) => folded = self.ask(members, batch),
            }
            self.fold_with_others(store, batch).await;
        }
    }

    fn ask(&self, members: &[usize], batch: &Arc<Batch>) -> oneshot::Receiver<Folded> {
        let (folded, answer) = oneshot::channel();
        self.waiting().push(Job { members: members.to_vec(), batch: Arc::clone(batch), folded });
        answer
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold_with_others(&self, store: &ReadStore, batch: &Arc<Batch>) {
        let Some((own, others)) = self.take(batch, store.batch_records()) else { return };
        let all = [&own].into_iter().chain(&others).map(|job| Arc::clone(&job.batch)).collect();
        let folded = match write(store, &own.members, all).await {
            Ok(parked) => {
                // Whoever went away no longer wants to know.
                others.into_iter().for_each(|job| drop(job.folded.send(Ok(parked.clone()))));
                Ok(parked)
            }
            failed if others.is_empty() => failed,
            Err(error) => {
                self.waiting().extend(others);
                if error.is_out_of_reach() {
                    Err(error)
                } else {
                    write(store, &own.members, vec![Arc::clone(batch)]).await
                }
            }
        };
        drop(own.folded.send(folded));
    }

    /// The job of this batch, and as many others for the same members as one transaction holds.
    fn take(&self, batch: &Arc<Batch>, records_max: usize) -> Option<(Job, Vec<Job>)> {
        let mut waiting = self.waiting();
        waiting.retain(|job| !job.folded.is_closed());
        let own = waiting.iter().position(|job| Arc::ptr_eq(&job.batch, batch))?;
        let own = waiting.remove(own);
        let mut records = batch.records.len();
        let fits = |job: &mut Job| {
            let with = records + job.batch.records.len();
            let fits = job.members == own.members && with <= records_max;
            records = if fits { with } else { records };
            fits
        };
        let others = waiting.extract_if(.., fits).collect();
        Some((own, others))
    }
}

async fn write(store: &ReadStore, members: &[usize], batches: Vec<Arc<Batch>>) -> Folded {
    let (tables, members) = (store.tables(), members.to_vec());
    let fold = store.write_in_turn(move |session| {
        let members = tables.at(session, &members)?;
        fold(session, &members, &batches.iter().map(Arc::as_ref).collect::<Vec<_>>())
    });
    fold.await
}
