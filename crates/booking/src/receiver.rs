//! A small receiver that stands in for the data platform: it verifies each event and prints it on a line of its own.
//!
//! It shows the way of an event from end to end, and what a receiver must do. It keeps nothing.

use std::io::{Write as _, stdout};

use actix_web::middleware::from_fn;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use chassis::health::Health;
use chassis::server::{self, Listening, StartError};
use chassis::time::{Clock, rfc3339};
use chassis::{problem, request_id, routes};
use serde_json::Value;

use crate::config::Receiving;
use crate::signed::{ID, SIGNATURE, Secrets, TIMESTAMP};

struct Receiver {
    secrets: Secrets,
    clock: Clock,
}

/// Takes events on every path but those of its health, until it is stopped.
pub fn start(config: Receiving, clock: Clock) -> Result<Listening, StartError> {
    let failed =
        |cause: std::io::Error| StartError::Store(format!("the server did not start: {cause}"));
    let listener = server::bind("events", config.listen)?;
    let address = listener.local_addr().map_err(failed)?;
    let receiver = Data::new(Receiver {
        secrets: config.secrets,
        clock,
    });
    let health = Data::new(Health::default());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(receiver.clone())
            .app_data(health.clone())
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(request_id::assign))
            .configure(server::health_routes)
            .service(routes::at("/events").post(take).done())
            .default_service(actix_web::web::to(routes::not_found))
    });
    let server = server.workers(1).disable_signals().listen(listener);
    Ok(Listening::spawn(server.map_err(failed)?.run(), address))
}

/// 204 for an event whose signature holds, 401 for anything else.
async fn take(receiver: Data<Receiver>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let now = receiver.clock.now();
    let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
    let signed = (header(ID), header(TIMESTAMP), header(SIGNATURE));
    let (Some(id), Some(at), Some(signatures), Ok(body)) =
        (signed.0, signed.1, signed.2, std::str::from_utf8(&body))
    else {
        return HttpResponse::Unauthorized().finish();
    };
    if !receiver.secrets.verify(id, at, body, signatures, now) {
        return HttpResponse::Unauthorized().finish();
    }
    let event: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let line = format!(
        "{} {} {} {id} {}",
        rfc3339(now),
        text("type"),
        text("subject"),
        event["data"]
    );
    // Nobody who reads is no reason to refuse an event.
    let _ = writeln!(stdout(), "{line}");
    HttpResponse::NoContent().finish()
}
