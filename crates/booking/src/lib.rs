//! Concerts, seats, holds, wallets and payments: sells every seat exactly once.
//!
//! Owns the state of the service and how it starts. MySQL is the judge of every sale; Redis only
//! thins the crowd. Visitors come through the gateway, whose pass is all that this service trusts.

pub mod api;
pub mod audit;
pub mod concert;
pub mod config;
pub mod db;
pub mod idempotency;
pub mod ledger;
pub mod metrics;
pub mod outbox;
pub mod pass;
pub mod payment;
pub mod reconciliation;
pub mod reservation;
mod scheduler;
mod schema;
pub mod seat;
pub mod seat_lock;
pub mod wallet;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use chassis::health::Health;
use chassis::metrics::HttpMetrics;
use chassis::server::{self, Running, StartError};
use chassis::time::Clock;
use chassis::{json, logging, problem, request_id, routes};
use chrono::TimeDelta;
use prometheus::Registry;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::db::{Db, DbError, DbOptions};
use crate::metrics::{DbMetrics, Metrics};
use crate::pass::PassKeys;
use crate::reservation::{Limits, Reservation};
use crate::seat_lock::SeatLock;

/// Between two tries to reach MySQL at the start.
const START_PAUSE: Duration = Duration::from_millis(500);
/// The head of a request comes from the gateway, at once or never.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Longer than the gateway keeps an idle connection, so that it is the gateway that closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The state of the service.
pub struct Booking {
    /// The judge.
    pub db: Db,
    /// What thins the crowd.
    pub seat_lock: SeatLock,
    /// What time it is.
    pub clock: Clock,
    /// Which passes are believed.
    pub pass_keys: PassKeys,
    /// What the house allows.
    pub limits: Limits,
    /// Holds that the sweeper ends in one transaction.
    pub sweep_batch: u32,
    /// What has happened.
    pub metrics: Metrics,
}

impl Booking {
    /// Gives back the locks of seats that are free again; without it they would end within 5 s.
    pub(crate) async fn unlock(&self, reservation: &Reservation) {
        let Reservation {
            id, schedule_id, ..
        } = *reservation;
        self.seat_lock
            .release(schedule_id, &reservation.seat_numbers(), id)
            .await;
    }
}

/// Brings the database up to date and serves until it is stopped.
pub async fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
    let db = migrate(&config).await?;
    let redis = chassis::redis::pool(&config.redis_url, config.redis_pool);
    let redis = redis.map_err(|cause| StartError::Store(cause.to_string()))?;
    let registry = Registry::new();
    DbMetrics::register(&registry, db.clone());
    let app = web::Data::new(Booking {
        seat_lock: SeatLock::new(redis, clock.clone()),
        clock,
        pass_keys: config.pass_keys.clone(),
        limits: Limits {
            seats_per_user: config.max_seats,
            hold: TimeDelta::seconds(config.hold_s),
        },
        sweep_batch: config.sweep_batch,
        metrics: Metrics::register(&registry),
        db: db.clone(),
    });
    let http_metrics = web::Data::new(HttpMetrics::register(&registry));
    let health = web::Data::new(Health::default().check("mysql", move || answers(db.clone())));
    let listener = server::bind("the API", config.listen)?;
    let admin_listener = server::bind("operators", config.admin_listen)?;
    let failed =
        |cause: std::io::Error| StartError::Store(format!("the server did not start: {cause}"));
    let address = listener.local_addr().map_err(failed)?;
    let admin_address = admin_listener.local_addr().map_err(failed)?;
    let ringing = scheduler::start(&Arc::clone(&app)).await?;
    let admin = server::admin(admin_listener, registry, health.clone()).map_err(failed)?;
    let public = serve(listener, app, http_metrics, health.clone(), &config).map_err(failed)?;
    log::info!("serving on {address}, operators on {admin_address}");
    Ok(Running::spawn(
        (public, address),
        (admin, admin_address),
        health,
        ringing,
    ))
}

/// Waits for MySQL, then brings the database up to date.
pub async fn migrate(config: &Config) -> Result<Db, StartError> {
    let options = DbOptions {
        pool_size: config.db_pool,
        ..DbOptions::default()
    };
    let db = Db::connect(config.mysql_url.as_str(), options);
    let db = db.map_err(|cause| StartError::Store(cause.to_string()))?;
    let began = Instant::now();
    let mut told = false;
    loop {
        // The first question has a time limit of its own, which a migration has not.
        let outcome = match db.ping().await {
            Ok(()) => db.migrate().await,
            Err(cause) => Err(cause),
        };
        match outcome {
            Ok(()) => return Ok(db),
            Err(DbError::Unreachable(cause)) if began.elapsed() < config.start_wait => {
                if !told {
                    log::warn!(
                        "MySQL does not answer yet, waiting up to {} s: {cause}",
                        config.start_wait.as_secs()
                    );
                }
                told = true;
                sleep(START_PAUSE).await;
            }
            Err(cause) => return Err(StartError::Store(format!("MySQL cannot be used: {cause}"))),
        }
    }
}

/// A database that has too much to do does answer.
async fn answers(db: Db) -> Result<(), String> {
    match db.ping().await {
        Ok(()) | Err(DbError::Busy) => Ok(()),
        Err(cause) => Err(cause.to_string()),
    }
}

fn serve(
    listener: TcpListener,
    app: web::Data<Booking>,
    http_metrics: web::Data<HttpMetrics>,
    health: web::Data<Health>,
    config: &Config,
) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(app.clone())
            .app_data(http_metrics.clone())
            .app_data(health.clone())
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(logging::access))
            .wrap(from_fn(server::close_when_draining))
            .wrap(from_fn(request_id::assign))
            .configure(json::configure)
            .configure(server::health_routes)
            .configure(api::routes)
            .default_service(web::to(routes::not_found))
    })
    .disable_signals()
    .client_request_timeout(HEAD_WITHIN)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(config.grace_s);
    let server = match config.workers {
        0 => server,
        workers => server.workers(workers),
    };
    Ok(server.listen(listener)?.run())
}
