//! Owns who asks: what a handler demands of the pass, by the type of its first argument.
//!
//! [`Visitor`] is anybody with a token, in every state of the visit: own things are theirs before, in and after it.
//! [`Admitted`] is inside at this moment. So is [`Buyer`], whom the books know from this request on, whatever becomes of it;
//! and [`Taker`], whom they may not know before there are seats: of a thousand who want one, most leave no row. These two
//! are types of their own, so that a handler of the first need not ask. Who has an operator's key is in `operator`. A handler
//! without any of them is public. Handlers know people by the subject; the person stays here.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use chassis::problem::Problem;
use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::codes::{NOT_ADMITTED, PASS_INVALID, QUEUE_MISMATCH, VISITOR_ONLY, WALLET_NOT_FOUND};
use crate::Booking;
use crate::concert::QueueName;
use crate::pass::{HEADER, Level, Pass, VisitState};

/// Someone with a token.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Who, as the books know them.
    pub user_id: Uuid,
    /// Who, as the token says.
    person: Uuid,
    /// The queue in which they are inside at this moment.
    inside: Option<QueueName>,
}

/// Someone whose turn it is, and who only looks.
#[derive(Debug, Clone)]
pub struct Admitted {
    person: Uuid,
    /// The queue that let them in.
    pub queue: QueueName,
}

/// Someone whose turn it is, and who writes: in the books by now.
#[derive(Debug, Clone)]
pub struct Buyer {
    /// Who, as the books know them.
    pub user_id: Uuid,
    /// Who, as the token says.
    pub person: Uuid,
    /// The queue that let them in.
    pub queue: QueueName,
}

/// Someone whose turn it is, and who wants seats: in the books once there are some, and until then perhaps not.
#[derive(Debug, Clone)]
pub struct Taker {
    /// Who, as the books know them, or will.
    pub user_id: Uuid,
    /// Who, as the token says.
    pub person: Uuid,
    /// The books do not know them yet.
    pub is_new: bool,
    /// The queue that let them in.
    pub queue: QueueName,
}

impl Taker {
    /// The same, whom another request has made known meanwhile.
    pub async fn known(self, request: &HttpRequest) -> Result<Self, Problem> {
        Ok(Self {
            user_id: subject_of(request, self.person).await?,
            is_new: false,
            ..self
        })
    }
}

/// Left on a request, for answers that name who asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub person: Uuid,
    pub subject: Uuid,
}

impl Visitor {
    /// Whether this very visit is inside, and in this queue.
    pub fn is_inside(&self, queue: &str) -> bool {
        self.inside.as_ref().is_some_and(|it| it.as_str() == queue)
    }

    /// The subject, or a refusal in the words for what does not exist when it is another user's.
    pub fn must_be(&self, user_id: Uuid) -> Result<Uuid, Problem> {
        if self.person == user_id {
            return Ok(self.user_id);
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

/// Who asks, and the queue in which they are inside.
fn visitor(pass: Pass) -> Result<(Uuid, Option<QueueName>), Problem> {
    match pass.level {
        Level::Token | Level::Active => {
            let person = user_of(&pass)?;
            let inside = match pass.state {
                VisitState::Active => pass.queue.try_into().ok(),
                VisitState::Waiting | VisitState::Over => None,
            };
            Ok((person, inside))
        }
        Level::Operator => Err(VISITOR_ONLY.because("This is for visitors, not for operators.")),
    }
}

impl TryFrom<Pass> for Admitted {
    type Error = Problem;

    fn try_from(pass: Pass) -> Result<Self, Problem> {
        match (pass.level, pass.state) {
            (Level::Active, VisitState::Active) => Ok(Self {
                person: user_of(&pass)?,
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

fn app_of(request: &HttpRequest) -> Result<&Data<Booking>, Problem> {
    let app = request.app_data::<Data<Booking>>();
    app.ok_or_else(|| Problem::internal("the application has no state"))
}

pub(super) fn pass_of(request: &HttpRequest) -> Result<Pass, Problem> {
    let app = app_of(request)?;
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

/// Who asks, as the books know them. A visitor who changes something is known from then on.
async fn subject_of(request: &HttpRequest, person: Uuid) -> Result<Uuid, Problem> {
    let app = app_of(request)?;
    let subject = if request.method().is_safe() {
        app.subjects.of_reader(person).await?
    } else {
        app.subjects.of_writer(person).await?
    };
    request.extensions_mut().insert(Asker { person, subject });
    Ok(subject)
}

impl FromRequest for Admitted {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(pass_of(request).and_then(Self::try_from))
    }
}

/// Takes what is `given` by the pass, and then who that is in the books.
fn known<Given: 'static, Caller: 'static>(
    request: &HttpRequest,
    given: impl FnOnce(Pass) -> Result<(Uuid, Given), Problem> + 'static,
    caller: impl FnOnce(Uuid, Uuid, Given) -> Caller + 'static,
) -> LocalBoxFuture<'static, Result<Caller, Problem>> {
    let request = request.clone();
    Box::pin(async move {
        let (person, given) = given(pass_of(&request)?)?;
        let user_id = subject_of(&request, person).await?;
        Ok(caller(user_id, person, given))
    })
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        known(request, visitor, |user_id, person, inside| Self {
            user_id,
            person,
            inside,
        })
    }
}

impl FromRequest for Buyer {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admitted = |pass| Admitted::try_from(pass).map(|it| (it.person, it.queue));
        known(request, admitted, |user_id, person, queue| Self {
            user_id,
            person,
            queue,
        })
    }
}

impl FromRequest for Taker {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Admitted { person, queue } = pass_of(&request)?.try_into()?;
            let (subject, is_new) = app_of(&request)?.subjects.of_taker(person).await?;
            request.extensions_mut().insert(Asker { person, subject });
            Ok(Self {
                user_id: subject,
                person,
                is_new,
                queue,
            })
        })
    }
}
