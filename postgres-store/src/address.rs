//! Where a database is and who asks; shown without the password.
use std::{fmt, str::FromStr, time::Duration};

use sqlx::{
    Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{Error, error::explain, promise::promised};

/// How long a server may take to answer whoever connects.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Parameters of an address that mean something.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "port",
    "user",
    "dbname",
    "password",
    "application_name",
    "options",
];

/// The address of a database: `postgres://user:password@host:port/database?sslmode=…`.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    shown: String,
}

impl Address {
    /// What the driver connects with.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Connects, and refuses a database whose texts are not UTF-8.
    ///
    /// # Errors
    /// What is wrong with the address, the server, the password or the database, and what to change.
    pub async fn connect(&self, application: &str) -> Result<PgConnection, Error> {
        let options = self.options.clone().application_name(application);
        let connecting = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            let encoding = sqlx::query_scalar::<_, String>("SHOW server_encoding");
            let encoding = encoding.fetch_one(&mut connection).await?;
            // What is there already is no news.
            connection.execute("SET client_min_messages = warning").await?;
            Ok((connection, encoding))
        };
        let connected = tokio::time::timeout(CONNECT_MAX, connecting).await;
        let (connection, encoding) = connected
            .map_err(|_| Error::Silent { server: self.shown.clone(), seconds: CONNECT_MAX.as_secs() })?
            .map_err(|error| self.explain(error))?;
        if encoding == "UTF8" {
            Ok(connection)
        } else {
            Err(Error::Encoding { server: self.shown.clone(), encoding })
        }
    }

    /// Connects to a server that keeps what it says is committed, and makes sure that this connection goes on to.
    ///
    /// # Errors
    /// As [`Self::connect`], or which setting of the server to change.
    pub async fn connect_to_keep(&self, application: &str) -> Result<PgConnection, Error> {
        let mut connection = self.connect(application).await?;
        let promised = promised(&mut connection).await.map_err(|error| self.explain(error))?;
        promised.map_err(|reason| Error::Unsafe { server: self.shown.clone(), reason })?;
        Ok(connection)
    }

    /// The driver's error in words that say what to change.
    #[must_use]
    pub fn explain(&self, error: sqlx::Error) -> Error {
        explain(&self.shown, error)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return Err(Error::Address("it does not begin with postgres://".to_owned()));
        }
        if let Some((_, parameters)) = text.split_once('?') {
            let names = parameters.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
            if let Some(unknown) = names.into_iter().find(|name| !PARAMETERS.contains(name)) {
                // With an @ behind it the question mark may stand in the password, which then goes on here.
                return Err(Error::Address(if parameters.contains('@') {
                    "there is an unknown parameter behind the ?; a ? in a password is written %3F".to_owned()
                } else {
                    format!("there is no parameter {unknown}")
                }));
            }
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| Error::Address(error.to_string()))?;
        let Some(database) = options.get_database().map(str::to_owned) else {
            return Err(Error::Address("it names no database".to_owned()));
        };
        let shown = format!(
            "postgres://{}@{}:{}/{database}",
            options.get_username(),
            options.get_host(),
            options.get_port()
        );
        Ok(Self { options, shown })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encrypted = !matches!(self.options.get_ssl_mode(), PgSslMode::Disable);
        f.debug_struct("Address").field("server", &self.shown).field("encrypted", &encrypted).finish()
    }
}
