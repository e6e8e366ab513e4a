//! `privacy certificate verify`: whether a certificate of erasure is genuine, and what it says, without any server.
use std::{fmt::Write as _, fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use privacy::certificate::{Certificate, Level, Scope, Statement};
use serde_json::json;

use crate::replay_roles::{FOUND, UNKNOWN, error_text, told};

/// Says whether the certificate in a file is signed by this key (64 hexadecimal digits) and unchanged. 0: it is; 1: it is
/// not; 2: could not look.
#[must_use]
pub fn verify(file: &Path, key: Option<&str>, json: bool) -> ExitCode {
    let Some((text, expected)) = told(read(file, key), json) else { return UNKNOWN.into() };
    let verified = Certificate::parse(&text).and_then(|certificate| {
        let signer = certificate.public_key.clone();
        certificate.verify(expected).map(|statement| (statement, signer))
    });
    match &verified {
        Ok((statement, signer)) if json => {
            println!(
                "{}",
                json!({"genuine": true, "signer_expected": expected.is_some(), "signer": signer, "statement": statement})
            );
        }
        Ok((statement, signer)) => print!("{}", shown(statement, signer, expected.is_some())),
        Err(invalid) if json => println!("{}", json!({"genuine": false, "reason": error_text(invalid)})),
        Err(invalid) => println!("This certificate is not genuine: {}", error_text(invalid)),
    }
    if verified.is_ok() { ExitCode::SUCCESS } else { FOUND.into() }
}

fn read(file: &Path, key: Option<&str>) -> anyhow::Result<(String, Option<[u8; 32]>)> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    Ok((text, key.map(digits).transpose()?))
}

fn digits(key: &str) -> anyhow::Result<[u8; 32]> {
    let digit = |at: usize| key.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let plain = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes: Option<Vec<u8>> = (0..32).map(digit).collect();
    let bytes = bytes.filter(|_| plain).and_then(|bytes| bytes.try_into().ok());
    bytes.context("the key must be 64 hexadecimal digits")
}

fn shown(statement: &Statement, signer: &str, is_expected: bool) -> String {
    let mut out = String::new();
    write(statement, signer, is_expected, &mut out)
        .unwrap_or_else(|_| unreachable!("writing to a String cannot fail"));
    out
}

fn write(statement: &Statement, signer: &str, is_expected: bool, out: &mut String) -> std::fmt::Result {
    if is_expected {
        writeln!(out, "The certificate is genuine: {signer} signed it, and nobody changed it.")?;
    } else {
        writeln!(out, "The certificate is as {signer} signed it. Whose key that is, --key says.")?;
    }
    let Statement { level, times, destroyed, epoch, .. } = statement;
    let whom = match statement.scope {
        Scope::Shop => "everybody in the shop".to_owned(),
        Scope::Customer if statement.subjects.is_empty() => {
            "nobody: nothing was held of the person".to_owned()
        }
        Scope::Customer => statement.subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let Statement { certificate, log, merchant, request, .. } = statement;
    writeln!(out, "  certificate  {certificate}, {}", level_word(*level))?;
    writeln!(out, "  erased       {whom}")?;
    writeln!(out, "  of           merchant {merchant}, log {log}, request {request}")?;
    for (step, at) in [
        ("requested", times.requested),
        ("fenced", times.fenced),
        ("destroyed", times.destroyed),
        ("purged", times.purged),
        ("verified", times.verified),
        ("issued", times.issued),
    ] {
        writeln!(out, "  {step:<12} {at}")?;
    }
    let (keys, rows, stones) = (destroyed.keys, destroyed.directory_rows, destroyed.tombstones);
    writeln!(out, "  destroyed    {keys} keys, {rows} directory rows; {stones} bare tombstones stay")?;
    for (store, count) in statement.purged.iter().filter(|(_, count)| **count > 0) {
        writeln!(out, "  purged       {store}: {count}")?;
    }
    for scan in &statement.scanned {
        let (partition, from, to) = (scan.partition, scan.from, scan.to);
        let (records, fields) = (scan.records, scan.fields);
        writeln!(
            out,
            "  looked at    partition {partition}, positions {from} to {to}: {records} records, {fields} sealed fields, \
             none opened"
        )?;
    }
    let when = statement.epoch_destroyed;
    match level {
        Level::Live => writeln!(
            out,
            "  not yet      copies from before with the keys of epoch {epoch}: those are destroyed by {when}"
        ),
        Level::Final => writeln!(out, "  epoch        {epoch}, destroyed {when}"),
    }
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::Live => "live",
        Level::Final => "final",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert_eq!(digits(&"0f".repeat(32)).unwrap(), [15; 32]);
        for wrong in ["", &"0f".repeat(31), &"+f".repeat(32), &"ö".repeat(32)] {
            assert!(digits(wrong).unwrap_err().to_string().contains("64 hexadecimal digits"), "{wrong}");
        }
    }
}
