//! The one executable: settings, wiring, the demo. No rule lives here.
mod banner;
mod contact;
mod data_folder;
pub mod declare_loss;
mod demo;
pub mod log_address;
mod nodes;
pub mod openapi;
mod pages;
mod queues;
mod rebuilds;
pub mod replay_roles;
pub mod roles;
pub mod serve;
pub mod settings;
pub mod stores_address;
pub mod webhook;
mod wiring;
