//! A visitor's place as a stream of events, for those who would rather listen than ask.
//!
//! What is told is what is new to this client. The id of an event says all that the client knows
//! by it, so one that comes back, at whichever gateway, is not told the same again.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::event_stream::{self, event};
use chassis::health::Health;
use chassis::problem::Problem;
use futures_util::stream;
use rand::Rng as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use super::QueueName;
use super::errors::{VISIT_IDLE, VISIT_OVER};
use super::place::Place;
use super::tokens::visit;
use crate::Gateway;
use crate::queue::{Outlook, Queue, QueueId, Standing, Ticket};
use crate::stream::{Closed, Update, View, Watch};

/// Between two pings of a stream.
const PING: Duration = Duration::from_secs(15);
/// When a client comes back after its connection broke, in milliseconds: spread, so that those of
/// a gateway that stopped do not all come at once.
const RETRY_MS: std::ops::Range<u64> = 2_000..7_000;

/// Watch one's own place. An open stream counts as presence.
///
/// The stream begins with the place. It goes on after the visitor was let in, and ends after
/// `gone`. A client that cannot read fast enough gets the latest place, not all of them. A visit has four
/// streams at most; a fifth takes the place of the oldest, which ends.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/tokens/me/events", tag = "visitor", operation_id = "watch",
    params(
        QueueName,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that \
            was read; what it told is not told again."),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = String,
            description = "Events with an `id` each: `place` (a `Place`, whenever it changed), \
                `active` (a `Place`: let in, or the end of the visit moved), \
                `paused` (`{\"paused\": true}`), `message` (`{\"message\": \"…\"}`, or `null`), \
                `store` (`{\"available\": false}` while what was told last may be old, and `true` after), \
                `gone` (`{\"code\", \"detail\"}`, the last one). A comment every 15 s."),
    ),
    extensions(("x-access" = json!("token")), ("x-codes" = json!(["STREAMS_FULL"])))
)]
pub async fn watch(
    app: Data<Gateway>,
    health: Data<Health>,
    queue: Path<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (queue, ticket) = visit(&app, &queue, &request).await?;
    let visit = app.visits.rank(&queue, ticket).await?;
    if request.method() == Method::HEAD {
        return Ok(event_stream::answer().finish());
    }
    let watch = app.streams.watch(&queue, ticket, visit.standing)?;
    let place = (queue.unpinned(), ticket);
    let events = EventStream::new(app, health, place, watch, told_before(&request));
    Ok(events.answer())
}

fn told_before(request: &HttpRequest) -> Option<EventId> {
    let id = request.headers().get("last-event-id")?;
    id.to_str().ok()?.parse().ok()
}

/// One stream.
struct EventStream {
    app: Data<Gateway>,
    health: Data<Health>,
    queue: Queue,
    ticket: Ticket,
    watch: Watch,
    told: Option<EventId>,
    is_stale: bool,
    ping_at: Instant,
    stage: Stage,
}

enum Stage {
    Beginning,
    Running,
    Over,
}

impl EventStream {
    fn new(
        app: Data<Gateway>,
        health: Data<Health>,
        (queue, ticket): (Queue, Ticket),
        watch: Watch,
        told: Option<EventId>,
    ) -> Self {
        // A crowd that came at once shall not be pinged at once.
        let first = rand::rng().random_range(0.0..1.0);
        Self {
            app,
            health,
            queue,
            ticket,
            watch,
            told,
            is_stale: false,
            ping_at: Instant::now() + PING.mul_f64(first),
            stage: Stage::Beginning,
        }
    }

    fn answer(self) -> HttpResponse {
        let pieces = stream::unfold(self, async |mut events| {
            let piece = events.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(piece)), events))
        });
        event_stream::answer().streaming(pieces)
    }

    /// What is to be sent next; `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        match self.stage {
            Stage::Over => return None,
            Stage::Beginning => {
                self.stage = Stage::Running;
                let retry = rand::rng().random_range(RETRY_MS);
                let retry = event_stream::retry(Duration::from_millis(retry));
                return Some(retry + &self.news());
            }
            Stage::Running => {}
        }
        loop {
            tokio::select! {
                () = self.health.until_draining() => return None,
                goes_on = self.watch.changed() => {
                    if !goes_on {
                        return None;
                    }
                    let news = self.news();
                    if !news.is_empty() {
                        return Some(news);
                    }
                }
                () = sleep_until(self.ping_at) => {
                    self.ping_at += PING;
                    return Some(event_stream::ping().to_owned());
                }
            }
        }
    }

    /// The events that tell what is to be seen and was not told.
    fn news(&mut self) -> String {
        match self.watch.update() {
            Update::Here(view) => self.news_of(&view),
            Update::Closed(closed) => {
                self.stage = Stage::Over;
                farewell(closed)
            }
        }
    }

    fn news_of(&mut self, view: &View) -> String {
        let now = EventId::of(view);
        let before = self.told.replace(now);
        let id = now.to_string();
        let mut news = String::new();
        if self.is_stale != view.is_stale {
            self.is_stale = view.is_stale;
            news += &event(&id, "store", &json!({ "available": !view.is_stale }));
        }
        if before.is_none_or(|it| it.place() != now.place()) {
            let name = match view.standing {
                Standing::Active { .. } => "active",
                Standing::Waiting { .. } | Standing::Scheduled { .. } => "place",
            };
            let at = self.app.clock.now();
            let visit = self
                .app
                .visits
                .visit(&self.queue.pinned(), self.ticket, view.standing);
            let place = Place::of(&visit, at);
            news += &event(&id, name, &place);
        }
        if before.map_or(now.paused, |it| it.paused != now.paused) {
            news += &event(&id, "paused", &json!({ "paused": now.paused }));
        }
        if before.map_or(now.message != 0, |it| it.message != now.message) {
            news += &event(
                &id,
                "message",
                &json!({ "message": view.message.as_deref() }),
            );
        }
        news
    }
}

