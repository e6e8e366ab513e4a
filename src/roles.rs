//! What a process does: every role there is. A process does all of it unless its settings say less.
use std::{collections::BTreeSet, fmt, str::FromStr};

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
};
use http_edge::Problem;
use serde::{Deserialize, Serialize, Serializer};
use utoipa_axum::router::OpenApiRouter;

/// One thing that a process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes commands, and owns partitions of the log.
    Commands,
    /// Follows events with commands, and does what is due.
    Policies,
    /// Takes deliveries, and works them off.
    Webhooks,
    /// Folds events into the read models.
    Projector,
    /// Answers questions from the read models.
    Queries,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Commands, Self::Policies, Self::Webhooks, Self::Projector, Self::Queries];

    /// As settings and other nodes have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Policies => "policies",
            Self::Webhooks => "webhooks",
            Self::Projector => "projector",
            Self::Queries => "queries",
        }
    }
}

/// What one process does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Whether it does this.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether it does everything.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|role| role.name())
    }

    /// The doors of a role; without the role, whoever comes is told to go to another node.
    pub(crate) fn doors(&self, role: Role, router: OpenApiRouter) -> OpenApiRouter {
        if self.has(role) {
            return router;
        }
        let name = role.name();
        router.layer(from_fn(move |_: Request, _: Next| async move {
            let detail = format!("This node does not have the role {name}; ask one that has it");
            let code = StatusCode::MISDIRECTED_REQUEST;
            Problem::new(code, "other-node", "Another node answers this").detail(detail)
        }))
    }
}

impl Default for Roles {
    fn default() -> Self {
        Self(Role::ALL.into())
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Role::ALL.map(Role::name).join(", ");
        let role = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name.trim());
        let roles: Option<BTreeSet<Role>> = text.split(',').map(role).collect();
        roles.map(Self).ok_or_else(|| format!("expected roles by comma: {known}"))
    }
}

impl TryFrom<String> for Roles {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(","))
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written_and_nothing_else_is() {
        let some: Roles = "queries, commands".parse().unwrap();
        assert_eq!(some.to_string(), "commands,queries");
        assert!(some.has(Role::Queries) && !some.has(Role::Policies) && !some.are_all());
        assert_eq!(Roles::default().to_string().parse(), Ok(Roles::default()));
        for wrong in ["", "query", "commands,"] {
            let said = wrong.parse::<Roles>().unwrap_err();
            assert!(said.contains("projector"), "{said}");
        }
    }
}
