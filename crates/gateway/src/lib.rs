//! The waiting room: holds the line in Redis, tells each visitor where they stand, and passes on
//! the requests of those who are inside.
//!
//! It knows Redis and HTTP. It knows neither MySQL nor what is sold behind it.

pub mod admission;
pub mod admitted_cache;
pub mod api;
pub mod beacon;
pub mod challenge;
mod codes;
pub mod config;
mod cors;
pub mod credential;
mod fairness;
pub mod identity;
pub mod limit;
pub mod merkle;
mod metrics;
pub mod operator;
pub mod pages;
pub mod proof_of_work;
pub mod proxy;
pub mod queue;
pub mod recount;
mod reload;
pub mod route;
mod scheduler;
mod settings;
mod source;
pub mod stream;
pub mod token;
mod visits;

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, web};
use chassis::health::Health;
use chassis::http_server::{self, HttpRules};
use chassis::metrics::HttpMetrics;
use chassis::server::{self, Listeners, Running, StartError};
use chassis::store::{Needed, Unusable};
use chassis::time::{Clock, Timestamp};
use chassis::{logging, problem, request_id, trace};
use chrono::{SubsecRound as _, TimeDelta};
use prometheus::Registry;
use tokio::time::Instant;

use crate::beacon::Beacons;
use crate::challenge::Challenge;
use crate::config::{Config, Cors, Identification, LoginUrl, QueueingStatus, RouteSource};
use crate::fairness::Fairness;
use crate::identity::{Identity, JwksSource, Provider};
use crate::limit::{Limits, VisitLimit};
use crate::metrics::{TrustMetrics, UpstreamMetrics};
use crate::operator::Operators;
use crate::pages::Pages;
use crate::proof_of_work::ProofOfWork;
use crate::queue::{Queue, QueueError, QueueId, Queues, Ticket};
use crate::route::RouteTable;
use crate::settings::Settings;
use crate::stream::Streams;
use crate::token::{Claims, Holder, KeyRing, PassKey};
use crate::visits::Visits;

/// A visitor who sends a request's head slower than this is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time between two requests of one connection: longer than the longest usual poll.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the service behind is told of the one who asks.
#[derive(Clone)]
struct Pass {
    holder: Holder,
    /// As it is sent.
    text: String,
}

/// What every request of this process shares.
pub struct Gateway {
    queues: Queues,
    /// The way to Redis that visitors take.
    store: chassis::redis::Connection,
    visits: Visits,
    streams: Streams,
    identity: Identity,
    limits: Limits,
    proof_of_work: ProofOfWork,
    challenge: Option<Challenge>,
    trust_metrics: TrustMetrics,
    settings: Settings,
    beacons: Beacons,
    fairness: Fairness,
    tokens: KeyRing,
    token_ttl: Duration,
    passes: PassKey,
    operators: Operators,
    routes: RwLock<Arc<RouteTable>>,
    route_source: RouteSource,
    upstream_metrics: UpstreamMetrics,
    /// Requests for own things of visitors who are not inside.
    own_limit: VisitLimit,
    /// What this installation is called in `Via`.
    via: String,
    trusted_hops: usize,
    cookie: credential::CookieRules,
    cors: Cors,
    /// What stands before the gateway's own routes.
    base: String,
    pages: Pages,
    queueing_status: QueueingStatus,
    default_queue: QueueId,
    login: Option<LoginUrl>,
    clock: Clock,
}

impl Gateway {
    /// The queue of this name, for a request that begins now.
    async fn queue(&self, id: &QueueId) -> Result<Queue, QueueError> {
        self.queues.open_for(id, Instant::now()).await
    }

    /// A fresh token for a place.
    fn token(&self, queue: &QueueId, ticket: &Ticket) -> FreshToken {
        self.fresh(Claims {
            sub: ticket.user,
            queue: queue.clone(),
            ticket: ticket.number,
            epoch: ticket.epoch,
            iat: 0,
            exp: 0,
            over: false,
            left: false,
        })
    }

    /// A token in place of one whose visit is over: it proves who one is for as long again.
    fn renewed(&self, claims: &Claims) -> FreshToken {
        let mut claims = claims.clone();
        claims.over = true;
        self.fresh(claims)
    }

