//! What we are measured against. Nothing here ships.
pub(crate) mod append_file;
pub(crate) mod bare_kafka;
pub(crate) mod hmac_server;
pub(crate) mod postgres_es;