fn farewell(closed: Closed) -> String {
    let (code, detail) = match closed {
        Closed::Over => ("TOKEN_EXPIRED", VISIT_OVER),
        Closed::Idle => ("TOKEN_EXPIRED", VISIT_IDLE),
        Closed::Removed => ("QUEUE_UNKNOWN", "There is no queue of this name any more."),
    };
    event("gone", "gone", &json!({ "code": code, "detail": detail }))
}

/// What is told of a stock of which nothing is known.
const NO_STOCK: (char, u64) = ('n', 0);

/// All that a client knows, in a form that it can carry: `w41-p-9c1185a5-u120`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EventId {
    standing: (char, u64),
    paused: bool,
    /// The begin of the message's digest; 0 for none.
    message: u32,
    /// Whether something will be left, and about how much is.
    stock: (char, u64),
}

impl EventId {
    /// What of it is told with a place.
    fn place(self) -> impl PartialEq {
        (self.standing, self.paused, self.stock)
    }

    fn of(view: &View) -> Self {
        let standing = match view.standing {
            Standing::Waiting { ahead } => ('w', ahead),
            Standing::Scheduled {
                ahead: Some(ahead), ..
            } => ('s', ahead),
            Standing::Scheduled { ahead: None, .. } => ('l', 0),
            Standing::Active { until } => {
                ('a', u64::try_from(until.timestamp_micros()).unwrap_or(0))
            }
        };
        let message = view.message.as_ref().map_or(0, |text| {
            let digest = Sha256::digest(text.as_bytes());
            u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
        });
        Self {
            standing,
            paused: view.paused,
            message,
            stock: view.stock.map_or(NO_STOCK, |(outlook, about)| {
                let letter = match outlook {
                    Outlook::Likely => 'l',
                    Outlook::Uncertain => 'c',
                    Outlook::Unlikely => 'u',
                };
                (letter, about)
            }),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, number) = self.standing;
        let paused = if self.paused { 'p' } else { 'o' };
        let (outlook, about) = self.stock;
        let message = self.message;
        write!(
            to,
            "{letter}{number}-{paused}-{message:08x}-{outlook}{about}"
        )
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        let parts: Vec<_> = id.split('-').collect();
        let (standing, paused, message, stock) = match parts[..] {
            [standing, paused, message, stock] => (standing, paused, message, stock),
            // Of an older gateway.
            [standing, paused, message] => (standing, paused, message, "n0"),
            _ => return Err(()),
        };
        Ok(Self {
            standing: lettered(standing, "wsla")?,
            paused: paused == "p",
            message: u32::from_str_radix(message, 16).map_err(|_| ())?,
            stock: lettered(stock, "nlcu")?,
        })
    }
}

/// One of these letters, and a number.
fn lettered(text: &str, letters: &str) -> Result<(char, u64), ()> {
    let letter = text.chars().next().filter(|it| letters.contains(*it));
    let letter = letter.ok_or(())?;
    Ok((letter, text[1..].parse().map_err(|_| ())?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::EventId;
    use crate::queue::{Outlook, Standing};
    use crate::stream::View;

    #[test]
    fn an_id_says_all_that_a_client_knows_and_is_read_back() {
        let view = View {
            standing: Standing::Waiting { ahead: 41 },
            paused: true,
            message: Some(Arc::from("soon")),
            stock: Some((Outlook::Uncertain, 120)),
            is_stale: false,
        };
        let told = EventId::of(&view);
        assert_eq!(told.to_string().parse(), Ok(told));
        let silent = View {
            message: None,
            stock: None,
            ..view
        };
        assert_ne!(EventId::of(&silent), told);
        assert!(EventId::of(&silent).to_string().ends_with("-00000000-n0"));
        assert_eq!("w41-p-00000000".parse(), Ok(EventId::of(&silent)));
    }

    #[test]
    fn an_id_of_somebody_else_tells_nothing() {
        for id in [
            "", "gone", "w-o-0", "x1-o-0", "w1-o", "w1-o-0-0", "é1-o-0", "w1-o-zz",
        ] {
            assert_eq!(id.parse::<EventId>(), Err(()), "{id}");
        }
    }
}
