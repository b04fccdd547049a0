//! The desk: who has what of a date, and what a customer has; lists by page, and whole as CSV.

mod csv;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answer;
use super::codes::QUERY_INVALID;
use super::operator::{Operator, right};
use super::payments::Payment;
use super::people;
use super::reservations::Reservation;
use crate::Booking;
use crate::db::{Conn, DbError};
use crate::ledger::CURRENCY;
use crate::payment::{self, PaymentState};
use crate::programme::{self, ProgrammeError};
use crate::reservation::{self, After, Filter, ReservationState};
use crate::subject::{self, Persons};

/// Which reservations, and in which form.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct ReservationFilter {
    /// Only those in this state at this moment.
    #[param(inline)]
    state: Option<ReservationWord>,
    /// Only those of this customer.
    user_id: Option<Uuid>,
    /// `csv` gives all of them at once as a file.
    #[param(inline)]
    format: Option<Format>,
}

/// The states of a reservation.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReservationWord {
    /// Kept for a while.
    Held,
    /// Paid.
    Confirmed,
    /// Given back unpaid.
    Cancelled,
    /// Over unpaid.
    Expired,
    /// Paid, and given back.
    Refunded,
}

/// How a list is answered.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// By page.
    Json,
    /// Whole, line by line.
    Csv,
}

impl ReservationFilter {
    fn filter(&self, user_id: Option<Uuid>) -> Filter {
        let state = self.state.map(|word| match word {
            ReservationWord::Held => ReservationState::Held,
            ReservationWord::Confirmed => ReservationState::Confirmed,
            ReservationWord::Cancelled => ReservationState::Cancelled,
            ReservationWord::Expired => ReservationState::Expired,
            ReservationWord::Refunded => ReservationState::Refunded,
        });
        Filter { state, user_id }
    }
}

/// Lists the reservations of a date, customer by customer.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}/reservations", operation_id = "listReservationsOf",
    tag = "desk", params(("scheduleId" = Uuid, Path), PageQuery, ReservationFilter),
    responses((status = 200, description = "A page of reservations, or with `format=csv` all of them as `text/csv`.",
        content((Page<Reservation> = "application/json"), (String = "text/csv")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn reservations(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    id: Path<Uuid>,
    page: Query<PageQuery>,
    wanted: Query<ReservationFilter>,
) -> Result<HttpResponse, Problem> {
    let user_id = people::meant(&app.subjects, wanted.user_id).await?;
    let (id, filter, now) = (*id, wanted.filter(user_id), app.clock.now());
    let list = List {
        read: move |conn: &mut Conn, after, limit| {
            reservation::of_date(conn, id, filter, after, limit, now)
        },
        at: after_reservation,
        file: csv::RESERVATIONS,
        show: |it| Reservation::at(now, it),
    };
    list.answer(app, id, &page, wanted.format).await
}

/// Which payments, and in which form.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFilter {
    /// Only those in this state.
    #[param(inline)]
    state: Option<PaymentWord>,
    /// Only those of this customer.
    user_id: Option<Uuid>,
    /// `csv` gives all of them at once as a file.
    #[param(inline)]
    format: Option<Format>,
}

/// The states of a payment.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentWord {
    /// All of the money is with the house.
    Captured,
    /// Some of it is back.
    PartiallyRefunded,
    /// All of it is back.
    Refunded,
}

impl From<PaymentWord> for PaymentState {
    fn from(word: PaymentWord) -> Self {
        match word {
            PaymentWord::Captured => Self::Captured,
            PaymentWord::PartiallyRefunded => Self::PartiallyRefunded,
            PaymentWord::Refunded => Self::Refunded,
        }
    }
}

/// Lists the payments of a date, customer by customer.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}/payments", operation_id = "listPaymentsOf",
    tag = "desk", params(("scheduleId" = Uuid, Path), PageQuery, PaymentFilter),
    responses((status = 200, description = "A page of payments, or with `format=csv` all of them as `text/csv`.",
        content((Page<Payment> = "application/json"), (String = "text/csv")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn payments(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    id: Path<Uuid>,
    page: Query<PageQuery>,
    wanted: Query<PaymentFilter>,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = (*id, people::meant(&app.subjects, wanted.user_id).await?);
    let state = wanted.state.map(PaymentState::from);
    let list = List {
        read: move |conn: &mut Conn, after, limit| {
            payment::of_date(conn, id, state, user_id, after, limit)
        },
        at: after_payment,
        file: csv::PAYMENTS,
        show: Payment::from,
    };
    list.answer(app, id, &page, wanted.format).await
}

/// Somebody who has seats of a date.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Buyer {
    user_id: Uuid,
    /// Paid.
    #[schema(minimum = 0, example = 2)]
    seats_bought: i64,
    /// Held and not paid yet.
    #[schema(minimum = 0, example = 0)]
    seats_held: i64,
    /// What the paid seats cost, in minor units.
    #[schema(minimum = 0, example = 300_000)]
    amount: i64,
    #[schema(example = "KRW")]
    currency: &'static str,
}

impl From<reservation::Buyer> for Buyer {
    fn from(buyer: reservation::Buyer) -> Self {
        Self {
            user_id: buyer.user_id.0,
            seats_bought: buyer.seats_bought,
            seats_held: buyer.seats_held,
            amount: buyer.amount,
            currency: CURRENCY,
        }
    }
}

/// Which buyers, and in which form.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct BuyerFilter {
    /// Only this customer.
    user_id: Option<Uuid>,
    /// `csv` gives all of them at once as a file.
    #[param(inline)]
    format: Option<Format>,
}

/// Lists who has bought seats of a date or holds some.
#[utoipa::path(get, path = "/api/v1/admin/schedules/{scheduleId}/buyers", operation_id = "listBuyers", tag = "desk",
    params(("scheduleId" = Uuid, Path), PageQuery, BuyerFilter),
    responses((status = 200, description = "A page of buyers, or with `format=csv` all of them as `text/csv`.",
        content((Page<Buyer> = "application/json"), (String = "text/csv")))),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["SCHEDULE_NOT_FOUND"]))))]
