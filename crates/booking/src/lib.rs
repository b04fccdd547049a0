//! Concerts, seats, holds, wallets and payments: sells every seat exactly once.
//!
//! Owns the state of the service and how it starts. MySQL decides every sale; Redis locks only
//! reject early. Visitors come through the gateway, whose pass is all that this service trusts.

pub mod api;
pub mod audit;
pub mod cancellation;
pub mod concert;
pub mod config;
pub mod crash;
pub mod db;
pub mod erasure;
pub mod forwarder;
pub mod idempotency;
pub mod integrity;
pub mod kafka;
pub mod ledger;
pub mod metrics;
pub mod outbox;
pub mod pass;
pub mod patience;
pub mod pause;
pub mod payment;
pub mod precedence;
pub mod programme;
pub mod provider;
pub mod receiver;
pub mod reconciliation;
pub mod reservation;
pub mod sale;
pub mod sandbox;
pub mod scheduler;
mod schema;
pub mod seat;
pub mod seat_lock;
pub mod signed;
pub mod single_flight;
pub mod subject;
pub mod venue;
pub mod waitlist;
pub mod wallet;

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use chassis::health::Health;
use chassis::metrics::HttpMetrics;
use chassis::schedule::Trigger;
use chassis::server::{self, Listeners, Listening, Running, StartError};
use chassis::store::{Needed, Unusable};
use chassis::time::Clock;
use chassis::{json, logging, problem, request_id, routes, trace};
use chrono::TimeDelta;
use prometheus::Registry;
use tokio::sync::watch;

use crate::api::{Lists, Remaining, SeatFeed};
use crate::config::{Config, Forwarding, MysqlUrl, Reconciling};
use crate::db::{Db, DbError, DbOptions};
use crate::kafka::Producer;
use crate::metrics::{ForwardMetrics, Metrics};
use crate::outbox::{Publisher, PublisherOptions};
use crate::pass::PassKeys;
use crate::provider::Provider;
use crate::reconciliation::Report;
use crate::reconciliation::checks::Checks;
use crate::reservation::Limits;
use crate::sale::{Sale, SaleMetrics};
use crate::seat_lock::SeatLock;
use crate::subject::Subjects;
use crate::venue::VenueMetrics;

/// Connections of a forwarder: each event needs one for a moment, twice.
const FORWARDER_POOL: u32 = 8;
/// The head of a request comes from the gateway, at once or never.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Comparing reads whole tables.
const RECONCILE_WITHIN: Duration = Duration::from_secs(600);
/// Longer than the gateway keeps an idle connection, so that it is the gateway that closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The state of the service.
pub struct Booking {
    /// The verbs of the sale.
    pub sale: Sale,
    /// The database, for everything else.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// Which passes are believed.
    pub pass_keys: PassKeys,
    /// Holds that the sweeper ends in one transaction.
    pub sweep_batch: u32,
    /// Sends events to the brokers, where there are any.
    pub publisher: Option<Publisher>,
    /// Notified after a change, so that its events need not wait for the next second.
    pub events: Trigger,
    /// How long delivered events are kept.
    pub outbox_keep: TimeDelta,
    /// What many visitors read again and again.
    pub lists: Arc<Lists>,
    /// Who is behind an id of the books.
    pub subjects: Subjects,
    /// Compares the books for operators.
    pub checks: Checks,
    /// How many seats are left behind each queue.
    pub remaining: Remaining,
    /// Who watches the seats of a date.
    pub seat_feed: SeatFeed,
    /// Who collects money, where somebody does.
    pub provider: Option<Provider>,
    /// Notified when the provider has to be told something.
    pub instructions: Trigger,
    /// Notified when a date is cancelled.
    pub cancellations: Trigger,
    /// How long seats are held for somebody of a waiting list.
    pub offer_hold: TimeDelta,
    /// What has happened.
    pub metrics: Metrics,
    /// How orders, waiting lists and cancellations stand.
    pub venue: VenueMetrics,
}

/// Brings the database up to date and serves until it is stopped.
pub async fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
    migrate(&config.mysql_url, config.start_wait).await?;
    let db = connect(&config.mysql_url, config.db_pool)?;
    let redis = chassis::redis::connection(&config.redis_url);
    let redis = redis.map_err(|cause| StartError::Store(cause.to_string()))?;
    let registry = Registry::new();
    let publisher = publisher(&config, &db, &clock)?;
    let provider = provider(&config)?;
    let lists = Arc::new(Lists::new(config.cache_age, clock.clone()));
    let sale = sale(
        &config,
        &db,
        SeatLock::new(redis, clock.clone()),
        &lists,
        &clock,
    );
    let app = web::Data::new(Booking {
        metrics: Metrics::of_service(&registry, &sale, lists.metrics()),
        venue: VenueMetrics::register(&registry),
        sale,
        lists,
        subjects: Subjects::new(db.clone(), clock.clone()),
        checks: Checks::default(),
        remaining: Remaining::new(clock.clone()),
        seat_feed: SeatFeed::new(clock.clone()),
        publisher,
        events: Trigger::default(),
        provider,
        instructions: Trigger::default(),
        cancellations: Trigger::default(),
        offer_hold: TimeDelta::seconds(config.offer_hold_s),
        outbox_keep: config.outbox_keep,
        clock,
        pass_keys: config.pass_keys.clone(),
        sweep_batch: config.sweep_batch,
        db: db.clone(),
    });
    let http_metrics = web::Data::new(HttpMetrics::register(&registry));
    let health = web::Data::new(Health::default().check("mysql", move || answers(db.clone())));
    let listeners = Listeners::bind(config.listen, config.admin_listen)?;
    let schedule = scheduler::start(&Arc::clone(&app), &registry).await?;
    let own = health.clone();
    let serve = |listener| serve(listener, app, http_metrics, own, &config);
    listeners.run(serve, registry, health, schedule)
}