    /// As [`Gateway::renewed`], of a visit that its visitor gave up just now.
    fn given_up(&self, claims: &Claims) -> FreshToken {
        let mut claims = claims.clone();
        claims.left = true;
        self.renewed(&claims)
    }

    fn fresh(&self, mut claims: Claims) -> FreshToken {
        let now = self.clock.now();
        let ttl = TimeDelta::from_std(self.token_ttl).unwrap_or(TimeDelta::zero());
        let expires_at = now + ttl;
        (claims.iat, claims.exp) = (now.timestamp(), expires_at.timestamp());
        let text = self.tokens.mint(&claims);
        let cookie = credential::cookie(&claims.queue, &text, self.token_ttl, self.cookie);
        FreshToken {
            text,
            cookie,
            expires_at: expires_at.trunc_subsecs(0),
        }
    }

    /// The routes that are in force.
    fn routes(&self) -> Arc<RouteTable> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&routes)
    }

    /// Whether a bearer is a token of ours, also one past its time, or an operator's key.
    fn knows(&self, bearer: &str) -> bool {
        let token = self.tokens.verify(bearer, self.clock.now());
        token != Err(token::TokenError::Invalid) || self.operators.find(bearer).is_some()
    }

    /// What the upstream hears of the one who asks.
    fn pass(&self, holder: Holder) -> Pass {
        let text = self.passes.mint(&holder, self.clock.now());
        Pass { holder, text }
    }
}

/// A token that was minted now.
#[derive(Clone)]
pub(crate) struct FreshToken {
    text: String,
    /// Carries it.
    cookie: HeaderValue,
    /// It is good before this instant.
    expires_at: Timestamp,
}

/// Binds, reaches Redis, defines the queues of the configuration, and serves.
pub async fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
    let listeners = Listeners::bind(config.listen, config.admin_listen)?;
    let unusable = |cause| StartError::Store(format!("GATEWAY_REDIS_URL: {cause}"));
    let hot = chassis::redis::connection(&config.redis_url).map_err(unusable)?;
    let pool = chassis::redis::pool(&config.redis_url, config.redis_pool).map_err(unusable)?;
    let queues = Queues::new(hot.clone(), pool.clone(), clock.clone(), config.recovery);
    define(&queues, &config).await?;
    let identity = identity(&config, &clock).await?;
    let trust_metrics = TrustMetrics::new();
    let challenge = config.join_checks.challenge.clone();
    let routes = config.proxy.routes.read();
    let routes = routes.map_err(|cause| StartError::Store(format!("GATEWAY_ROUTES: {cause}")))?;
    let app = web::Data::new(Gateway {
        queues,
        store: hot.clone(),
        visits: Visits::new(clock.clone()),
        streams: Streams::new(config.streams),
        identity,
        limits: Limits::new(config.join_checks.per_minute, config.visit_limits),
        proof_of_work: ProofOfWork::new(
            config.join_checks.proof_of_work_bits,
            config.trust.token_keys.clone(),
        ),
        challenge: challenge.map(|rules| Challenge::new(rules, trust_metrics.clone())),
        trust_metrics,
        settings: Settings::of(&config),
        beacons: Beacons::new(config.beacon_origins.clone()),
        fairness: Fairness::default(),
        tokens: config.trust.token_keys.clone(),
        token_ttl: config.trust.token_ttl,
        passes: config.trust.pass_key.clone(),
        operators: config.trust.operators.clone(),
        routes: RwLock::new(Arc::new(routes)),
        route_source: config.proxy.routes.clone(),
        upstream_metrics: UpstreamMetrics::new(),
        own_limit: VisitLimit::per_second(config.proxy.own_per_s, config.proxy.own_burst),
        via: via(&config.trust.token_keys),
        trusted_hops: config.proxy.trusted_hops,
        cookie: config.trust.cookie,
        cors: config.proxy.cors.clone(),
        base: config.proxy.base.0.clone(),
        pages: Pages::new(config.pages.look.clone(), &config.proxy.base.0),
        queueing_status: config.pages.status,
        default_queue: config.pages.queue.clone(),
        login: config.pages.login.clone(),
        clock,
    });
    let health = web::Data::new(
        Health::default().check_telling("redis", move || queue::writable(hot.clone())),
    );
    let registry = Registry::new();
    metrics::register(&registry, &app.clone().into_inner(), pool);
    let http = HttpMetrics::register(&registry);
    reload::on_hangup(&app)?;
    let schedule = scheduler::start(app.clone().into_inner(), &registry).await?;
    let own = health.clone();
    let serve = |listener| serve(listener, &config, app, http, own);
    listeners.run(serve, registry, health, schedule)
}