pub async fn buyers(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    id: Path<Uuid>,
    page: Query<PageQuery>,
    wanted: Query<BuyerFilter>,
) -> Result<HttpResponse, Problem> {
    let user_id = people::meant(&app.subjects, wanted.user_id).await?;
    let (id, now) = (*id, app.clock.now());
    let list = List {
        read: move |conn: &mut Conn, after: After, limit| {
            reservation::buyers_of(conn, (id, user_id), after.user_id, limit, now)
        },
        at: after_buyer,
        file: csv::BUYERS,
        show: Buyer::from,
    };
    list.answer(app, id, &page, wanted.format).await
}

/// A list of a date: how rows behind a place are read, where each of them is, and how it is told.
struct List<T, R, S> {
    read: R,
    at: fn(&T) -> After,
    file: csv::File<T>,
    show: S,
}

impl<T, R, D, S> List<T, R, S>
where
    T: Send + 'static,
    R: Fn(&mut Conn, After, u32) -> Result<Vec<T>, DbError> + Clone + Send + Sync + 'static,
    D: Serialize,
    S: Fn(T) -> D,
{
    /// A page, or all of it as a file; refuses the lists of a date that there is not.
    async fn answer(
        self,
        app: Data<Booking>,
        id: Uuid,
        page: &PageQuery,
        format: Option<Format>,
    ) -> Result<HttpResponse, Problem> {
        let look = move |conn: &mut _| programme::date(conn, id);
        app.db.read::<_, ProgrammeError, _>(look).await?;
        let (read, at, line) = (self.read, self.at, self.file.line);
        if let Some(Format::Csv) = format {
            let next = move |after| {
                let (db, read) = (app.db.clone(), read.clone());
                csv::part(async move {
                    let look = move |conn: &mut _| read(conn, after, csv::ROWS);
                    let found = db.read::<_, DbError, _>(look).await?;
                    let of: Vec<Uuid> = found.iter().map(|it| at(it).user_id).collect();
                    let look = move |conn: &mut _| subject::persons(conn, &of);
                    let persons = db.read::<_, DbError, _>(look).await?;
                    let line = |it| with_person(line(it), at(it).user_id, &persons);
                    Ok((found.iter().map(line).collect(), found.last().map(at)))
                })
            };
            return Ok(csv::answer(self.file, next));
        }
        let (after, limit) = (after_of(page)?, page.limit() + 1);
        let look = move |conn: &mut _| read(conn, after, limit);
        let found = app.db.read::<_, DbError, _>(look).await?;
        let Page { items, next_cursor } = Page::cut(found, page.limit(), |it| cursor(at(it)));
        Ok(answer::own(&Page {
            items: items.into_iter().map(self.show).collect(),
            next_cursor,
        }))
    }
}

/// The line names the person, as an answer in JSON does.
fn with_person(line: String, subject: Uuid, persons: &Persons) -> String {
    let person = subject::who(subject, persons);
    line.replace(&subject.to_string(), &person.to_string())
}

fn after_reservation(reservation: &reservation::Reservation) -> After {
    After {
        user_id: reservation.user_id,
        reservation_id: reservation.id,
    }
}

fn after_payment(payment: &payment::Payment) -> After {
    After {
        user_id: payment.user_id,
        reservation_id: payment.reservation_id,
    }
}

fn after_buyer(buyer: &reservation::Buyer) -> After {
    After {
        user_id: buyer.user_id.0,
        reservation_id: Uuid::max(),
    }
}

/// Where a page ends: the last customer on it, and which of their reservations.
fn cursor(after: After) -> String {
    let both = [*after.user_id.as_bytes(), *after.reservation_id.as_bytes()].concat();
    URL_SAFE_NO_PAD.encode(both)
}

fn after_of(page: &PageQuery) -> Result<After, Problem> {
    let Some(cursor) = &page.cursor else {
        return Ok(After::default());
    };
    let unknown = || QUERY_INVALID.because("The cursor is not one that this list has answered.");
    let both = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
    let (user_id, reservation_id) = both.split_at_checked(16).ok_or_else(unknown)?;
    Ok(After {
        user_id: Uuid::from_slice(user_id).map_err(|_| unknown())?,
        reservation_id: Uuid::from_slice(reservation_id).map_err(|_| unknown())?,
    })
}
