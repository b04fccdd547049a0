//! Owns who operates: an operator's key with the right that a handler demands by the type of its first argument.
//!
//! `Operator<right::Money>` can only be had with that right, so no handler can forget to ask. An operator without it is told
//! which right it is, and the refusal is written into the audit log before it is answered.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};
use chassis::problem::Problem;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::caller::pass_of;
use super::codes::{OPERATOR_ONLY, RIGHT_MISSING};
use crate::Booking;
use crate::audit::{self, Action, Actor, Change, Entity};
use crate::db::Tx;
use crate::pass::{Level, Pass, Right};

/// Someone with an operator's key that has the right `R`.
#[derive(Debug, Clone)]
pub struct Operator<R> {
    /// The name of the key, such as `operator:demo`.
    pub name: String,
    right: PhantomData<R>,
}

/// The rights, each a type of its own.
pub mod right {
    use crate::pass::Right;

    /// One of the rights.
    pub trait Needed: 'static {
        /// Which one.
        const RIGHT: Right;
    }

    macro_rules! rights {
        ($($name:ident),+) => {$(
            #[doc = concat!("[`Right::", stringify!($name), "`].")]
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Needed for $name {
                const RIGHT: Right = Right::$name;
            }
        )+};
    }
    rights!(Read, Sale, Desk, Money);
}

impl<R> Operator<R> {
    /// Stands for the key where a user's id is wanted: keys of different operators never meet those of each other.
    pub fn id(&self) -> Uuid {
        let hash = Sha256::digest(format!("operator:{}", self.name));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl<R: right::Needed> FromRequest for Operator<R> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(pass_of(request).and_then(|pass| allowed(request, pass, R::RIGHT)))
    }
}

fn allowed<R>(request: &HttpRequest, pass: Pass, right: Right) -> Result<Operator<R>, Problem> {
    match pass.level {
        Level::Operator => {}
        Level::Token | Level::Active => {
            return Err(OPERATOR_ONLY.because("This is for operators."));
        }
    }
    if pass.has(right) {
        return Ok(Operator {
            name: pass.sub,
            right: PhantomData,
        });
    }
    let name = pass.sub;
    request.extensions_mut().insert(Refused { name, right });
    let detail = format!("This key lacks the right `{}`.", right.as_str());
    Err(RIGHT_MISSING.because(detail).with("right", right.as_str()))
}

/// Left on a request that was refused, for [`record_refusals`].
#[derive(Clone)]
struct Refused {
    name: String,
    right: Right,
}

/// Middleware: a refusal is in the audit log before it is answered. It stands around all routes, so none can forget it.
pub async fn record_refusals<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let answer = next.call(request).await?;
    let request = answer.request();
    let refused = request.extensions().get::<Refused>().cloned();
    if let (Some(Refused { name, right }), Some(app)) =
        (refused, request.app_data::<Data<Booking>>())
    {
        let (method, path) = (request.method().to_string(), path_of(request));
        let now = app.clock.now();
        let record = move |tx: &mut Tx| {
            let change = Change {
                entity: Entity::Route,
                entity_id: Uuid::nil(),
                action: Action::Refused,
                actor: Actor::Operator(&name),
                detail: json!({ "method": method, "path": path, "right": right.as_str() }),
            };
            audit::record(tx, &[change], now)
        };
        app.db.transaction(record).await.map_err(Problem::from)?;
    }
    Ok(answer)
}

/// The path, for the log that nothing is ever removed from: without the id of a person, who may be forgotten.
fn path_of(request: &HttpRequest) -> String {
    let pattern = request.match_pattern();
    let pattern = pattern.filter(|pattern| pattern.contains("{userId}"));
    pattern.unwrap_or_else(|| request.path().to_owned())
}
