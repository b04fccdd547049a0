//! The seats of a date as a stream of changes, for clients that draw a plan of the hall.
//!
//! All streams of a process tick together, and the first of a date to ask loads its seats for all of them: one read of
//! the database for each tick and date, however many listen. An event's id is the version of the content, which is the
//! same on every instance; so a client that comes back, here or elsewhere, is told what changed since, or everything when
//! nobody remembers that version. It is for eyes only, as the list is.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chassis::event_stream;
use chassis::health::Health;
use chassis::problem::Problem;
use chassis::time::Clock;
use chrono::TimeDelta;
use futures_util::stream;
use rand::Rng as _;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Admitted;
use super::codes::STREAMS_FULL;
use super::concerts::{Seat, Seats};
use crate::Booking;
use crate::concert;
use crate::db::{Db, DbError};
use crate::reservation::ReserveError;
use crate::seat;
use crate::single_flight::SingleFlightCache;

/// How often seats are looked at.
const TICK: Duration = Duration::from_secs(1);
/// What one listener of a tick has loaded serves the others of the same tick, and not those of the next.
const SHARED_MS: i64 = 700;
/// Versions of a date that are remembered for clients that come back.
const REMEMBERED: usize = 30;
/// Dates that are remembered; those that were looked at longest ago are forgotten first.
const DATES_REMEMBERED: usize = 64;
/// Proxies close a connection that is silent for longer.
const PING: Duration = Duration::from_secs(15);
/// A stream ends after this time and its client comes back, so that the gateway looks at its visit again.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a client waits before it comes back, in milliseconds.
const RETRY_MS: std::ops::Range<u64> = 1_000..4_000;
/// Streams of one process; each has little memory of its own.
const STREAMS: usize = 20_000;

/// What all streams share.
pub struct SeatFeed {
    begun: Instant,
    latest: SingleFlightCache<Uuid, Snapshot, Problem>,
    remembered: Mutex<Memory>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Memory {
    versions: HashMap<Uuid, VecDeque<Arc<Snapshot>>>,
    /// The dates, the one that was looked at longest ago first.
    order: VecDeque<Uuid>,
}

/// The seats of a date in one version.
struct Snapshot {
    queue: String,
    version: String,
    seats: Vec<seat::Seat>,
    /// What tells of it to those who have the version of the key, or none.
    events: Mutex<HashMap<Option<String>, Bytes>>,
}

/// All seats of a date; the data of an event `seats`.
#[derive(Serialize, ToSchema)]
pub struct SeatsEvent {
    /// Also the `id` of the event.
    version: String,
    items: Vec<Seat>,
}

/// The seats that changed; the data of an event `delta`.
#[derive(Serialize, ToSchema)]
pub struct SeatsDelta {
    /// What it is added to.
    from: String,
    /// What then comes of it; also the `id` of the event.
    version: String,
    /// Each as it is now.
    items: Vec<Seat>,
}

/// The data of an event, by its name.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document is made of it")]
pub enum SeatsData {
    /// Of `delta`.
    Delta(SeatsDelta),
    /// Of `seats`.
    Seats(SeatsEvent),
    /// Of `gone`.
    Gone {},
}

impl SeatFeed {
    /// A feed that nobody listens to yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            begun: Instant::now(),
            latest: SingleFlightCache::new(TimeDelta::milliseconds(SHARED_MS), clock),
            remembered: Mutex::default(),
            room: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// The seats as they are in this tick. Two statements, for all who listen.
    async fn look(
        &self,
        db: &Db,
        clock: &Clock,
        schedule_id: Uuid,
    ) -> Result<Arc<Snapshot>, Problem> {
        let load = async |_| {
            let now = clock.now();
            let found = db.read(move |conn| {
                let Some(queue) = concert::queue_of(conn, schedule_id)? else {
                    return Ok::<_, DbError>(None);
                };
                Ok(Some((queue, seat::list(conn, schedule_id, now)?.seats)))
            });
            let (queue, seats) = found.await?.ok_or(ReserveError::ScheduleNotFound)?;
            Ok(Snapshot {
                queue,
                version: Seats::of(seats.iter().cloned()).version(),
                seats,
                events: Mutex::default(),
            })
        };
        let found = self.latest.get(schedule_id, load).await?;
        Ok(self.remember(schedule_id, found))
    }