/// Puts the queues of the configuration in place, waiting for Redis as long as the operator said.
async fn define(queues: &Queues, config: &Config) -> Result<(), StartError> {
    let redis = Needed {
        store: "Redis",
        variable: "GATEWAY_REDIS_URL",
        within: config.process.start_wait,
    };
    let defined = async || define_all(queues, config).await.map_err(unusable);
    redis.wait(defined).await
}

fn unusable(cause: QueueError) -> Unusable {
    match cause {
        QueueError::StoreUnavailable(cause) => Unusable::Away(cause.to_string()),
        other => Unusable::Odd(format!("GATEWAY_QUEUES: {other}")),
    }
}

async fn define_all(queues: &Queues, config: &Config) -> Result<(), QueueError> {
    for (queue, policy) in &config.queues.0 {
        queues.define(queue, policy.clone(), "start").await?;
    }
    queues.refresh().await
}

/// A key set in a file must be good from the start; one at an address may come later.
async fn identity(config: &Config, clock: &Clock) -> Result<Identity, StartError> {
    let rules = match config.join_checks.identity.clone() {
        Identification::Open => return Ok(Identity::Open),
        Identification::Anonymous => return Ok(Identity::Anonymous),
        Identification::Jwt(rules) => rules,
    };
    let in_file = matches!(rules.jwks, Some(JwksSource::File(_)));
    let identity = Identity::Jwt(Box::new(Provider::new(rules)));
    match identity.refresh(clock.now()).await {
        Err(cause) if in_file => Err(StartError::Store(format!("GATEWAY_JWKS: {cause}"))),
        Err(cause) => {
            log::warn!("GATEWAY_JWKS: {cause}; nobody can join until they can");
            Ok(identity)
        }
        Ok(()) => Ok(identity),
    }
}

/// All gateways with the same keys have the same name, so that a request which comes round by way of
/// another one is noticed too.
fn via(keys: &KeyRing) -> String {
    let seal = keys.seal("via:");
    let letters = seal.chars().filter(char::is_ascii_alphanumeric);
    format!("usher-{}", letters.take(10).collect::<String>())
}

async fn ping(mut redis: chassis::redis::Connection) -> Result<(), String> {
    redis::cmd("PING")
        .query_async::<()>(&mut redis)
        .await
        .map_err(|cause| cause.to_string())
}

fn serve(
    listener: TcpListener,
    config: &Config,
    app: web::Data<Gateway>,
    http: HttpMetrics,
    health: web::Data<Health>,
) -> io::Result<Server> {
    let rules = HttpRules {
        workers: config.process.workers,
        keep_alive: KEEP_ALIVE,
        head_timeout: HEAD_TIMEOUT,
        grace: config.process.grace,
    };
    let config = config.clone();
    let http = web::Data::new(http);
    let cors = web::Data::new(config.proxy.cors.clone());
    let base = config.proxy.base.0.clone();
    http_server::serve(listener, rules, move || {
        App::new()
            .app_data(app.clone())
            .app_data(http.clone())
            .app_data(health.clone())
            .app_data(web::Data::new(proxy::Client::default()))
            .app_data(cors.clone())
            .wrap(from_fn(server::limit_head))
            .wrap(from_fn(api::from_known_pages))
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(admission::clear_dead_cookies))
            .wrap(Condition::new(
                !config.proxy.cors.is_off(),
                from_fn(cors::share),
            ))
            .wrap(from_fn(logging::access))
            .wrap(from_fn(server::close_when_draining))
            .wrap(from_fn(trace::assign))
            .wrap(from_fn(request_id::assign))
            .configure(|app| api::routes(app, &base))
    })
}
