//! The auditor's tools against real logs in real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]
mod book;
mod editor;
mod erasures;
mod laws;
mod mutants;
mod rebuild;
mod verify;