    /// The same content is one snapshot, so that what tells of it is written once.
    fn remember(&self, schedule_id: Uuid, found: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut memory = self.memory();
        if memory.order.back() != Some(&schedule_id) {
            memory.order.retain(|id| *id != schedule_id);
            memory.order.push_back(schedule_id);
        }
        if memory.order.len() > DATES_REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.versions.remove(&oldest);
        }
        let versions = memory.versions.entry(schedule_id).or_default();
        if let Some(last) = versions.back()
            && last.version == found.version
            && last.queue == found.queue
        {
            return Arc::clone(last);
        }
        versions.push_back(Arc::clone(&found));
        if versions.len() > REMEMBERED {
            versions.pop_front();
        }
        found
    }

    fn recall(&self, schedule_id: Uuid, version: &str) -> Option<Arc<Snapshot>> {
        let memory = self.memory();
        let mut versions = memory.versions.get(&schedule_id)?.iter().rev();
        versions.find(|it| it.version == version).map(Arc::clone)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next instant at which everybody looks.
    fn next_tick(&self) -> Instant {
        let passed = self.begun.elapsed().as_millis() / TICK.as_millis() + 1;
        self.begun + TICK * u32::try_from(passed).unwrap_or(u32::MAX)
    }
}

impl Snapshot {
    /// What tells of this version to those who have `known`, written once for all of them.
    fn since(&self, known: Option<&Self>) -> Bytes {
        let key = known.map(|it| it.version.clone());
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let event = events.entry(key).or_insert_with(|| match known {
            Some(known) => self.delta(known),
            None => self.whole(),
        });
        event.clone()
    }

    fn whole(&self) -> Bytes {
        let data = SeatsEvent {
            version: self.version.clone(),
            items: self.seats.iter().cloned().map(Seat::from).collect(),
        };
        event_stream::event(&self.version, "seats", &data).into()
    }

