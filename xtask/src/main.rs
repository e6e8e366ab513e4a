//! What a developer runs: `cargo xtask generate | test | soak`.
mod generate;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Tasks of the project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write generated files: JSON Schemas, missing golden samples.
    Generate,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Generate => generate::run(),
    }
}
