//! Environment → configuration → start → run.

use std::path::PathBuf;
use std::process::ExitCode;

use chassis::env::{EXIT_UNAVAILABLE, EXIT_USAGE, Env, unknown};
use chassis::time::Clock;
use chassis::{logging, trace};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use gateway::api::GatewayApi;
use gateway::config::Config;
use gateway::recount::{Noted, Published, Source, Unreadable};
use mimalloc::MiMalloc;
use utoipa::OpenApi as _;

/// Crowds come in bursts of small pieces of memory, which this one gives out with less waiting than that of the system.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// The waiting room: lets visitors in at the rate that the service behind it can serve.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM. This is also what happens without a command.
    Serve,
    /// Print the OpenAPI document.
    Openapi,
    /// Compute a lottery again from what is published, and print the place of a ticket. Ends with 1
    /// when what is published does not agree.
    Recount(Recount),
}

/// Which draw, which ticket, and what was kept of it.
#[derive(Args)]
struct Recount {
    /// Address of the queue, as http://HOST/api/v1/queues/NAME, or a file with its status and all
    /// pages of its list, one answer after the other.
    source: Source,
    /// Number of the ticket.
    ticket: u64,
    /// The commitment that was noted before the doors opened.
    #[arg(long)]
    commitment: Option<String>,
    /// The root that was noted when the doors had opened.
    #[arg(long)]
    root: Option<String>,
    /// A file with all tickets that took part, as /lottery/entrants answered it.
    #[arg(long)]
    entrants: Option<PathBuf>,
    /// A file with the own proof, as /lottery/proof answered it.
    #[arg(long)]
    proof: Option<PathBuf>,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let lookup = |name: &str| std::env::var(name).ok();
    let mut env = Env::new(&lookup);
    let config = Config::read(&mut env);
    let page = env.page();
    let matches = Arguments::command()
        .after_help(&page)
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match matches {
        Ok(arguments) => arguments,
        Err(told) => {
            // Help and version are no mistake; where they cannot be printed nobody reads them.
            let _ = told.print();
            return if told.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match arguments.command {
        Some(Command::Openapi) => return print_document(),
        Some(Command::Recount(wanted)) => return recount(wanted).await,
        Some(Command::Serve) | None => {}
    }
    let checked = env.finish();
    match (checked, config) {
        // Boxed: the compiler has a limit to how deep one future may be made of others.
        (Ok(()), Some(config)) => Box::pin(serve(config, &page)).await,
        (Err(mistakes), _) => {
            eprintln!("{mistakes}\nRun `gateway --help` to see every variable.");
            ExitCode::from(EXIT_USAGE)
        }
        (Ok(()), None) => ExitCode::from(EXIT_USAGE),
    }
}

async fn serve(config: Config, page: &str) -> ExitCode {
    if let Err(cause) = logging::init(
        config.process.log_config.as_deref(),
        config.process.log_level,
    ) {
        eprintln!("{cause}");
        return ExitCode::from(EXIT_USAGE);
    }
    for odd in unknown("GATEWAY_", &[page], std::env::vars()) {
        log::warn!("{odd}");
    }
    if let Err(invalid) = trace::export(config.process.traces.clone()) {
        eprintln!("{invalid}");
        return ExitCode::from(EXIT_USAGE);
    }
    let drain = config.process.drain;
    let running = match gateway::start(config, Clock::system()).await {
        Ok(running) => running,
        Err(cause) => {
            eprintln!("{cause}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let outcome = running.until_signal(drain).await;
    log::logger().flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("signals cannot be received: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// Reads what was published, and what was kept of it in files.
async fn published(wanted: &Recount) -> Result<Published, Unreadable> {
    let mut published = Published::read(&wanted.source).await?;
    if let Some(entrants) = &wanted.entrants {
        published = published.with_entrants(entrants)?;
    }
    if let Some(proof) = &wanted.proof {
        published = published.with_proof(proof)?;
    }
    Ok(published)
}

async fn recount(wanted: Recount) -> ExitCode {
    let published = match published(&wanted).await {
        Ok(published) => published,
        Err(cause) => {
            eprintln!("{cause}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let noted = Noted {
        commitment: wanted.commitment,
        root: wanted.root,
    };
    match published.recount(wanted.ticket, &noted) {
        Ok(counted) => {
            println!("{counted}");
            ExitCode::SUCCESS
        }
        Err(disagreement) => {
            eprintln!("{disagreement}");
            ExitCode::FAILURE
        }
    }
}

fn print_document() -> ExitCode {
    match GatewayApi::openapi().to_pretty_json() {
        Ok(document) => {
            println!("{document}");
            ExitCode::SUCCESS
        }
        Err(cause) => {
            eprintln!("the document cannot be written: {cause}");
            ExitCode::FAILURE
        }
    }
}
