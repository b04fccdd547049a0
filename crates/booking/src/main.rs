//! Environment → configuration → start → run; nothing else.

use std::io::Write as _;
use std::process::ExitCode;

use booking::api;
use booking::config::Config;
use chassis::env::{EXIT_UNAVAILABLE, EXIT_USAGE};
use chassis::server::StartError;
use chassis::time::Clock;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Brings the database up to date and ends.
    Migrate,
    /// Prints the OpenAPI document.
    Openapi,
}

fn main() -> ExitCode {
    let asked = Cli::command().after_help(Config::page()).try_get_matches();
    match asked.and_then(|asked| Cli::from_arg_matches(&asked)) {
        Ok(Cli {
            act: Some(Act::Openapi),
        }) => print(&api::openapi()),
        Ok(cli) => configured(cli.act.unwrap_or(Act::Serve)),
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

fn configured(act: Act) -> ExitCode {
    let lookup =
        |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let config = match Config::from(&lookup) {
        Ok(config) => config,
        Err(invalid) => return end(EXIT_USAGE, &invalid),
    };
    if let Err(invalid) = chassis::logging::init(config.log_config.as_deref(), config.log_level) {
        return end(EXIT_USAGE, &invalid);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(cause) => return end(EXIT_UNAVAILABLE, &cause),
    };
    match runtime.block_on(run(act, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => end(EXIT_UNAVAILABLE, &cause),
    }
}

async fn run(act: Act, config: Config) -> Result<(), StartError> {
    match act {
        Act::Openapi => Ok(()),
        Act::Migrate => booking::migrate(&config).await.map(drop),
        Act::Serve => {
            let running = booking::start(config, Clock::system()).await?;
            let ended = running.until_signal().await;
            ended.map_err(|cause| StartError::Store(format!("cannot wait for signals: {cause}")))
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => end(EXIT_UNAVAILABLE, &cause),
    }
}

fn end(code: u8, cause: &dyn std::fmt::Display) -> ExitCode {
    for line in cause.to_string().lines() {
        eprintln!("booking: {line}");
    }
    code.into()
}
