//! Owns the door between people and subjects: the books know subjects alone, clients know people.
//!
//! Requests are translated where the pass is read (`caller`), or by [`Customer`] for operators. Answers are translated here,
//! for all routes at once, also one that was stored and is given again.

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::{Data, Path};
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};
use chassis::problem::Problem;
use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use super::caller::Asker;
use crate::Booking;
use crate::subject::{self, Persons, Subjects};

/// Whom an operator means by the id in the path: a person, or a subject of whom nobody knows any more who it is.
#[derive(Debug, Clone, Copy)]
pub struct Customer {
    /// As the path says.
    pub named: Uuid,
    /// As the books know them.
    pub subject: Uuid,
}

impl FromRequest for Customer {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let named = Path::<Uuid>::from_request(request, payload);
        let app = request.app_data::<Data<Booking>>().cloned();
        let is_change = request.method() == Method::POST;
        Box::pin(async move {
            let app = app.ok_or_else(|| Problem::internal("the application has no state"))?;
            let named = named.await?.into_inner();
            let subject = if is_change {
                app.subjects.meant_to_change(named).await
            } else {
                app.subjects.meant(named).await
            };
            let subject = subject.map_err(Problem::from)?;
            Ok(Self { named, subject })
        })
    }
}

/// Whom a filter means.
pub async fn meant(subjects: &Subjects, id: Option<Uuid>) -> Result<Option<Uuid>, Problem> {
    match id {
        Some(id) => Ok(Some(subjects.meant(id).await?)),
        None => Ok(None),
    }
}

/// Middleware: an answer names people, not subjects.
pub async fn translate<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = next.call(request).await?.map_into_boxed_body();
    let (request, response) = answer.into_parts();
    let asker = request.extensions().get::<Asker>().copied();
    let is_operators = request.path().starts_with("/api/v1/admin/");
    let kind = response.headers().get(header::CONTENT_TYPE);
    // Lists that are the same for everybody come encoded; they name nobody.
    let is_plain = !response.headers().contains_key(header::CONTENT_ENCODING);
    let is_json = is_plain && kind.is_some_and(|kind| kind == "application/json");
    if !is_json || (asker.is_none() && !is_operators) {
        return Ok(ServiceResponse::new(request, response));
    }
    let (response, body) = response.into_parts();
    let body = to_bytes(body).await.map_err(Problem::internal)?;
    let text = String::from_utf8(body.to_vec()).map_err(Problem::internal)?;
    let persons = match asker {
        Some(Asker { person, subject }) => Persons::from([(subject, person)]),
        None => people(&request, &text).await?,
    };
    let text = subject::as_persons(&text, &persons);
    let response = response.set_body(BoxBody::new(text));
    Ok(ServiceResponse::new(request, response))
}

async fn people(request: &HttpRequest, text: &str) -> Result<Persons, Problem> {
    let named = subject::named(text);
    let Some(app) = request
        .app_data::<Data<Booking>>()
        .filter(|_| !named.is_empty())
    else {
        return Ok(Persons::new());
    };
    let look = move |conn: &mut _| subject::persons(conn, &named);
    Ok(app.db.read(look).await?)
}
