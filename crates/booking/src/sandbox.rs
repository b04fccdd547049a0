//! A payment provider for trying things out: it takes orders, agrees for its customers, and says so by signed events.
//!
//! It shows both sides of the protocol and moves no money. What happens depends on the last two digits of the amount: 13
//! fails, 14 says everything twice, 15 fails first and has the money in the end; anything else succeeds. It keeps orders in
//! its memory alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use chassis::health::Health;
use chassis::server::{self, Listening, StartError};
use chassis::time::{Clock, rfc3339};
use chassis::{problem, request_id, routes};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::config::Sandbox;
use crate::signed::{ID, SIGNATURE, Secrets, SignedClient, TIMESTAMP};

/// Events that wait to be sent.
const WAITING: usize = 10_000;
/// How often an event is sent again when booking does not take it, and how long after.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// Booking answers sooner, or is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What has become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Authorised,
    Captured,
    Voided,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::Captured => "captured",
            Self::Voided => "voided",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Order {
    amount: i64,
    capture: String,
}

struct Orders {
    states: Mutex<HashMap<Uuid, (State, i64)>>,
    secrets: Secrets,
    clock: Clock,
    events: mpsc::Sender<Event>,
}

struct Event {
    order_id: Uuid,
    amount: i64,
    kind: &'static str,
}

/// A sandbox that runs.
pub struct Running {
    listening: Listening,
    sending: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Stops taking orders, then sending events.
    pub async fn stop(self) {
        self.listening.stop().await;
        self.sending.abort();
    }
}

/// Takes orders until it is stopped.
pub fn start(config: Sandbox, clock: Clock) -> Result<Running, StartError> {
    let failed =
        |cause: std::io::Error| StartError::Store(format!("the server did not start: {cause}"));
    let listener = server::bind("orders", config.listen)?;
    let address = listener.local_addr().map_err(failed)?;
    let (events, waiting) = mpsc::channel(WAITING);
    let orders = Data::new(Orders {
        states: Mutex::default(),
        secrets: config.secrets.clone(),
        clock: clock.clone(),
        events,
    });
    let health = Data::new(Health::default());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(orders.clone())
            .app_data(health.clone())
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(request_id::assign))
            .configure(server::health_routes)
            .service(routes::at("/orders/{id}").put(open).get(show).done())
            .service(routes::at("/orders/{id}/capture").post(capture).done())
            .service(routes::at("/orders/{id}/void").post(void).done())
            .default_service(actix_web::web::to(routes::not_found))
    });
    let server = server.workers(1).disable_signals().listen(listener);
    let post = SignedClient::new(config.events_url, config.secrets, ANSWER_WITHIN);
    let post = post.map_err(|cause| StartError::Store(cause.to_string()))?;
    let sending = tokio::spawn(send_all(waiting, post, config.delay, clock));
    log::info!("a sandbox takes orders on {address}; no money moves");
    Ok(Running {
        listening: Listening::spawn(server.map_err(failed)?.run(), address),
        sending,
    })
}

/// Every event is on its own way, so one that is late delays no other.
async fn send_all(
    mut waiting: mpsc::Receiver<Event>,
    post: SignedClient,
    delay: Duration,
    clock: Clock,
) {
    let mut on_their_way = JoinSet::new();
    while let Some(event) = waiting.recv().await {
        while on_their_way.try_join_next().is_some() {}
        let (post, clock) = (post.clone(), clock.clone());
        on_their_way.spawn(async move {
            sleep(delay).await;
            send(&event, &post, &clock).await;
        });
    }
    on_their_way.join_all().await;
}

async fn send(event: &Event, post: &SignedClient, clock: &Clock) {
    let kinds: &[&str] = match event.amount % 100 {
        13 => &["order.failed"],
        14 => &[event.kind, event.kind],
        15 => &["order.failed", event.kind],
        _ => &[event.kind],
    };
    for kind in kinds {
        let body = json!({
            "type": kind, "timestamp": rfc3339(clock.now()),
            "data": { "orderId": event.order_id, "amount": event.amount },
        });
        let id = format!("{}.{kind}", event.order_id);
        for _ in 0..TRIES {
            let sent = post.post(&id, body.to_string(), clock.now()).send().await;
            if sent.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

impl Orders {
    fn states(&self) -> MutexGuard<'_, HashMap<Uuid, (State, i64)>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_signed(&self, request: &HttpRequest, body: &[u8]) -> bool {
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        let parts = (header(ID), header(TIMESTAMP), header(SIGNATURE));
        let (Some(id), Some(at), Some(signatures), Ok(body)) =
            (parts.0, parts.1, parts.2, std::str::from_utf8(body))
        else {
            return false;
        };
        let now = self.clock.now();
        self.secrets.verify(id, at, body, signatures, now)
    }

    /// Moves an order on; moving it there again is fine, going back is not.
    fn move_on(&self, id: Uuid, to: State) -> HttpResponse {
        let mut states = self.states();
        match states.get_mut(&id) {
            None => HttpResponse::NotFound().finish(),
            Some((state @ State::Authorised, _)) => {
                *state = to;
                HttpResponse::NoContent().finish()
            }
            Some((state, _)) if *state == to => HttpResponse::NoContent().finish(),
            Some((State::Captured | State::Voided, _)) => HttpResponse::Conflict().finish(),
        }
    }
}

/// 202 for a new order or the same again.
async fn open(
    orders: Data<Orders>,
    id: Path<Uuid>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    if !orders.is_signed(&request, &body) {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(Order { amount, capture }) = serde_json::from_slice(&body) else {
        return HttpResponse::UnprocessableEntity().finish();
    };
    let (state, kind) = if capture == "manual" {
        (State::Authorised, "order.authorised")
    } else {
        (State::Captured, "order.captured")
    };
    let state = if amount % 100 == 13 {
        State::Voided
    } else {
        state
    };
    let is_new = match orders.states().entry(*id) {
        Entry::Occupied(_) => false,
        Entry::Vacant(entry) => {
            entry.insert((state, amount));
            true
        }
    };
    if is_new {
        let event = Event {
            order_id: *id,
            amount,
            kind,
        };
        if orders.events.try_send(event).is_err() {
            return HttpResponse::ServiceUnavailable().finish();
        }
    }
    HttpResponse::Accepted().finish()
}

async fn capture(
    orders: Data<Orders>,
    id: Path<Uuid>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    if orders.is_signed(&request, &body) {
        orders.move_on(*id, State::Captured)
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

async fn void(
    orders: Data<Orders>,
    id: Path<Uuid>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    if orders.is_signed(&request, &body) {
        orders.move_on(*id, State::Voided)
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

/// What became of an order, for people who try things out.
async fn show(orders: Data<Orders>, id: Path<Uuid>) -> HttpResponse {
    let found = orders.states().get(&*id).copied();
    match found {
        None => HttpResponse::NotFound().finish(),
        Some((state, amount)) => {
            let shown: Value = json!({ "id": *id, "state": state.as_str(), "amount": amount });
            HttpResponse::Ok().json(shown)
        }
    }
}
