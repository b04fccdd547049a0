//! What a visitor sees of their place.

use chassis::time::{Timestamp, wire_option};
use rand::Rng as _;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::queue::{Outlook, Standing};
use crate::visits::Visit;

/// A visitor's place in a queue.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Proves this place in every later call. Only in the answer of issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Until when the token can be used. Only in the answer of issue.
    #[serde(with = "wire_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    pub token_expires_at: Option<Timestamp>,
    /// The queue.
    #[schema(example = "main")]
    pub queue: String,
    /// Whose place it is.
    pub user_id: Uuid,
    /// Where the visit stands.
    pub state: PlaceState,
    /// Grows strictly in the order of arrival.
    #[schema(example = 1_764_000_000_123_456_u64)]
    pub ticket_number: u64,
    /// 1 for the next to enter; 0 when active; `null` before a lottery is drawn. Never goes up
    /// while waiting.
    #[schema(example = 42)]
    pub position: Option<u64>,
    /// Visitors in the line who enter before; 0 when active; `null` before a lottery is drawn.
    #[schema(example = 41)]
    pub ahead: Option<u64>,
    /// Visitors in the whole line, at most a second old.
    #[schema(example = 1300)]
    pub waiting: u64,
    /// Seconds until entry; `null` while unknown or paused.
    pub eta_seconds: Option<EtaSeconds>,
    /// Nobody enters at the moment.
    pub paused: bool,
    /// A word from the operator.
    pub message: Option<String>,
    /// What is left to sell; `null` where nobody says it.
    pub remaining: Option<u64>,
    /// Whether something will be left at one's turn, by the part of visitors who bought until now;
    /// `null` while inside, and where nothing is known of what is left.
    pub outlook: Option<Outlook>,
    /// Ask again after so many milliseconds.
    #[schema(example = 3000)]
    pub poll_after_ms: u64,
    /// When the visit ends; `null` while waiting.
    #[serde(with = "wire_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub active_until: Option<Timestamp>,
    /// The same as whole seconds from now.
    pub expires_in_seconds: Option<u64>,
}

/// Where a visit stands. One that is over has no place: it is answered with 410 `TOKEN_EXPIRED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlaceState {
    /// In the line.
    Waiting,
    /// Inside.
    Active,
    /// In the line of a queue that has not opened.
    Scheduled,
}

/// A range of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EtaSeconds {
    /// Hardly sooner than this.
    #[schema(example = 40)]
    pub min: u32,
    /// Hardly later than this.
    #[schema(example = 75)]
    pub max: u32,
}

impl Place {
    /// The place of a visit, by the snapshot of its request.
    pub fn of(visit: &Visit, now: Timestamp) -> Self {
        let (snapshot, standing) = (visit.queue.snapshot(), &visit.standing);
        let (state, ahead, until) = match standing {
            Standing::Waiting { ahead } => (PlaceState::Waiting, Some(*ahead), None),
            Standing::Scheduled { ahead, .. } => (PlaceState::Scheduled, *ahead, None),
            Standing::Active { until } => (PlaceState::Active, Some(0), Some(*until)),
        };
        let active = until.is_some();
        let paused = snapshot.paused() && !active;
        let eta = visit.forecast.range.filter(|_| !paused);
        let jitter = rand::rng().random_range(0.0..1.0);
        Self {
            token: None,
            token_expires_at: None,
            queue: visit.queue.id().to_string(),
            user_id: visit.ticket.user.0,
            state,
            ticket_number: visit.ticket.number,
            position: ahead.map(|ahead| if active { 0 } else { ahead + 1 }),
            ahead,
            // The snapshot is up to a second old; a line is never shorter than one's own place.
            waiting: if active {
                snapshot.waiting
            } else {
                snapshot.waiting.max(ahead.unwrap_or(0) + 1)
            },
            eta_seconds: eta.map(|(min, max)| EtaSeconds { min, max }),
            paused,
            message: snapshot.word(),
            remaining: snapshot.remaining,
            outlook: Outlook::of(standing, &snapshot),
            poll_after_ms: visit.forecast.pause_ms(jitter),
            active_until: until,
            expires_in_seconds: until.map(|until| {
                u64::try_from((until - now).num_milliseconds().max(0)).unwrap_or(0) / 1000
            }),
        }
    }

    /// `pollAfterMs` as whole seconds, rounded up, for `Retry-After`.
    pub fn retry_after_s(&self) -> u64 {
        self.poll_after_ms.div_ceil(1000)
    }
}
