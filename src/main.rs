//! The one executable and its roles.
use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use loyalnest::{
    declare_loss, privacy_roles, replay_roles, serve,
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
    /// Have people forgotten, see that it is done, and export what is held of them.
    Privacy {
        #[command(subcommand)]
        action: Privacy,
    },
}

#[derive(Subcommand)]
enum Privacy {
    /// Show a shop's requests with their steps and deadlines, or one of them, and keys that do not open.
    ///
    /// Without a shop: the keys of all shops that do not open or are missing. Exits with 0 if all is in order, 1 if a
    /// request is late or fails or a key is damaged, 2 if the server could not be asked.
    Status {
        /// The request's id; all if none is named.
        request: Option<String>,
        #[command(flatten)]
        shop: privacy_roles::Shop,
        #[command(flatten)]
        job: Job,
    },
    /// Have a person erased by the running server, and wait for the certificate.
    ///
    /// Exits with 0 if it is certified, 1 if not yet (the server goes on by itself), 2 if it could not be asked for.
    Redact {
        #[command(flatten)]
        person: privacy_roles::Person,
        #[command(flatten)]
        shop: privacy_roles::Shop,
        #[command(flatten)]
        patience: privacy_roles::Patience,
        /// Where to put the certificate.
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        #[command(flatten)]
        job: Job,
    },
    /// Have everything exported that is held of a person, and put the files into a folder.
    ///
    /// Exits with 0 if they are there, 1 if not yet (the server goes on by itself), 2 if it could not be asked for.
    Export {
        #[command(flatten)]
        person: privacy_roles::Person,
        #[command(flatten)]
        shop: privacy_roles::Shop,
        #[command(flatten)]
        patience: privacy_roles::Patience,
        /// The folder; made if it is not there.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        #[command(flatten)]
        job: Job,
    },
    /// Have another root key take the place of the present one. No server may run.
    ///
    /// Interrupted, it may be run again with the same settings. Exits with 0 if the new key is the right one, 2 if it could
    /// not.
    RotateRoot {
        /// File of the new key; made if it is not there.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        job: Job,
    },
    /// Look at certificates of erasure.
    Certificate {
        #[command(subcommand)]
        action: Certificate,
    },
}

#[derive(Subcommand)]
enum Certificate {
    /// Say whether a certificate is genuine and what it says; needs no server and no data folder.
    ///
    /// Exits with 0 if it is genuine, 1 if it is not, 2 if it could not be looked at.
    Verify {
        /// The certificate.
        file: PathBuf,
        /// The installation's public key, 64 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// Answer with one JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Print the public key that verifies this installation's certificates, as the running server knows it.
    Key {
        /// The server; the one that runs on the data folder if it is not said.
        #[arg(long)]
        url: Option<String>,
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

/// How long the end waits for calls that block their threads.
const END_MAX: Duration = Duration::from_secs(5);

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
            let runtime = runtime()?;
            let served = runtime.block_on(serve::run(&options));
            // A call to a store that stands still must not keep a server that was told to end.
            runtime.shutdown_timeout(END_MAX);
            served?;
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
        Role::Privacy { action } => return privacy(action),
        Role::Rebuild { projection, dry_run, rollback, job: Job { common, json } } => {
            let settings = common.resolve()?;
            let options = replay_roles::Rebuild { projection, dry_run, roll_back: rollback };
            return Ok(runtime()?.block_on(replay_roles::rebuild(&settings, options, json)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn privacy(action: Privacy) -> anyhow::Result<ExitCode> {
    match action {
        Privacy::Status { request, shop, job: Job { common, json } } => {
            let settings = common.resolve()?;
            Ok(runtime()?.block_on(privacy_roles::status(&settings, shop, request, json)))
        }
        Privacy::Redact { person, shop, patience, certificate, job: Job { common, json } } => {
            let settings = common.resolve()?;
            let redact = privacy_roles::redact(&settings, shop, person, patience, certificate, json);
            Ok(runtime()?.block_on(redact))
        }
        Privacy::Export { person, shop, patience, into, job: Job { common, json } } => {
            let settings = common.resolve()?;
            Ok(runtime()?.block_on(privacy_roles::export(&settings, shop, person, patience, &into, json)))
        }
        Privacy::RotateRoot { to, job: Job { common, json } } => {
            let settings = common.resolve()?;
            Ok(runtime()?.block_on(privacy_roles::rotate_root(&settings, &to, json)))
        }
        Privacy::Certificate { action: Certificate::Verify { file, key, json } } => {
            Ok(privacy_roles::verify_certificate(&file, key.as_deref(), json))
        }
        Privacy::Certificate { action: Certificate::Key { url, job: Job { common, json } } } => {
            let settings = common.resolve()?;
            Ok(runtime()?.block_on(privacy_roles::public_key(&settings, url, json)))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
