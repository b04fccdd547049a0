//! Environment → configuration → start → run; nothing else.

use std::future::Future;
use std::process::ExitCode;

use booking::api;
use booking::config::{Config, Forwarding, Receiving, Reconciling, Sandbox};
use booking::{crash, receiver, sandbox};
use chassis::env::{Configuration, EXIT_UNAVAILABLE, unknown};
use chassis::logging::LogInvalid;
use chassis::program::{Program, variable};
use chassis::server::{self, StartError};
use chassis::time::Clock;
use chassis::trace;
use clap::{CommandFactory as _, Parser, Subcommand};
use mimalloc::MiMalloc;

/// Crowds come in bursts of small pieces of memory, which this one gives out with less waiting than that of the system.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// Sells every seat exactly once. It is configured by its environment.
#[derive(Parser)]
#[command(name = "booking", version)]
struct Cli {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Subcommand, Clone, Copy)]
enum Act {
    /// Brings the database up to date and serves the API until SIGTERM (the default).
    Serve,
    /// Reads events from Kafka and posts each, signed, to the data platform until SIGTERM.
    Forward,
    /// Takes events as a data platform does, verifies each and prints it on a line.
    Receive,
    /// Brings the database up to date and ends.
    Migrate,
    /// Compares seats, payments, ledger and wallets, and computes the chain of the books anew; exit code 1 names every
    /// difference.
    Reconcile,
    /// Takes orders as a payment provider does, agrees for its customers, and says so; no money moves.
    SandboxPay,
    /// Prints the OpenAPI document.
    Openapi,
}

const BOOKING: Program = Program("booking");

fn main() -> ExitCode {
    let command = Cli::command()
        .after_help(Config::page())
        .mut_subcommand("reconcile", |act| act.after_help(Reconciling::page()))
        .mut_subcommand("forward", |act| act.after_help(Forwarding::page()))
        .mut_subcommand("sandbox-pay", |act| act.after_help(Sandbox::page()))
        .mut_subcommand("receive", |act| act.after_help(Receiving::page()));
    let asked = BOOKING.asked::<Cli>(command);
    let ended = asked.and_then(|cli| carry_out(cli.act.unwrap_or(Act::Serve)));
    ended.unwrap_or_else(|code| code)
}

fn carry_out(act: Act) -> Result<ExitCode, ExitCode> {
    match act {
        Act::Openapi => Ok(BOOKING.print(&api::openapi())),
        Act::Serve => configured(logged, serve),
        Act::Migrate => configured(logged, migrate),
        Act::Reconcile => configured(|it: &Reconciling| it.log.init(), reconcile),
        Act::Forward => configured(forwarder_logged, forward),
        // Its output is events and nothing else, so it writes no log.
        Act::Receive => configured(|_| Ok(()), receive),
        Act::SandboxPay => configured(|_| Ok(()), sandbox_pay),
    }
}

fn logged(config: &Config) -> Result<(), LogInvalid> {
    config.log.init()?;
    warn_of_unknown();
    Ok(())
}

/// What any act knows counts as known: they often share one environment.
fn warn_of_unknown() {
    let pages = [
        Config::page(),
        Forwarding::page(),
        Receiving::page(),
        Sandbox::page(),
    ];
    let pages = pages.each_ref().map(String::as_str);
    // Known to debug builds, for tests.
    let given = std::env::vars().filter(|(name, _)| !crash::OF_TESTS.contains(&name.as_str()));
    for odd in unknown("BOOKING_", &pages, given) {
        log::warn!("{odd}");
    }
}

fn forwarder_logged(config: &Forwarding) -> Result<(), LogInvalid> {
    config.log.init()?;
    warn_of_unknown();
    Ok(())
}

/// Runs an act when its configuration is sound.
fn configured<C: Configuration, F>(
    log: impl FnOnce(&C) -> Result<(), LogInvalid>,
    act: impl FnOnce(C) -> F,
) -> Result<ExitCode, ExitCode>
where
    F: Future<Output = Result<ExitCode, StartError>>,
{
    let config = BOOKING.configured(C::found(&variable), log)?;
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|cause| BOOKING.end(EXIT_UNAVAILABLE, &cause))?;
    Ok(BOOKING.ended(runtime.block_on(act(config))))
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    trace::export(config.traces.clone())?;
    let drain = config.drain;
    let running = booking::start(config, crash::clock()).await?;
    running.until_signal(drain).await?;
    Ok(ExitCode::SUCCESS)
}

async fn forward(config: Forwarding) -> Result<ExitCode, StartError> {
    trace::export(config.traces.clone())?;
    booking::forward(config, Clock::system(), server::signalled()).await??;
    Ok(ExitCode::SUCCESS)
}

async fn receive(config: Receiving) -> Result<ExitCode, StartError> {
    let listening = receiver::start(config, Clock::system())?;
    let stopped = server::signalled().await;
    listening.stop().await;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn sandbox_pay(config: Sandbox) -> Result<ExitCode, StartError> {
    let running = sandbox::start(config, Clock::system())?;
    let stopped = server::signalled().await;
    running.stop().await;
    stopped?;
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: Config) -> Result<ExitCode, StartError> {
    booking::migrate(&config.mysql_url, config.start_wait).await?;
    Ok(ExitCode::SUCCESS)
}

async fn reconcile(config: Reconciling) -> Result<ExitCode, StartError> {
    let report = booking::reconcile(&config).await?;
    let printed = BOOKING.print(&format!("{report}\n"));
    Ok(if report.is_clean() {
        printed
    } else {
        ExitCode::FAILURE
    })
}
