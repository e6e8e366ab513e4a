//! The one executable and its roles.
use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use loyalnest::{
    declare_loss, replay_roles, serve,
    settings::{Given, Settings},
    webhook,
};

/// Many threads that free what others allocated: the system's allocator spends a tenth of a command on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(version, about = "A loyalty engine for Shopify merchants, on a durable log")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Role {
    /// Run everything in one process (the default).
    Serve(Serve),
    /// Act as Shopify.
    Webhook {
        #[command(subcommand)]
        action: Webhook,
    },
    /// Show the settings in force, secrets hidden.
    Settings(Common),
    /// Print the OpenAPI document.
    Openapi,
    /// Verify every chain, stream, ledger and read model of a data folder, also beside a running server.
    ///
    /// Exits with 0 if all is sound, 1 if a fault was found, 2 if it could not look.
    Verify(Job),
    /// Rebuild read models from the log beside those that are served, compare them, and serve the new ones.
    ///
    /// If a server runs on the data folder, it does it while it goes on serving. The tables served before are kept for
    /// --rollback. Exits with 0 if the rows were equal, 1 if they differed (the log is right, so the new ones are served,
    /// unless --dry-run), 2 if it could not.
    Rebuild {
        /// One projection; all if none is named.
        projection: Option<String>,
        /// Compare only; serve nothing new.
        #[arg(long)]
        dry_run: bool,
        /// Serve the tables before the last rebuild again.
        #[arg(long, conflicts_with = "dry_run")]
        rollback: bool,
        #[command(flatten)]
        job: Job,
    },
    /// Say which records the log lost that others remember, and let everything begin again without them.
    ///
    /// For a log that is gone for good: a broker that lost records, an old copy. No server may run on the data folder.
    /// Without --yes nothing is changed. Exits with 0 if nothing is lost or the loss is declared, 1 if something is lost
    /// and nothing was changed, 2 if it could not.
    DeclareLoss {
        /// Who stands for it; two people, each once. Recorded in the log.
        #[arg(long, value_name = "NAME")]
        by: Vec<String>,
        /// Why the records are gone. Recorded in the log.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Do it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        job: Job,
    },
}

/// A job on a data folder.
#[derive(Args)]
struct Job {
    #[command(flatten)]
    common: Common,
    /// Answer with one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Common {
    #[command(flatten)]
    given: Given,
    /// Settings file; `loyalnest.toml` is read if it is there.
    #[arg(long, env = "LOYALNEST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    common: Common,
    /// Start empty, without demo shops.
    #[arg(long, env = "LOYALNEST_NO_DEMO")]
    no_demo: bool,
    /// Say that it is ready as one JSON object on the first line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Webhook {
    /// Sign a file and post it to a running server.
    Send {
        /// The body.
        file: PathBuf,
        /// Such as `orders/create`.
        #[arg(long)]
        topic: String,
        /// The shop's myshopify.com domain.
        #[arg(long)]
        shop: String,
        /// The server.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        url: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Common {
    fn resolve(self) -> anyhow::Result<Settings> {
        Settings::resolve(self.given, self.config.as_deref())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.role.unwrap_or(Role::Serve(arguments.serve))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = declare_loss::hint(&error) {
                eprintln!("{hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::Serve(arguments) => {
            let Serve { common, no_demo, json } = arguments;
            let options = serve::Options { settings: common.resolve()?, demo: !no_demo, json };
            runtime()?.block_on(serve::run(&options))?;
        }
        Role::Webhook { action: Webhook::Send { file, topic, shop, url, common } } => {
            let settings = common.resolve()?;
            runtime()?.block_on(async {
                let secret = serve::webhook_secret(&settings).await?;
                let sender = webhook::Sender { url, secret, client: reqwest::Client::new() };
                sender.send_file(&file, topic, shop).await
            })?;
        }
        Role::Settings(common) => {
            print!("{}", toml::to_string(&common.resolve()?)?);
        }
        Role::Openapi => {
            println!("{}", loyalnest::openapi::document()?);
        }
        Role::Verify(Job { common, json }) => {
            let settings = common.resolve()?;
            return Ok(runtime()?.block_on(replay_roles::verify(&settings, json)));
        }
        Role::DeclareLoss { by, why, yes, job: Job { common, json } } => {
            let settings = common.resolve()?;
            let declaration = declare_loss::Declaration { by, why, yes };
            return Ok(runtime()?.block_on(declare_loss::run(&settings, declaration, json)));
        }
        Role::Rebuild { projection, dry_run, rollback, job: Job { common, json } } => {
            let settings = common.resolve()?;
            let options = replay_roles::Rebuild { projection, dry_run, roll_back: rollback };
            return Ok(runtime()?.block_on(replay_roles::rebuild(&settings, options, json)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
