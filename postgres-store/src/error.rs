//! Why a database cannot be used, in words that say what to change. None holds a password.

/// A database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address itself is wrong.
    #[error("expected an address such as postgres://user:password@host:5432/database, but {0}")]
    Address(String),
    /// Nobody listens there.
    #[error("{server} cannot be reached; start the server or correct host and port")]
    Unreachable {
        /// Who asked whom for what.
        server: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Somebody listens, but does not answer.
    #[error("{server} did not answer within {seconds} s; is it a Postgres, and not overloaded?")]
    Silent {
        /// Who asked whom for what.
        server: String,
        /// How long it had.
        seconds: u64,
    },
    /// Encryption failed before anything was asked.
    #[error(
        "{server}: no encrypted connection could be made; correct sslmode and the files that the address names"
    )]
    Tls {
        /// Who asked whom for what.
        server: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The server does not let this user in.
    #[error("{server} refuses the user or the password; correct them in the address: {reason}")]
    Login {
        /// Who asked whom for what.
        server: String,
        /// What the server said.
        reason: String,
    },
    /// There is no such database.
    #[error("{server}: the database does not exist; make it with createdb, or correct the address")]
    NoDatabase {
        /// Who asked whom for what.
        server: String,
    },
    /// Texts could not be kept as they are.
    #[error("{server} keeps texts as {encoding}; make the database with ENCODING 'UTF8'")]
    Encoding {
        /// Who asked whom for what.
        server: String,
        /// How it keeps them.
        encoding: String,
    },
    /// The user may not do what must be done.
    #[error("{server}: the user may not do this: {reason}; grant it, or let another user do it once")]
    Forbidden {
        /// Who asked whom for what.
        server: String,
        /// What the server said.
        reason: String,
    },
    /// Only a primary can be written.
    #[error("{server} does not accept writes; name the primary in the address")]
    ReadOnly {
        /// Who asked whom for what.
        server: String,
    },
    /// The server could lose what it says is committed, or is none that may be written.
    #[error("{server} cannot be used: {reason}")]
    Unsafe {
        /// Who asked whom for what.
        server: String,
        /// What to change.
        reason: String,
    },
    /// A newer program has been here.
    #[error(
        "{schema} is of version {found}, and this program knows versions up to {known}; start a newer program"
    )]
    NewerSchema {
        /// The schema.
        schema: &'static str,
        /// Its version.
        found: i32,
        /// The newest that is known here.
        known: i32,
    },
    /// Anything else; for a failed commit the outcome is unknown.
    #[error("{server} failed")]
    Failed {
        /// Who asked whom for what.
        server: String,
        /// Why.
        source: sqlx::Error,
    },
}

impl Error {
    /// Whether the server cannot be asked at the moment: it is away, ends, or begins.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Failed { source, .. } => {
                let code = source.as_database_error().and_then(|said| said.code());
                matches!(code.as_deref(), Some("57P01" | "57P02" | "57P03"))
                    || matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
            }
            _ => false,
        }
    }

    /// Whether the statement is to blame, or what it was given: it fails the same way however often it is asked. Else the
    /// server is away, is short of something, is not as it must be, or was busy with others.
    #[must_use]
    pub fn is_of_the_statement(&self) -> bool {
        // Connection, rollback for others' sake, resources, an object in use, an operator's word, the system.
        const OF_THE_SERVER: [&str; 6] = ["08", "40", "53", "55", "57", "58"];
        let Self::Failed { source, .. } = self else { return false };
        let code = source.as_database_error().and_then(|said| said.code());
        let is_of_the_server =
            code.is_some_and(|code| OF_THE_SERVER.iter().any(|class| code.starts_with(class)));
        !is_of_the_server && !self.is_out_of_reach()
    }
}

/// SQLSTATE says what happened; see the table in the server's manual.
pub(crate) fn explain(server: &str, error: sqlx::Error) -> Error {
    let server = server.to_owned();
    let said = error.as_database_error();
    let code = said.and_then(|said| said.code()).unwrap_or_default().into_owned();
    let reason = said.map(|said| said.message().to_owned()).unwrap_or_default();
    match (&error, code.as_str()) {
        (_, "28000" | "28P01") => Error::Login { server, reason },
        (_, "3D000") => Error::NoDatabase { server },
        (_, "42501") => Error::Forbidden { server, reason },
        (_, "25006") => Error::ReadOnly { server },
        // So it comes when a certificate is not what it should be.
        (sqlx::Error::Io(io), _) if io.kind() == std::io::ErrorKind::InvalidData => {
            Error::Tls { server, source: error }
        }
        (sqlx::Error::Io(_), _) => Error::Unreachable { server, source: error },
        (sqlx::Error::Tls(_) | sqlx::Error::Configuration(_), _) => Error::Tls { server, source: error },
        _ => Error::Failed { server, source: error },
    }
}
