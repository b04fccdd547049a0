//! Owns level `operator`: whose key was shown, and how often a wrong one may be.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use chassis::problem::Problem;

use super::Proven;
use crate::Gateway;
use crate::codes;
use crate::credential;
use crate::operator::{self, Right};
use crate::proxy;
use crate::queue::QueueId;
use crate::token::{Holder, Level};

/// The operator who asks; a handler that takes it is for operators alone.
pub struct Operator(operator::Operator);

impl Operator {
    /// The operator's name, if the key is good for this at this queue. A refusal is told in the log and in
    /// the queue's record, by name.
    pub async fn with(
        &self,
        right: Right,
        app: &Gateway,
        queue: &QueueId,
    ) -> Result<&str, Problem> {
        let name = self.0.name.as_str();
        if let Err(refusal) = self.0.allowed(right) {
            log::warn!("operator {name} was refused at {queue}: {refusal}: {right:?}");
            // Refused it is all the same.
            if let Err(cause) = app.queues.refuse(queue, name, right.as_str()).await {
                log::warn!("the refusal of {name} at {queue} is not recorded: {cause}");
            }
            return Err(refusal.into());
        }
        Ok(name)
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<Gateway>>();
        ready(match app {
            Some(app) => operator(app, request).map(|operator| Self(operator.clone())),
            None => Err(Problem::internal("the application has no state")),
        })
    }
}

/// The operator whose key was shown. A source that showed many wrong ones is not listened to for a
/// while, right or wrong, so nobody finds a key by trying.
fn operator<'a>(
    app: &'a Gateway,
    request: &HttpRequest,
) -> Result<&'a operator::Operator, Problem> {
    let Some(key) = credential::bearer(request) else {
        return Err(no_operator_key());
    };
    let (source, now) = (proxy::source(request, app.trusted_hops), app.clock.now());
    if let Some(source) = source {
        app.limits.wrong_keys.check(&source, now)?;
    }
    if let Some(operator) = app.operators.find(key) {
        return Ok(operator);
    }
    app.trust_metrics.wrong_keys.inc();
    log::warn!("a wrong operator key came from {source:?}");
    if let Some(source) = source {
        app.limits.wrong_keys.take(source, now)?;
    }
    Err(no_operator_key())
}

fn no_operator_key() -> Problem {
    codes::OPERATOR_KEY_INVALID
        .because("This route needs an operator's key as Authorization: Bearer.")
}

pub(super) fn operator_passes(app: &Gateway, request: &HttpRequest) -> Result<Proven, Problem> {
    let operator = operator(app, request)?;
    Ok(Proven {
        pass: Some(app.pass(Holder {
            sub: format!("operator:{}", operator.name),
            queue: String::new(),
            level: Level::Operator,
            state: None,
            rights: operator.rights.clone(),
            visit: None,
        })),
        life: None,
        by_bearer: true,
        visit: None,
    })
}
