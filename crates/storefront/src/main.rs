//! Environment → configuration → start → run.

use std::net::SocketAddr;
use std::process::ExitCode;

use chassis::env::{EXIT_UNAVAILABLE, EXIT_USAGE, Env};
use chassis::{logging, server};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use log::LevelFilter;
use storefront::gateway_path::GatewayPath;

/// The demo shop: pages only. Everything that is sold is sold by the service beside it.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

#[actix_web::main]
async fn main() -> ExitCode {
    let lookup = |name: &str| std::env::var(name).ok();
    let mut env = Env::new(&lookup);
    let listen: SocketAddr = env.or("STOREFRONT_LISTEN", "127.0.0.1:8090", LISTEN_HELP);
    let gateway: GatewayPath = env.or("STOREFRONT_GATEWAY_PATH", "", GATEWAY_HELP);
    let level: LevelFilter = env.or("LOG_LEVEL", "info", "Level of the log.");
    let matches = Arguments::command().after_help(env.page());
    let matches = matches
        .try_get_matches()
        .and_then(|it| Arguments::from_arg_matches(&it));
    if let Err(told) = matches {
        // Help and version are no mistake; where they cannot be printed nobody reads them.
        let _ = told.print();
        return if told.use_stderr() {
            ExitCode::from(EXIT_USAGE)
        } else {
            ExitCode::SUCCESS
        };
    }
    if let Err(mistakes) = env.finish() {
        eprintln!("{mistakes}\nRun `storefront --help` to see every variable.");
        return ExitCode::from(EXIT_USAGE);
    }
    serve(listen, &gateway, level).await
}

async fn serve(listen: SocketAddr, gateway: &GatewayPath, level: LevelFilter) -> ExitCode {
    if let Err(cause) = logging::init(None, level) {
        eprintln!("{cause}");
        return ExitCode::from(EXIT_USAGE);
    }
    let running = match storefront::start(listen, gateway) {
        Ok(running) => running,
        Err(cause) => {
            eprintln!("{cause}");
            return ExitCode::from(EXIT_UNAVAILABLE);
        }
    };
    let signalled = server::signalled().await;
    running.stop().await;
    log::logger().flush();
    match signalled {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("signals cannot be received: {cause}");
            ExitCode::FAILURE
        }
    }
}

const LISTEN_HELP: &str = "Address for the gateway, which leads /shop/ here. Keep it private.";
const GATEWAY_HELP: &str =
    "GATEWAY_BASE_PATH of the gateway in front, under which pages find usher.js and the queues.";
