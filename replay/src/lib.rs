//! What an auditor and a data team do with a log: verify its history, rebuild its read models. Nothing here serves
//! traffic or appends.
pub mod progress;
pub mod verify;
