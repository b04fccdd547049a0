//! Owns who asks: what a handler demands of the pass, by the type of its first argument.
//!
//! [`Visitor`] is anybody with a token, in every state of the visit: own things are theirs before, in and after it.
//! [`Admitted`] is inside at this moment. Who has an operator's key is in `operator`. A handler without any of them is
//! public.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use chassis::problem::Problem;
use uuid::Uuid;

use super::codes::{NOT_ADMITTED, PASS_INVALID, QUEUE_MISMATCH, VISITOR_ONLY, WALLET_NOT_FOUND};
use crate::Booking;
use crate::concert::QueueName;
use crate::pass::{HEADER, Level, Pass, VisitState};

/// Someone with a token.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Who.
    pub user_id: Uuid,
    /// The queue in which they are inside at this moment.
    inside: Option<QueueName>,
}

/// Someone whose turn it is.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who.
    pub user_id: Uuid,
    /// The queue that let them in.
    pub queue: QueueName,
}

impl Visitor {
    /// Whether this very visit is inside, and in this queue.
    pub fn is_inside(&self, queue: &str) -> bool {
        self.inside.as_ref().is_some_and(|it| it.as_str() == queue)
    }

    /// The id, or a refusal in the words for what does not exist when it is another user's.
    pub fn must_be(&self, user_id: Uuid) -> Result<Uuid, Problem> {
        if self.user_id == user_id {
            return Ok(user_id);
        }
        Err(WALLET_NOT_FOUND.because("There is no such wallet, or it is not yours."))
    }
}

impl Admitted {
    /// Refuses what is sold behind another queue.
    pub fn must_come_from(&self, queue: &str) -> Result<(), Problem> {
        if self.queue.as_str() == queue {
            return Ok(());
        }
        Err(QUEUE_MISMATCH.because("You were admitted to the queue of another concert."))
    }
}

impl TryFrom<Pass> for Visitor {
    type Error = Problem;

    fn try_from(pass: Pass) -> Result<Self, Problem> {
        match pass.level {
            Level::Token | Level::Active => Ok(Self {
                user_id: user_of(&pass)?,
                inside: match pass.state {
                    VisitState::Active => pass.queue.try_into().ok(),
                    VisitState::Waiting | VisitState::Over => None,
                },
            }),
            Level::Operator => {
                Err(VISITOR_ONLY.because("This is for visitors, not for operators."))
            }
        }
    }
}

impl TryFrom<Pass> for Admitted {
    type Error = Problem;

    fn try_from(pass: Pass) -> Result<Self, Problem> {
        match (pass.level, pass.state) {
            (Level::Active, VisitState::Active) => Ok(Self {
                user_id: user_of(&pass)?,
                queue: queue_of(pass)?,
            }),
            (Level::Token, _) | (Level::Active, VisitState::Waiting) => {
                Err(NOT_ADMITTED.because("It is not your turn yet."))
            }
            (Level::Active, VisitState::Over) => {
                Err(NOT_ADMITTED.because("Your visit is over; join the queue again."))
            }
            (Level::Operator, _) => {
                Err(VISITOR_ONLY.because("This is for visitors, not for operators."))
            }
        }
    }
}

/// Visitors are known by a UUID.
fn user_of(pass: &Pass) -> Result<Uuid, Problem> {
    pass.sub.parse().map_err(|_| unknown())
}

fn queue_of(pass: Pass) -> Result<QueueName, Problem> {
    pass.queue.try_into().map_err(|_| unknown())
}

pub(super) fn pass_of(request: &HttpRequest) -> Result<Pass, Problem> {
    let app = request.app_data::<Data<Booking>>();
    let app = app.ok_or_else(|| Problem::internal("the application has no state"))?;
    let mut passes = request.headers().get_all(HEADER);
    let (Some(Ok(pass)), None) = (passes.next().map(|pass| pass.to_str()), passes.next()) else {
        return Err(unknown());
    };
    app.pass_keys
        .verify(pass, app.clock.now())
        .map_err(|cause| {
            log::debug!("a pass is refused: {cause}");
            unknown()
        })
}

fn unknown() -> Problem {
    PASS_INVALID.because("Booking is reached through the gateway, whose pass this request lacks.")
}

macro_rules! from_pass {
    ($($caller:ty),+) => {$(
        impl FromRequest for $caller {
            type Error = Problem;
            type Future = Ready<Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(pass_of(request).and_then(Self::try_from))
            }
        }
    )+};
}
from_pass!(Visitor, Admitted);
