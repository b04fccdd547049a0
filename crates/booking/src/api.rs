//! Every route of this service, and its OpenAPI document.

mod admin;
mod answer;
mod caller;
mod codes;
mod concerts;
mod document;
mod edition;
mod encoded;
mod errors;
mod lists;
mod operator;
mod outbox;
mod paging;
mod payments;
mod programme;

mod repeat;
mod reservations;
mod seat_feed;
mod seating;
mod wallets;

use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, scope};
use chassis::routes::at;
use utoipa::OpenApi;

use document::Refusals;
pub use lists::Lists;
pub use seat_feed::SeatFeed;

/// The whole service on one screen. Who may ask is the first argument of each handler. What is written here is told
/// to other systems at once.
#[rustfmt::skip]
pub fn routes(app: &mut ServiceConfig) {
    app.service(scope("").wrap(from_fn(outbox::notify)).wrap(from_fn(operator::record_refusals))
        .service(at("/api/v1/concerts").get(concerts::list).done())
        .service(at("/api/v1/concerts/{concertId}").get(concerts::show).done())
        .service(at("/api/v1/concerts/{concertId}/schedules").get(concerts::schedules).done())
        .service(at("/api/v1/schedules/{scheduleId}/seats").get(concerts::seats).done())
        .service(at("/api/v1/schedules/{scheduleId}/seats/events").get(seat_feed::watch).done())
        .service(at("/api/v1/reservations").post(reservations::reserve).get(reservations::list).done())
        .service(at("/api/v1/reservations/{reservationId}").get(reservations::show).delete(reservations::cancel).done())
        .service(at("/api/v1/payments").post(payments::pay).done())
        .service(at("/api/v1/payments/{paymentId}").get(payments::show).done())
        .service(at("/api/v1/payments/{paymentId}/refunds").post(payments::refund).done())
        .service(at("/api/v1/users/{userId}/balance").get(wallets::balance).done())
        .service(at("/api/v1/users/{userId}/balance/charges").post(wallets::charge).done())
        .service(at("/api/v1/users/{userId}/ledger").get(wallets::ledger).done())
        .service(at("/api/v1/admin/concerts").post(admin::create_concert).get(programme::concerts).done())
        .service(at("/api/v1/admin/concerts/{concertId}").get(programme::concert).patch(programme::edit_concert).delete(programme::remove_concert).done())
        .service(at("/api/v1/admin/concerts/{concertId}/schedules").post(admin::add_schedule).get(programme::dates).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}").get(programme::date).patch(programme::edit_date).delete(programme::remove_date).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/closing").post(programme::close).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats").get(seating::list).post(seating::add).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats/blocks").post(seating::block).done())
        .service(at("/api/v1/admin/schedules/{scheduleId}/seats/releases").post(seating::release).done())
        .service(at("/api/v1/admin/reconciliation").get(admin::reconcile).done())
        .service(at("/api/v1/admin/outbox").get(outbox::show).done())
        .service(at("/api/v1/admin/outbox/redeliveries").post(outbox::redeliver_all).done())
        .service(at("/api/v1/admin/outbox/resumptions").post(outbox::resume).done())
        .service(at("/api/v1/admin/outbox/{eventId}/redeliveries").post(outbox::redeliver).done()));
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
        reservations::reserve, reservations::list, reservations::show, reservations::cancel,
        payments::pay, payments::show, payments::refund,
        wallets::charge, wallets::balance, wallets::ledger,
        admin::create_concert, admin::add_schedule, admin::reconcile,
        programme::concerts, programme::concert, programme::edit_concert, programme::remove_concert,
        programme::dates, programme::date, programme::edit_date, programme::remove_date, programme::close,
        seating::list, seating::add, seating::block, seating::release,
        outbox::show, outbox::redeliver, outbox::redeliver_all, outbox::resume,
    ),
    components(schemas(document::BookingProblem, seat_feed::SeatsEvent)),
    tags(
        (name = "concerts", description = "What is for sale."),
        (name = "reservations", description = "Seats that are held for a while."),
        (name = "payments", description = "Money against seats, and the way back."),
        (name = "wallets", description = "The visitor's own money."),
        (name = "admin", description = "Put concerts on sale; see whether the books agree and events are delivered."),
    ),
    modifiers(&Refusals)
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
