//! How fresh an answer is: at least as the caller demands, and as what this process appended before the question.
use std::time::Duration;

use event_log::PositionToken;
use event_schemas::CustomerId;
use http_edge::Problem;
use privacy::MerchantScope;
use projections::customers::{self, Customer};

use crate::{
    Reads,
    failure::{customer_not_found, of_store, parameter, standstill},
};

/// How long a demanded position is waited for.
const DEMANDED_WITHIN: Duration = Duration::from_secs(2);
/// How long a query without demand waits for what was appended before it.
const KNOWN_WITHIN: Duration = Duration::from_millis(250);

impl Reads {
    /// The partition of what a customer's id or an order's id routes.
    pub(crate) fn partition_of(&self, scope: MerchantScope, route: uuid::Uuid) -> u16 {
        self.log.partition_of(scope.merchant().bytes(), route.into_bytes())
    }

    /// Waits for the demanded position, if there is one, then as [`Self::settle`].
    pub(crate) async fn fresh(
        &self,
        partition: u16,
        min_position: Option<&str>,
    ) -> Result<PositionToken, Problem> {
        self.running(partition)?;
        if let Some(text) = min_position {
            let demanded = self.demanded(text)?;
            if !self.progress.wait_for(demanded.partition(), demanded.position(), DEMANDED_WITHIN).await {
                return Err(Problem::unavailable("not-caught-up", "The position is not visible yet"));
            }
        }
        self.settle(partition).await
    }

    fn demanded(&self, text: &str) -> Result<PositionToken, Problem> {
        let demanded: PositionToken = text
            .parse()
            .map_err(|error: event_log::NotAPosition| parameter("min_position", &error.to_string()))?;
        if !demanded.is_of(self.log.id()) {
            let served = self.log.id().to_string();
            let served = served.get(..8).unwrap_or_default().to_owned();
            return Err(Problem::conflict("other-history", "The position is of another history")
                .detail(format!("The position is not of the history served here, {served}")));
        }
        if demanded.partition() >= self.log.partitions() {
            return Err(parameter("min_position", "expected a partition of this log"));
        }
        Ok(demanded)
    }

    /// Gives the read models a moment to show what was appended before the question, so that a client reads its own
    /// writes. Returns a position that the answer is not older than.
    pub(crate) async fn settle(&self, partition: u16) -> Result<PositionToken, Problem> {
        self.running(partition)?;
        // While the read models are being rebuilt the wait would be in vain.
        if self.progress.keeps_up(partition) {
            let end = self.log.end(partition);
            self.progress.wait_for(partition, end, KNOWN_WITHIN).await;
        }
        Ok(self.progress.token(partition))
    }

    /// The customer, once what is known of them is as fresh as [`Self::fresh`] has it.
    pub(crate) async fn customer(
        &self,
        scope: MerchantScope,
        customer: CustomerId,
        min_position: Option<&str>,
    ) -> Result<(Customer, PositionToken), Problem> {
        let position = self.fresh(self.partition_of(scope, customer.0), min_position).await?;
        let found = customers::find(&self.store, scope, customer).await.map_err(|error| of_store(&error))?;
        found.map(|customer| (customer, position)).ok_or_else(customer_not_found)
    }

    /// As [`Self::fresh`] for an answer that may come from every partition.
    pub(crate) async fn fresh_everywhere(&self, min_position: Option<&str>) -> Result<(), Problem> {
        self.fresh(0, min_position).await?;
        let settled = (1..self.log.partitions()).map(|partition| self.settle(partition));
        futures::future::try_join_all(settled).await.map(drop)
    }

    /// Rows that stand still, whoever folds them, are not shown as if they were current.
    fn running(&self, partition: u16) -> Result<(), Problem> {
        self.progress.stands_still(partition).map_or(Ok(()), |_| Err(standstill()))
    }
}