fn sale(config: &Config, db: &Db, seat_lock: SeatLock, lists: &Arc<Lists>, clock: &Clock) -> Sale {
    let lists = Arc::clone(lists);
    Sale {
        db: db.clone(),
        seat_lock,
        clock: clock.clone(),
        limits: Limits {
            seats_per_user: config.max_seats,
            hold: TimeDelta::seconds(config.hold_s),
            unpaid_holds: config.max_unpaid_holds,
            extension: TimeDelta::seconds(config.extension_s),
            extension_free_seats: config.extension_free_seats,
        },
        metrics: SaleMetrics::new(),
        on_seats_changed: Arc::new(move |schedule_id| lists.changed(schedule_id)),
    }
}

fn provider(config: &Config) -> Result<Option<Provider>, StartError> {
    let provider = config.provider.clone();
    let client = provider.map(|it| Provider::new(it.url, it.secrets));
    client
        .transpose()
        .map_err(|cause| StartError::Store(format!("no client for the provider: {cause}")))
}

fn publisher(config: &Config, db: &Db, clock: &Clock) -> Result<Option<Publisher>, StartError> {
    let Some(cluster) = config.kafka.clone() else {
        log::info!("no brokers are named, so events wait in the outbox");
        return Ok(None);
    };
    let producer = Producer::new(cluster);
    let producer = producer.map_err(|cause| StartError::Store(format!("no producer: {cause}")))?;
    let options = PublisherOptions {
        refusals: config.outbox_refusals,
        ..PublisherOptions::default()
    };
    let publisher = Publisher::new(db.clone(), clock.clone(), producer, options);
    Ok(Some(publisher))
}

/// Brings the database up to date and passes events on until `stop` ends; then finishes what runs and gives back what
/// `stop` gave.
pub async fn forward<T>(
    config: Forwarding,
    clock: Clock,
    stop: impl Future<Output = T>,
) -> Result<T, StartError> {
    migrate(&config.mysql_url, config.start_wait).await?;
    let db = connect(&config.mysql_url, FORWARDER_POOL)?;
    let registry = Registry::new();
    let metrics = ForwardMetrics::of_forwarder(&registry, &db);
    let forwarder = forwarder::open(&config, db.clone(), clock.clone(), metrics)
        .map_err(|cause| StartError::Store(cause.to_string()))?;
    let (checked, status) = (db.clone(), forwarder.status());
    let health = Health::default()
        .check("mysql", move || answers(checked.clone()))
        .check("kafka", move || std::future::ready(status.check()));
    let health = web::Data::new(health);
    let listener = server::bind("operators", config.listen)?;
    let address = listener.local_addr()?;
    let schedule = scheduler::start_forwarder(db, clock, config.keep, &registry).await?;
    let admin = server::admin(listener, registry, health.clone())?;
    let admin = Listening::spawn(admin, address);
    log::info!("forwarding events, operators on {address}");
    let (ending, stopping) = watch::channel(false);
    let running = tokio::spawn(forwarder.run(stopping));
    let stopped = stop.await;
    health.drain();
    schedule.stop().await;
    ending.send_replace(true);
    if let Err(cause) = running.await {
        log::warn!("the forwarder ended badly: {cause}");
    }
    admin.stop().await;
    trace::flush().await;
    log::info!("stopped");
    Ok(stopped)
}

/// Waits for MySQL for at most `wait`, then brings the database up to date. There is no pool yet: nothing logs in any more
/// when this returns.
pub async fn migrate(url: &MysqlUrl, wait: Duration) -> Result<(), StartError> {
    let mysql = Needed {
        store: "MySQL",
        variable: "BOOKING_MYSQL_URL",
        within: wait,
    };
    let up_to_date = async || Db::migrate(url.as_str()).await.map_err(unusable);
    mysql.wait(up_to_date).await
}

fn connect(url: &MysqlUrl, pool_size: u32) -> Result<Db, StartError> {
    let options = DbOptions {
        pool_size,
        ..DbOptions::default()
    };
    Db::connect(url.as_str(), options).map_err(|cause| StartError::Store(cause.to_string()))
}

fn unusable(cause: DbError) -> Unusable {
    match cause {
        DbError::Unreachable(cause) | DbError::Unwritable(cause) => Unusable::Away(cause),
        other => Unusable::Odd(format!("MySQL cannot be used: {other}")),
    }
}

/// Compares the books as they are, and changes nothing.
pub async fn reconcile(config: &Reconciling) -> Result<Report, StartError> {
    let unusable =
        |cause: &dyn std::fmt::Display| StartError::Store(format!("MySQL cannot be used: {cause}"));
    let options = DbOptions {
        pool_size: 1,
        deadline: RECONCILE_WITHIN,
        ..DbOptions::default()
    };
    let db = Db::connect(config.mysql_url.as_str(), options).map_err(|cause| unusable(&cause))?;
    let (now, most) = (Clock::system().now(), config.max_seats);
    let check = move |conn: &mut _| reconciliation::check(conn, now, most);
    let report = db.read(check).await;
    report.map_err(|cause: DbError| unusable(&cause))
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
            .wrap(from_fn(api::answer_in_time))
            .wrap(from_fn(trace::assign))
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
