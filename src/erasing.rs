//! What erasures ask of parts that the write side does not see: the read models, and the witness.
use std::collections::BTreeMap;

use async_trait::async_trait;
use command_api::erasure::{PortError, Ports, ReadModels, Witness as Witnesses};
use event_log::Position;
use event_schemas::{Code, MerchantId};
use privacy::Whom;
use projections::{ReadStore, gdpr_requests};

use crate::witness::Witness;

/// All of them.
pub(crate) fn ports(reads: &ReadStore, partitions: u16, witness: &Witness) -> Ports {
    let tables = Tables { reads: reads.clone(), partitions };
    Ports {
        witness: Some(std::sync::Arc::new(witness.clone())),
        read_models: Some(std::sync::Arc::new(tables)),
    }
}

/// The read models, whoever fills them.
struct Tables {
    reads: ReadStore,
    partitions: u16,
}

#[async_trait]
impl ReadModels for Tables {
    async fn reached(&self) -> Result<BTreeMap<u16, Position>, PortError> {
        Ok((0..).zip(self.reads.reached(self.partitions).await?).collect())
    }

    async fn purge(&self, merchant: MerchantId, whom: &Whom) -> Result<BTreeMap<Code, u64>, PortError> {
        let people = match whom {
            Whom::Person(subjects) => Some(subjects.as_slice()),
            Whom::Shop => None,
        };
        let left = self.reads.remaining(merchant, people).await?;
        let left: Vec<_> = left.into_iter().filter(|(_, rows)| *rows > 0).map(|(table, _)| table).collect();
        if !left.is_empty() {
            return Err(format!("something is left of them in {}", left.join(", ")).into());
        }
        let emptied = self.reads.emptied(merchant, people).await?;
        let named = |(table, rows)| Some((gdpr_requests::store_name(table)?, rows));
        Ok(emptied.into_iter().filter_map(named).collect())
    }
}

#[async_trait]
impl Witnesses for Witness {
    async fn witness(&self) -> Result<(), PortError> {
        Ok(self.now().await?)
    }
}
