//! Owns the limit: the smallest server of the same kind, which does only what cannot be left out.
//!
//! It runs as a process of its own with as many workers as a gateway, one multiplexed connection to Redis for each.
//! It checks nothing, writes no log and tells no errors apart.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::ETAG;
use actix_web::web::{Data, Path, get, post};
use actix_web::{App, HttpResponse, HttpServer, error};
use anyhow::Result;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use uuid::Uuid;

use crate::line;

/// What a small answer is.
pub const TINY: &str = r#"{"ok":true}"#;
/// The version that nobody has to send again.
pub const TAG: &str = "\"1\"";

static TICKET: AtomicU64 = AtomicU64::new(1);

/// Serves until it is killed.
pub fn serve(port: u16, redis_url: &str, workers: usize) -> Result<()> {
    let client = redis::Client::open(redis_url)?;
    actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let client = client.clone();
            App::new()
                .data_factory(move || {
                    let client = client.clone();
                    async move { client.get_multiplexed_async_connection().await }
                })
                .route("/ready", get().to(HttpResponse::Ok))
                .route("/tiny", get().to(tiny))
                .route("/known", get().to(known))
                .route("/rank/{queue}/{user}", get().to(rank))
                .route("/join/{queue}/{user}", post().to(join))
        };
        let server = HttpServer::new(app).workers(workers);
        server.bind(("127.0.0.1", port))?.run().await?;
        Ok(())
    })
}

async fn tiny() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(TINY)
}

async fn known() -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header((ETAG, TAG))
        .finish()
}

async fn rank(
    redis: Data<MultiplexedConnection>,
    path: Path<(String, Uuid)>,
) -> error::Result<HttpResponse> {
    let (queue, user) = path.into_inner();
    let mut redis = MultiplexedConnection::clone(&redis);
    let rank = redis
        .zrank(line::key(&queue, "waiting"), user.as_bytes())
        .await;
    let rank: Option<u64> = rank.map_err(error::ErrorServiceUnavailable)?;
    let rank = rank.ok_or(error::ErrorNotFound("nobody"))?;
    Ok(HttpResponse::Ok().body(rank.to_string()))
}

async fn join(
    redis: Data<MultiplexedConnection>,
    path: Path<(String, Uuid)>,
) -> error::Result<HttpResponse> {
    let (queue, user) = path.into_inner();
    let ticket = TICKET.fetch_add(1, Ordering::Relaxed);
    let mut redis = MultiplexedConnection::clone(&redis);
    let added = redis.zadd(line::key(&queue, "waiting"), user.as_bytes(), ticket);
    let added: u64 = added.await.map_err(error::ErrorServiceUnavailable)?;
    Ok(HttpResponse::Created().body(added.to_string()))
}
