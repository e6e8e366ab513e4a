//! This process as one of several nodes: joining them, `GET /admin/nodes`, and whether every partition has an owner.
use std::sync::Arc;

use anyhow::Context as _;
use axum::{Json, Router, extract::State};
use command_api::{
    Commander,
    nodes::{Membership, Nodes},
};
use event_log::Log;
use http_edge::{Auth, Operator, Problem, WithAuth};
use privacy::KeyStore;
use query_api::Probe;
use serde::Serialize;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    roles::{Role, Roles},
    settings::Settings,
};

/// Joins the other nodes, if this is to be one of several; they reach it at `url`.
pub(crate) async fn join(
    settings: &Settings,
    log: &Log,
    url: &str,
) -> anyhow::Result<Option<Arc<dyn Membership>>> {
    let Some(name) = &settings.node else { return Ok(None) };
    let url = settings.advertise.as_deref().unwrap_or(url);
    joined(settings, log, name, url).await.map(Some).context("could not join the other nodes")
}

#[cfg(feature = "postgres")]
async fn joined(
    settings: &Settings,
    log: &Log,
    name: &str,
    url: &str,
) -> anyhow::Result<Arc<dyn Membership>> {
    use command_api::nodes::leases::{Leases, Node};
    let address = settings.stores.postgres().context("the setting stores names no Postgres")?;
    let session = std::time::Duration::from_millis(settings.session_ms.into());
    let roles = settings.roles.names().collect();
    let node = Node { name: name.to_owned(), url: url.to_owned(), roles, session };
    let leases = Leases::join(address, *log.id().as_bytes(), log.partitions(), node).await?;
    #[cfg(feature = "kafka")]
    if let crate::log_address::LogAddress::Kafka(address) = &settings.log {
        use command_api::nodes::group::Grouped;
        return Ok(Arc::new(Grouped::join(address, log.id(), leases, name, url, session).await?));
    }
    Ok(Arc::new(leases))
}

#[cfg(not(feature = "postgres"))]
async fn joined(_: &Settings, _: &Log, _: &str, _: &str) -> anyhow::Result<Arc<dyn Membership>> {
    anyhow::bail!("this executable was built without Postgres; build it with --features postgres")
}

/// Refuses while nodes are alive, for a job that nobody may work beside.
#[cfg(feature = "postgres")]
pub(crate) async fn ensure_none(settings: &Settings, log: &Log) -> anyhow::Result<()> {
    let Some(address) = settings.stores.postgres() else { return Ok(()) };
    let alive = command_api::nodes::leases::alive(address, *log.id().as_bytes()).await?;
    anyhow::ensure!(alive.is_empty(), "end these nodes first: {}", alive.join(", "));
    Ok(())
}

/// Without Postgres there are no other nodes.
#[cfg(not(feature = "postgres"))]
pub(crate) async fn ensure_none(_: &Settings, _: &Log) -> anyhow::Result<()> {
    Ok(())
}

/// Forgets who owned what, for a log whose terms begin again.
#[cfg(feature = "postgres")]
pub(crate) async fn forget_owners(settings: &Settings, log: &Log) -> anyhow::Result<()> {
    let Some(address) = settings.stores.postgres() else { return Ok(()) };
    command_api::nodes::leases::forget_owners(address, *log.id().as_bytes()).await?;
    #[cfg(feature = "kafka")]
    if let crate::log_address::LogAddress::Kafka(address) = &settings.log {
        let (owners, partitions) =
            (event_log::kafka::Owners::open(address, log.id()).await?, log.partitions());
        tokio::task::spawn_blocking(move || owners.forget(partitions)).await??;
    }
    Ok(())
}

/// Without Postgres there are no other nodes.
#[cfg(not(feature = "postgres"))]
pub(crate) async fn forget_owners(_: &Settings, _: &Log) -> anyhow::Result<()> {
    Ok(())
}

