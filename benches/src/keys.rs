//! Keys: sealing a person's fields, and wrapping everything anew under a new epoch, beside the bare cipher.
use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{anyhow, ensure};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use event_schemas::{CustomerId, FieldAddress, MerchantId, RecordId, Timestamp};
use privacy::{KeyStore, RootKey, Whom};
use uuid::Uuid;

use crate::{
    measure::{Bench, Row},
    rounds::{for_each, interleaved, median, rate},
};

const SHOP: MerchantId = MerchantId::from_bytes([1; 16]);
/// A name and an e-mail address, as JSON.
const FIELDS: [(&str, &[u8]); 2] =
    [("first_name", b"\"Ada Lovelace\""), ("email", b"\"ada@lovelace.example\"")];
/// People whose fields are sealed in turn.
const PEOPLE: usize = 1_000;
/// Keys that are made at once where nothing is measured.
const AT_ONCE: usize = 512;
/// A wrapped data key has two halves of 32 bytes.
const KEY_LEN: usize = 64;

/// A command's two personal fields: the subject's key is unwrapped, used and wiped each time.
pub(crate) async fn sealing(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = bench.folder("sealing")?;
    let keys = peopled(folder.path(), PEOPLE).await?;
    let addresses: Vec<_> =
        (0..PEOPLE).map(|number| FIELDS.map(|(field, _)| address(number, field))).collect();
    let window = bench.size.window;
    let ours = async || {
        counted(window, |turn| {
            let [name, email] = &addresses[turn % PEOPLE];
            let sealer = keys.sealer(SHOP, name.subject)?;
            Ok([sealer.seal(name, FIELDS[0].1)?.0, sealer.seal(email, FIELDS[1].1)?.0])
        })
    };
    let bare = async || {
        let key = key(&[7; 32])?;
        counted(window, |turn| {
            let [name, email] = &addresses[turn % PEOPLE];
            Ok([
                sealed(&key, &name.associated_data(), FIELDS[0].1)?,
                sealed(&key, &email.associated_data(), FIELDS[1].1)?,
            ])
        })
    };
    Ok(vec![Row::beside("two fields, one thread", interleaved(bench.size.rounds, ours, bare).await?)])
}

/// A rotation of the epoch, durable in the file: the store's thread reads and writes while another wraps, whereas the peer
/// is one thread that does nothing else. Then again once every tenth person is erased.
pub(crate) async fn rotation(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let people = bench.size.deliveries * 20;
    let folder = bench.folder("rotation")?;
    let keys = peopled(folder.path(), people).await?;
    let mut wrapped = Vec::with_capacity(people);
    let (old, new) = (key(&[7; 32])?, key(&[8; 32])?);
    for number in 0..people {
        wrapped.push(sealed(&old, &binding(number), &[9; KEY_LEN])?);
    }
    let days = AtomicI64::new(1);
    let ours = async || {
        let days = days.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let rotated = keys.rotate(Timestamp::from_micros(days * 86_400_000_000)).await?;
        ensure!(rotated.rows == people as u64, "{} of {people} rows were wrapped anew", rotated.rows);
        Ok(rate(people, started.elapsed()))
    };
    let bare = async || {
        let started = Instant::now();
        for (number, wrapped) in wrapped.iter().enumerate() {
            let binding = binding(number);
            let mut key = wrapped.clone();
            let (nonce, key) =
                key.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(|| anyhow!("too short"))?;
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let clear = old.open_in_place(nonce, Aad::from(&binding), key)?;
            std::hint::black_box(sealed(&new, &binding, clear)?);
        }
        Ok(rate(people, started.elapsed()))
    };
    let (alive, peer) = interleaved(bench.size.rounds, &ours, bare).await?;
    let erased = people / 10;
    erase(&keys, erased).await?;
    let mut some_erased = Vec::new();
    for _ in 0..bench.size.rounds {
        some_erased.push(ours().await?);
    }
    let of_erased = format!("{erased} of them erased");
    Ok(vec![
        Row::beside(format!("{people} people of one shop"), (alive, peer)),
        Row::beside(of_erased, (median(some_erased), peer)).judged(false),
    ])
}

/// Erases every tenth person, with a certificate.
async fn erase(keys: &KeyStore, people: usize) -> anyhow::Result<()> {
    let keys = keys.clone();
    let erase = move |number: usize| {
        let keys = keys.clone();
        async move {
            let (whom, request) = (Whom::Person(vec![person(number * 10)]), Uuid::from_u128(number as u128));
            keys.fence(SHOP, &whom, request).await?;
            keys.destroy(SHOP, &whom, request).await?;
            Ok(keys.certify(SHOP, &whom, "certificate").await?)
        }
    };
    for_each(people, AT_ONCE, erase).await
}

async fn peopled(folder: &Path, people: usize) -> anyhow::Result<KeyStore> {
    let root = RootKey::create_file(&folder.join("root.key"))?;
    let keys = KeyStore::create_or_open(&folder.join("keys.db"), &root, [1; 16]).await?;
    keys.ensure_merchant(SHOP).await?;
    let makes = keys.clone();
    let make = move |number| {
        let keys = makes.clone();
        async move { Ok(keys.ensure_subject(SHOP, person(number)).await?) }
    };
    for_each(people, AT_ONCE, make).await?;
    Ok(keys)
}

fn person(number: usize) -> CustomerId {
    CustomerId(Uuid::from_u128((number as u128) << 32 | 0xbe))
}

fn address(number: usize, field: &'static str) -> FieldAddress {
    let subject = person(number);
    FieldAddress {
        merchant: SHOP,
        subject,
        stream_type: 2,
        stream: subject.0,
        version: 1,
        record: RecordId(subject.0),
        index: 0,
        event_type: 201,
        field: field.into(),
    }
}

/// As long as what a wrapped key is bound to.
fn binding(number: usize) -> [u8; 69] {
    let mut binding = [3; 69];
    binding[..8].copy_from_slice(&(number as u64).to_be_bytes());
    binding
}

fn key(bytes: &[u8; 32]) -> anyhow::Result<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, bytes)?))
}

/// Nonce, ciphertext and tag.
fn sealed(key: &LessSafeKey, binding: &[u8], clear: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + clear.len() + AES_256_GCM_SIV.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(clear);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(binding), &mut sealed[NONCE_LEN..])?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Calls a second on this thread.
fn counted<T>(window: Duration, mut call: impl FnMut(usize) -> anyhow::Result<T>) -> anyhow::Result<u64> {
    let (started, mut turn) = (Instant::now(), 0);
    while started.elapsed() < window {
        for _ in 0..100 {
            std::hint::black_box(call(turn)?);
            turn += 1;
        }
    }
    Ok(rate(turn, started.elapsed()))
}
