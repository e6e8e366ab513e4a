//! A topic of its own for each test, on the broker that `LOYALNEST_TEST_KAFKA` names, and what its administrator may do to
//! it.
use std::{env, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::time::sleep;

use super::{Address, client};
use crate::ids::LogId;

/// Holds the address of a broker.
const VARIABLE: &str = "LOYALNEST_TEST_KAFKA";
/// Between two looks whether a change is in force.
const PAUSE: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 1_000;

/// The address of the broker, as `kafka://HOST:PORT`.
///
/// # Panics
/// If there is no broker: these tests are never skipped.
#[must_use]
pub fn broker() -> String {
    let given = env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask services up` and export its address")
    });
    given.trim_end_matches('/').to_owned()
}

/// A name that no other topic has; nobody made the topic yet.
///
/// # Panics
/// Those of [`broker`]; if what the variable holds is no address.
#[must_use]
pub fn new_topic() -> Address {
    let address = format!("{}/test-{}", broker(), LogId::random()).parse();
    address.unwrap_or_else(|error| panic!("{VARIABLE} is wrong: {error}"))
}

/// Somebody changes settings of a topic and leaves all others to the broker; they are in force when it returns.
///
/// # Errors
/// The broker refuses, is not there, or does not come to it.
pub async fn change(address: &Address, settings: &[(&str, &str)]) -> Result<(), KafkaError> {
    let (admin, options) = (admin(address)?, AdminOptions::new());
    let topic = ResourceSpecifier::Topic(&address.topic);
    let change =
        settings.iter().fold(AlterConfig::new(topic), |change, (name, value)| change.set(name, value));
    for changed in admin.alter_configs([&change], &options).await? {
        changed.map_err(|(_, code)| KafkaError::AdminOp(code))?;
    }
    for _ in 0..LOOKS_MAX {
        let described = admin.describe_configs(&[topic], &options).await?;
        let found = described.into_iter().next().transpose().map_err(KafkaError::AdminOp)?;
        let value = |name| found.as_ref()?.get(name)?.value.as_deref();
        if settings.iter().all(|(name, wanted)| value(name) == Some(*wanted)) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
}

/// Somebody adds partitions to a topic until there are so many; they can be seen when it returns.
///
/// # Errors
/// The broker refuses, is not there, or does not come to it.
pub async fn grow(address: &Address, partitions: usize) -> Result<(), KafkaError> {
    let admin = admin(address)?;
    let grown = NewPartitions::new(&address.topic, partitions);
    for grown in admin.create_partitions([&grown], &AdminOptions::new()).await? {
        grown.map_err(|(_, code)| KafkaError::AdminOp(code))?;
    }
    for _ in 0..LOOKS_MAX {
        let seen = admin.inner().fetch_metadata(Some(&address.topic), Duration::from_secs(5))?;
        if seen.topics().iter().any(|topic| topic.partitions().len() == partitions) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))
}

pub(super) fn admin(address: &Address) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
    client::admin(address).create()
}
