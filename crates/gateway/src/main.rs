//! Environment → configuration → start → run.

use std::path::PathBuf;
use std::process::ExitCode;

use chassis::env::{Configuration as _, EXIT_UNAVAILABLE, unknown};
use chassis::logging::LogInvalid;
use chassis::program::{Program, variable};
use chassis::server::StartError;
use chassis::time::Clock;
use chassis::trace;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
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

const GATEWAY: Program = Program("gateway");
/// The exit code when what is published does not agree.
const DISAGREES: u8 = 1;

#[actix_web::main]
async fn main() -> ExitCode {
    let act = async {
        let command = Arguments::command().after_help(Config::page());
        let arguments: Arguments = GATEWAY.asked(command)?;
        match arguments.command {
            Some(Command::Openapi) => Ok(print_document()),
            Some(Command::Recount(wanted)) => Ok(recount(wanted).await),
            Some(Command::Serve) | None => {
                let config = GATEWAY.configured(Config::found(&variable), logged)?;
                // Boxed: the compiler has a limit to how deep one future may be made of others.
                Ok(GATEWAY.ended(Box::pin(serve(config)).await))
            }
        }
    };
    act.await.unwrap_or_else(|code: ExitCode| code)
}

fn logged(config: &Config) -> Result<(), LogInvalid> {
    config.process.log.init()?;
    for odd in unknown("GATEWAY_", &[&Config::page()], std::env::vars()) {
        log::warn!("{odd}");
    }
    Ok(())
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    trace::export(config.process.traces.clone())?;
    let drain = config.process.drain;
    let running = gateway::start(config, Clock::system()).await?;
    running.until_signal(drain).await?;
    Ok(ExitCode::SUCCESS)
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
        Err(cause) => return GATEWAY.end(EXIT_UNAVAILABLE, &cause),
    };
    let noted = Noted {
        commitment: wanted.commitment,
        root: wanted.root,
    };
    match published.recount(wanted.ticket, &noted) {
        Ok(counted) => GATEWAY.print(&format!("{counted}\n")),
        Err(disagreement) => GATEWAY.end(DISAGREES, &disagreement),
    }
}

fn print_document() -> ExitCode {
    match GatewayApi::openapi().to_pretty_json() {
        Ok(document) => GATEWAY.print(&format!("{document}\n")),
        Err(cause) => GATEWAY.end(EXIT_UNAVAILABLE, &cause),
    }
}
