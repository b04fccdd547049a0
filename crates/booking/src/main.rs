//! Environment → configuration → start → run; nothing else.

use std::fmt::Display;
use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

use booking::api;
use booking::config::{Config, Forwarding, Receiving, Reconciling, Sandbox};
use booking::{crash, receiver, sandbox};
use chassis::env::{ConfigInvalid, EXIT_UNAVAILABLE, EXIT_USAGE, unknown};
use chassis::logging::{self, LogInvalid};
use chassis::server::{self, StartError};
use chassis::time::Clock;
use chassis::trace;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
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

fn main() -> ExitCode {
    let cli = Cli::command()
        .after_help(Config::page())
        .mut_subcommand("reconcile", |act| act.after_help(Reconciling::page()))
        .mut_subcommand("forward", |act| act.after_help(Forwarding::page()))
        .mut_subcommand("sandbox-pay", |act| act.after_help(Sandbox::page()))
        .mut_subcommand("receive", |act| act.after_help(Receiving::page()));
    let asked = cli.try_get_matches();
    match asked.and_then(|asked| Cli::from_arg_matches(&asked)) {
        Ok(cli) => carry_out(cli.act.unwrap_or(Act::Serve)),
        Err(told) => {
            // Also the way of --help and --version; a closed pipe is not worth a word.
            let _ = told.print();
            if told.use_stderr() {
                EXIT_USAGE.into()
            } else {
                ExitCode::SUCCESS
            }
        }
    }
}

fn carry_out(act: Act) -> ExitCode {
    let lookup =
        |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    match act {
        Act::Openapi => print(&api::openapi()),
        Act::Serve => configured(Config::from(&lookup), logged, serve),
        Act::Migrate => configured(Config::from(&lookup), logged, migrate),
        Act::Reconcile => configured(Reconciling::from(&lookup), reconciling_logged, reconcile),
        Act::Forward => configured(Forwarding::from(&lookup), forwarder_logged, forward),
        // Its output is events and nothing else, so it writes no log.
        Act::Receive => configured(Receiving::from(&lookup), |_| Ok(()), receive),
        Act::SandboxPay => configured(Sandbox::from(&lookup), |_| Ok(()), sandbox_pay),
    }
}

fn logged(config: &Config) -> Result<(), LogInvalid> {
    logging::init(config.log_config.as_deref(), config.log_level)?;
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

fn reconciling_logged(config: &Reconciling) -> Result<(), LogInvalid> {
    logging::init(config.log_config.as_deref(), config.log_level)
}

fn forwarder_logged(config: &Forwarding) -> Result<(), LogInvalid> {
    logging::init(config.log_config.as_deref(), config.log_level)?;
    warn_of_unknown();
    Ok(())
}

/// Runs an act when its configuration is sound, and turns the outcome into an exit code.
fn configured<C, F>(
    config: Result<C, ConfigInvalid>,
    log: impl FnOnce(&C) -> Result<(), LogInvalid>,
    act: impl FnOnce(C) -> F,
) -> ExitCode
where
    F: Future<Output = Result<ExitCode, StartError>>,
{
    let config = match config {
        Ok(config) => config,
        Err(invalid) => return end(EXIT_USAGE, &invalid),
    };
    if let Err(invalid) = log(&config) {
        return end(EXIT_USAGE, &invalid);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(cause) => return end(EXIT_UNAVAILABLE, &cause),
    };
    let outcome = runtime.block_on(act(config));
    log::logger().flush();
    match outcome {
        Ok(code) => code,
        Err(cause) => end(EXIT_UNAVAILABLE, &cause),
    }
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    trace::export(config.traces.clone())?;
    let drain = config.drain;
    let running = booking::start(config, crash::clock()).await?;
    running.until_signal(drain).await.map_err(no_signal)?;
    Ok(ExitCode::SUCCESS)
}

async fn forward(config: Forwarding) -> Result<ExitCode, StartError> {
    trace::export(config.traces.clone())?;
    let stopped = booking::forward(config, Clock::system(), server::signalled()).await?;
    stopped.map_err(no_signal)?;
    Ok(ExitCode::SUCCESS)
}

async fn receive(config: Receiving) -> Result<ExitCode, StartError> {
    let listening = receiver::start(config, Clock::system())?;
    let stopped = server::signalled().await;
    listening.stop().await;
    stopped.map_err(no_signal)?;
    Ok(ExitCode::SUCCESS)
}

async fn sandbox_pay(config: Sandbox) -> Result<ExitCode, StartError> {
    let running = sandbox::start(config, Clock::system())?;
    let stopped = server::signalled().await;
    running.stop().await;
    stopped.map_err(no_signal)?;
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: Config) -> Result<ExitCode, StartError> {
    booking::migrate(&config.mysql_url, config.start_wait).await?;
    Ok(ExitCode::SUCCESS)
}

async fn reconcile(config: Reconciling) -> Result<ExitCode, StartError> {
    let report = booking::reconcile(&config).await?;
    let printed = print(&format!("{report}\n"));
    Ok(if report.is_clean() {
        printed
    } else {
        ExitCode::FAILURE
    })
}

fn no_signal(cause: std::io::Error) -> StartError {
    StartError::Store(format!("cannot wait for signals: {cause}"))
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => end(EXIT_UNAVAILABLE, &cause),
    }
}

fn end(code: u8, cause: &dyn Display) -> ExitCode {
    for line in cause.to_string().lines() {
        eprintln!("booking: {line}");
    }
    code.into()
}
