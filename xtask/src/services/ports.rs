//! Ports for servers that end and come back.
use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
};

use anyhow::ensure;

/// Below those that the system gives to whoever connects or asks for any. One of those is soon somebody else's while its
/// server is away, or a client's that tries to reach it: it may be connected to itself.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;
const TRIES_MAX: usize = 1_000;

/// So many that nobody listens at; all at once, so that no two are the same.
pub(super) fn free_ports(count: u16) -> anyhow::Result<Vec<u16>> {
    let any = RandomState::new();
    let bind = |attempt: usize| {
        let port = FIRST + u16::try_from(any.hash_one(attempt) % u64::from(COUNT)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|listener| (port, listener))
    };
    let (ports, _listeners): (Vec<_>, Vec<_>) =
        (0..TRIES_MAX).filter_map(bind).take(usize::from(count)).unzip();
    ensure!(ports.len() == usize::from(count), "expected {count} free ports behind {FIRST}, found fewer");
    Ok(ports)
}
