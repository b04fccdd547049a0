//! Environment → configuration → start → run.

use std::net::SocketAddr;
use std::process::ExitCode;

use chassis::env::{Configuration, Env};
use chassis::logging::LogRules;
use chassis::program::{Program, variable};
use chassis::server::{self, StartError};
use clap::{CommandFactory as _, Parser};
use storefront::gateway_path::GatewayPath;

/// The demo shop: pages only. Everything that is sold is sold by the service beside it.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

struct Config {
    listen: SocketAddr,
    gateway: GatewayPath,
    log: LogRules,
}

impl Configuration for Config {
    fn read(env: &mut Env<'_>) -> Option<Self> {
        Some(Self {
            listen: env.or("STOREFRONT_LISTEN", "127.0.0.1:8090", LISTEN_HELP),
            gateway: env.or("STOREFRONT_GATEWAY_PATH", "", GATEWAY_HELP),
            log: LogRules::read(env),
        })
    }
}

const STOREFRONT: Program = Program("storefront");

#[actix_web::main]
async fn main() -> ExitCode {
    let act = async {
        STOREFRONT.asked::<Arguments>(Arguments::command().after_help(Config::page()))?;
        let config = STOREFRONT.configured(Config::found(&variable), |it| it.log.init())?;
        Ok(STOREFRONT.ended(serve(config).await))
    };
    act.await.unwrap_or_else(|code: ExitCode| code)
}

async fn serve(config: Config) -> Result<ExitCode, StartError> {
    let running = storefront::start(config.listen, &config.gateway)?;
    let signalled = server::signalled().await;
    running.stop().await;
    signalled?;
    Ok(ExitCode::SUCCESS)
}

const LISTEN_HELP: &str = "Address for the gateway, which leads /shop/ here. Keep it private.";
const GATEWAY_HELP: &str =
    "GATEWAY_BASE_PATH of the gateway in front, under which pages find usher.js and the queues.";
