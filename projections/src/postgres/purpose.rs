//! What connections are for, and as whom they work.
use std::time::Duration;

use group_commit::postgres::Client;
use postgres_store::Address;

use crate::StoreError;

/// What a statement of whoever follows the log may take. A server that is gone without a word must not stop it for ever.
pub(super) const FOLDED_WITHIN: Duration = Duration::from_secs(60);
/// The same of whoever builds or compares tables, however large.
pub(super) const BUILT_WITHIN: Duration = Duration::from_secs(60 * 60);

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Folding, making tables, serving other ones.
    Write,
    /// Answering queries of one merchant.
    Read,
    /// Comparing tables.
    Look,
}

impl Purpose {
    /// Takes on its role.
    pub(super) const fn role(self) -> &'static str {
        match self {
            Self::Write | Self::Look => "SET ROLE loyalnest_projector",
            Self::Read => "SET ROLE loyalnest_reader",
        }
    }

    /// What holds for the whole connection. Whoever stops or goes away inside a transaction is thrown out, so that others
    /// write. A commit waits for the server's own disk, so that a crash of the server takes
    /// nothing back that was told as visible, but for no standby: the log has the rows. Keys of a table that the server has
    /// no figures of yet are still looked up in its index.
    const fn settings(self) -> &'static str {
        match self {
            Self::Write => {
                "SET search_path TO loyalnest_read; SET jit = off; SET synchronous_commit = local;
                 SET idle_in_transaction_session_timeout = '10s'; SET tcp_user_timeout = '10s';
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
            }
            Self::Read => "SET search_path TO loyalnest_read; SET jit = off; SET statement_timeout = '30s'",
            Self::Look => "SET search_path TO loyalnest_read; SET jit = off",
        }
    }

    /// What the beginning of a transaction may take, and with it any statement if nobody says otherwise: longer than the
    /// server itself waits for locks. Who asks must hear soon that a server stands still.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Read | Self::Write => Duration::from_secs(10),
            Self::Look => BUILT_WITHIN,
        }
    }
}

/// Connects for this purpose.
pub(super) fn connect(address: &Address, purpose: Purpose) -> Result<Client, StoreError> {
    let client = Client::connect(address, "loyalnest")?.within(Some(purpose.patience()));
    client.simple(purpose.role())?;
    client.simple(purpose.settings())?;
    Ok(client)
}