/// What the owners of this process work with.
pub(crate) fn owning(membership: &dyn Membership, roles: &Roles) -> Nodes {
    let proposed = membership.share(Role::Commands.name());
    Nodes { proposed, owners: membership.owners(), stands_by: roles.has(Role::Commands) }
}

/// The route on which other nodes ask this one, if there are any.
pub(crate) fn asks(
    membership: Option<&dyn Membership>,
    commander: &Commander,
    keys: &KeyStore,
) -> anyhow::Result<Router> {
    match membership {
        Some(_) => Ok(command_api::nodes::router(commander.clone(), keys)?),
        None => Ok(Router::new()),
    }
}

/// What the page is asked of.
#[derive(Clone)]
pub(crate) struct Page {
    /// None if this is the only process.
    membership: Option<Arc<dyn Membership>>,
    /// Knows what this process serves.
    commander: Commander,
    /// Verifies the operator's token.
    auth: Arc<dyn Auth>,
}

impl Page {
    pub(crate) fn new(
        membership: Option<&Arc<dyn Membership>>,
        commander: &Commander,
        auth: &Arc<dyn Auth>,
    ) -> Self {
        Self { membership: membership.cloned(), commander: commander.clone(), auth: Arc::clone(auth) }
    }
}

impl WithAuth for Page {
    fn auth(&self) -> &dyn Auth {
        &*self.auth
    }
}

/// The one route.
fn routes() -> OpenApiRouter<Page> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The route with its state.
pub(crate) fn router(page: Page) -> OpenApiRouter {
    routes().with_state(page)
}

/// The route's part of the OpenAPI document.
pub(crate) fn document() -> OpenApi {
    routes().into_openapi()
}

/// The nodes and the partitions, as far as this node knows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodesBody {
    /// Live nodes; empty if this is the only process.
    nodes: Vec<NodeBody>,
    /// Every partition.
    partitions: Vec<PartitionBody>,
}

/// A live node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeBody {
    /// Its name.
    name: String,
    /// Where the others reach it.
    url: String,
    /// What it does.
    roles: Vec<String>,
}

/// A partition and who owns it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartitionBody {
    partition: u16,
    /// Whether this node serves it.
    here: bool,
    /// The node that announced it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The term of that announcement.
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
    /// How many records were read to take it over last, where that was done here.
    records_read: u64,
}

/// Shows the nodes, and which of them owns which partition.
#[utoipa::path(get, path = "/admin/nodes", tag = "operator",
    responses((status = 200, body = NodesBody), (status = 401, body = http_edge::ProblemBody)))]
pub(crate) async fn show(_: Operator, State(page): State<Page>) -> Result<Json<NodesBody>, Problem> {
    let (here, membership) = (page.commander.owned(), page.membership.as_deref());
    let nodes = membership.map(Membership::members).unwrap_or_default();
    let nodes = nodes.into_iter().map(|node| NodeBody { name: node.name, url: node.url, roles: node.roles });
    let partition = |partition| {
        let known = membership.and_then(|membership| membership.owners().known(partition));
        let (owner, term) = known.map(|owner| (owner.url, owner.term)).unzip();
        let records_read = page.commander.records_read_of(partition);
        PartitionBody { partition, here: here.contains(&partition), owner, term, records_read }
    };
    let partitions = (0..page.commander.partitions()).map(partition).collect();
    Ok(Json(NodesBody { nodes: nodes.collect(), partitions }))
}

/// Whether every partition has an owner, here or elsewhere.
pub(crate) fn owned(commander: &Commander) -> Arc<dyn Probe> {
    Arc::new(Owned(commander.clone()))
}

struct Owned(Commander);

impl Probe for Owned {
    fn name(&self) -> &'static str {
        "partitions"
    }

    fn check(&self) -> Result<(), String> {
        let unowned: Vec<String> = self.0.unowned().iter().map(ToString::to_string).collect();
        if unowned.is_empty() { Ok(()) } else { Err(format!("no owner is known of {}", unowned.join(", "))) }
    }
}