    fn delta(&self, known: &Self) -> Bytes {
        // Both are by number, and a date never loses a seat.
        let mut old = known.seats.iter().peekable();
        let mut changed = Vec::new();
        for seat in &self.seats {
            while old.next_if(|it| it.number < seat.number).is_some() {}
            if old.next_if(|it| it.number == seat.number) != Some(seat) {
                changed.push(Seat::from(seat.clone()));
            }
        }
        let data = SeatsDelta {
            from: known.version.clone(),
            version: self.version.clone(),
            items: changed,
        };
        event_stream::event(&self.version, "delta", &data).into()
    }
}

/// Streams the seats of a date: first all of them, then what changes, looked at once a second.
#[utoipa::path(get, path = "/api/v1/schedules/{scheduleId}/seats/events", operation_id = "watchSeats", tag = "concerts",
    params(("scheduleId" = Uuid, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that you have: what follows is \
            added to it, if it is still remembered.")),
    responses((status = 200, description = "`text/event-stream`: `seats` with every seat, `delta` with those that changed, \
        `gone` when the date is no longer shown. It ends after some minutes; come back with `Last-Event-ID`.",
        body = SeatsData, content_type = "text/event-stream")),
    extensions(("x-access" = json!("active")),
        ("x-codes" = json!(["SCHEDULE_NOT_FOUND", "QUEUE_MISMATCH", "STREAMS_FULL"]))))]
pub async fn watch(
    app: Data<Booking>,
    health: Data<Health>,
    admitted: Admitted,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let now = app.seat_feed.look(&app.db, &app.clock, *id).await?;
    admitted.must_come_from(&now.queue)?;
    if request.method() == Method::HEAD {
        return Ok(event_stream::answer().finish());
    }
    let listener = Listener::new(app, health, *id, now, last_event(&request))?;
    let pieces = stream::unfold(listener, async |mut listener| {
        let piece = listener.next().await?;
        Some((Ok::<_, Infallible>(piece), listener))
    });
    Ok(event_stream::answer().streaming(pieces))
}

fn last_event(request: &HttpRequest) -> &str {
    let last = request.headers().get("last-event-id");
    last.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// One stream.
struct Listener {
    app: Data<Booking>,
    health: Data<Health>,
    schedule_id: Uuid,
    queue: String,
    /// What is told first.
    opening: Option<Arc<Snapshot>>,
    /// What the client has.
    known: Option<Arc<Snapshot>>,
    quiet_since: Instant,
    ends_at: Instant,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// A listener whose client has heard the event of this id last; refused where there is no room for another one.
    fn new(
        app: Data<Booking>,
        health: Data<Health>,
        schedule_id: Uuid,
        now: Arc<Snapshot>,
        last: &str,
    ) -> Result<Self, Problem> {
        let room = Arc::clone(&app.seat_feed.room).try_acquire_owned();
        let permit = room.map_err(|_| {
            STREAMS_FULL.because(
                "This instance has as many streams as it may have; ask for the list instead.",
            )
        })?;
        Ok(Self {
            known: app.seat_feed.recall(schedule_id, last),
            schedule_id,
            queue: now.queue.clone(),
            opening: Some(now),
            quiet_since: Instant::now(),
            ends_at: Instant::now() + LONGEST,
            is_over: false,
            app,
            health,
            _permit: permit,
        })
    }

    /// What is to be sent next; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            let retry = rand::rng().random_range(RETRY_MS);
            let mut first = event_stream::retry(Duration::from_millis(retry)).into_bytes();
            first.extend(self.news(opening));
            return Some(first.into());
        }
        while !self.is_over && !self.health.is_draining() && Instant::now() < self.ends_at {
            tokio::select! {
                () = sleep_until(self.app.seat_feed.next_tick()) => {}
                () = self.health.until_draining() => return None,
            }
            let (feed, app) = (&self.app.seat_feed, &self.app);
            match feed.look(&app.db, &app.clock, self.schedule_id).await {
                Ok(now) if now.queue != self.queue => return self.gone(),
                Ok(now) => {
                    let news = self.news(now);
                    if !news.is_empty() {
                        self.quiet_since = Instant::now();
                        return Some(news);
                    }
                }
                Err(refused) if refused.status().is_client_error() => return self.gone(),
                // The database is away for a while; what the client has is as true as before.
                Err(_) => {}
            }
            if self.quiet_since.elapsed() >= PING {
                self.quiet_since = Instant::now();
                return Some(Bytes::from_static(event_stream::ping().as_bytes()));
            }
        }
        None
    }

    /// What the client does not know yet; nothing when it has this very version.
    fn news(&mut self, now: Arc<Snapshot>) -> Bytes {
        let known = self.known.replace(Arc::clone(&now));
        match known {
            Some(known) if known.version == now.version => Bytes::new(),
            known => now.since(known.as_deref()),
        }
    }

    fn gone(&mut self) -> Option<Bytes> {
        self.is_over = true;
        let id = self.known.as_ref().map_or("", |known| &known.version);
        Some(event_stream::event(id, "gone", &json!({})).into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{Seats, Snapshot};
    use crate::seat::{Seat, SeatState};

    fn snapshot(states: &[(u16, SeatState)]) -> Snapshot {
        let seats: Vec<Seat> = states
            .iter()
            .map(|(number, state)| Seat {
                number: *number,
                grade: "A".to_owned(),
                price: 1,
                state: *state,
            })
            .collect();
        Snapshot {
            queue: "main".to_owned(),
            version: Seats::of(seats.iter().cloned()).version(),
            seats,
            events: Mutex::default(),
        }
    }

    #[test]
    fn a_delta_names_what_changed_and_what_is_new() {
        use SeatState::{Available, Held, Sold};
        let old = snapshot(&[(1, Available), (3, Held), (4, Sold)]);
        let new = snapshot(&[(1, Available), (2, Held), (3, Sold), (4, Sold), (9, Held)]);
        let text = String::from_utf8(new.since(Some(&old)).to_vec()).expect("text");
        let numbers: Vec<_> = text
            .split("\"number\":")
            .skip(1)
            .map(|rest| &rest[..1])
            .collect();
        assert_eq!(numbers, ["2", "3", "9"], "{text}");
        assert!(text.starts_with(&format!("id: {}\nevent: delta\n", new.version)));
        assert!(text.contains(&format!("\"from\":\"{}\"", old.version)));
    }
}
