//! Every route of this service, and its OpenAPI document.

mod admin;
mod audit;
mod caller;
mod cancellation;
mod codes;
mod concerts;
mod customer;
mod dates;
mod desk;
mod document;
mod edition;
mod encoded;
mod errors;
mod integrity;
mod lists;
mod no_body;
mod operator;
mod outbox;
mod paging;
mod parameters;
mod payments;
mod people;
mod person;
mod programme;
mod provider;

mod remaining;
mod repeat;
mod reservations;
mod seat_feed;
mod seating;
mod waitlist;
mod wallets;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{ServiceConfig, scope};
use chassis::answer;
use chassis::routes::at;
use utoipa::OpenApi;

use crate::patience;
use document::Complete;
pub use lists::Lists;
pub use remaining::Remaining;
pub use seat_feed::SeatFeed;

/// The whole service on one screen. Who may ask is the first argument of each handler. What is written here is told
/// to other systems at once.
#[rustfmt::skip]
pub fn routes(app: &mut ServiceConfig) {
    app.service(scope("").wrap(from_fn(people::translate)).wrap(from_fn(outbox::notify)).wrap(from_fn(operator::record_refusals)).wrap(from_fn(parameters::check))
        .service(at("/api/v1/concerts").get(concerts::list).done())
        .service(at("/api/v1/concerts/{concertId}").get(concerts::show).done())
        .service(at("/api/v1/concerts/{concertId}/schedules").get(concerts::schedules).done())
        .service(at("/api/v1/schedules/{scheduleId}/seats").get(concerts::seats).done())
        .service(at("/api/v1/schedules/{scheduleId}/seats/events").get(seat_feed::watch).done())
        .service(at("/api/v1/schedules/{scheduleId}/waitlist").post(waitlist::join).done())
        .service(at("/api/v1/reservations").post(reservations::reserve).get(reservations::list).done())
        .service(at("/api/v1/reservations/{reservationId}").get(reservations::show).delete(reservations::cancel).done())
        .service(at("/api/v1/reservations/{reservationId}/extensions").post(reservations::extend).done())
        .service(at("/api/v1/payments").post(payments::pay).done())
        .service(at("/api/v1/payments/{paymentId}").get(payments::show).done())
        .service(at("/api/v1/payments/{paymentId}/refunds").post(payments::refund).done())
        .service(at("/api/v1/users/{userId}/balance").get(wallets::balance).done())
        .service(at("/api/v1/users/{userId}/balance/charges").post(wallets::charge).done())
        .service(at("/api/v1/users/{userId}/balance/charges/{chargeId}").get(provider::show_charge).done())
        .service(at("/api/v1/users/{userId}/ledger").get(wallets::ledger).done())
        .service(at("/api/v1/users/{userId}/waitlist").get(waitlist::list).done())
        .service(at("/api/v1/users/{userId}/waitlist/{entryId}").delete(waitlist::leave).done())
        .service(at("/api/v1/provider/events").post(provider::events).done())
        .service(at("/api/v1/admin/concerts").post(admin::create_concert).get(programme::concerts).done())
        .service(at("/api/v1/admin/concerts/{concertId}").get(programme::concert).patch(programme::edit_concert).delete(programme::remove_concert).done())
        .service(at("/api/v1/admin/concerts/{concertId}/schedules").post(admin::add_schedule).get(programme::dates).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}").get(programme::date).patch(programme::edit_date).delete(programme::remove_date).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/closing").post(programme::close).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/cancellation").post(cancellation::cancel).get(cancellation::show).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats").get(seating::list).post(seating::add).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats/blocks").post(seating::block).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats/releases").post(seating::release).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/reservations").get(desk::reservations).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/payments").get(desk::payments).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/buyers").get(desk::buyers).done())
        .service(at("/api/v1/admin/users/{userId}").get(person::export).delete(person::forget).done())
        .service(at("/api/v1/admin/users/{userId}/balance").get(customer::balance).done())
        .service(at("/api/v1/admin/users/{userId}/ledger").get(customer::ledger).done())
        .service(at("/api/v1/admin/users/{userId}/reservations").get(customer::reservations).done())
        .service(at("/api/v1/admin/users/{userId}/credits").post(customer::credit).done())
        .service(at("/api/v1/admin/users/{userId}/corrections").post(customer::correct).done())
        .service(at("/api/v1/admin/payments/{paymentId}/refunds").post(customer::refund).done())
        .service(at("/api/v1/admin/audit").get(audit::list).done())
        .service(at("/api/v1/integrity").get(integrity::head).done())
        .service(at("/api/v1/admin/integrity").get(integrity::verify).done())
        .service(at("/api/v1/admin/reconciliation").get(admin::reconcile).done())
        .service(at("/api/v1/admin/outbox").get(outbox::show).done())
        .service(at("/api/v1/admin/outbox/redeliveries").post(outbox::redeliver_all).done())
        .service(at("/api/v1/admin/outbox/resumptions").post(outbox::resume).done())
        .service(at("/api/v1/admin/outbox/{eventId}/redeliveries").post(outbox::redeliver).done()));
}

/// Gives each request its patience: what it waits for on the way to its answer, it waits for no longer than that in all.
pub async fn answer_in_time(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    patience::within(patience::OF_A_REQUEST, next.call(request)).await
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Usher booking",
        description = "Concerts, seats, holds, wallets and payments. It stands behind the waiting room: \
            clients reach it through the gateway. Times are RFC 3339 in UTC; money is a whole number of \
            minor units beside its currency. Errors are RFC 9457 problems; their `code` is the same everywhere.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "The gateway.")),
    paths(
        concerts::list, concerts::show, concerts::schedules, concerts::seats, seat_feed::watch,
        reservations::reserve, reservations::list, reservations::show, reservations::cancel, reservations::extend,
        payments::pay, payments::show, payments::refund,
        wallets::charge, wallets::balance, wallets::ledger,
        admin::create_concert, admin::add_schedule, admin::reconcile, audit::list, integrity::head, integrity::verify,
        programme::concerts, programme::concert, programme::edit_concert, programme::remove_concert,
        programme::dates, programme::date, programme::edit_date, programme::remove_date, programme::close,
        seating::list, seating::add, seating::block, seating::release,
        cancellation::cancel, cancellation::show,
        desk::reservations, desk::payments, desk::buyers,
        person::export, person::forget, customer::balance, customer::ledger, customer::reservations, customer::credit, customer::correct, customer::refund,
        provider::events, provider::show_charge, waitlist::join, waitlist::list, waitlist::leave,
        outbox::show, outbox::redeliver, outbox::redeliver_all, outbox::resume,
    ),
    components(schemas(document::BookingProblem, seat_feed::SeatsEvent, provider::PendingPayment)),
    tags(
        (name = "concerts", description = "What is for sale."),
        (name = "reservations", description = "Seats that are held for a while."),
        (name = "payments", description = "Money against seats, and the way back."),
        (name = "wallets", description = "The visitor's own money."),
        (name = "waitlist", description = "Who waits for seats to come back."),
        (name = "provider", description = "What the payment provider says."),
        (name = "desk", description = "Who has what, and what operators do for customers."),
        (name = "admin", description = "Put concerts on sale; see whether the books agree and events are delivered."),
    ),
    modifiers(&Complete)
)]
struct Document;

/// The OpenAPI document as indented JSON with a newline at its end.
///
/// # Panics
/// When the document is not JSON: that is a mistake in the program.
pub fn openapi() -> String {
    let mut text = Document::openapi()
        .to_pretty_json()
        .expect("a document is JSON");
    text.push('\n');
    text
}
