//! Lists as CSV (RFC 4180), written while they are read: a list of any length costs the memory of one part.
//!
//! Every value is an id, a number, a word of ours or an instant, so none needs quotes and none is a formula. A list that
//! cannot be read to its end breaks off the answer, so that nobody takes a part for the whole.

use std::future::Future;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use chassis::problem::Problem;
use chassis::time::rfc3339;
use futures_util::future::LocalBoxFuture;
use futures_util::stream;

use crate::ledger::CURRENCY;
use crate::payment;
use crate::reservation::{self, After};

/// Rows that are read at once.
pub(super) const ROWS: u32 = 500;

/// A list as a file.
pub(super) struct File<T> {
    name: &'static str,
    head: &'static str,
    /// How a row is written.
    pub line: fn(&T) -> String,
}

pub(super) const RESERVATIONS: File<reservation::Reservation> = File {
    name: "reservations",
    head: "reservationId,userId,state,seatNumbers,amount,currency,createdAt,holdExpiresAt",
    line: reservation,
};
pub(super) const PAYMENTS: File<payment::Payment> = File {
    name: "payments",
    head: "paymentId,reservationId,userId,state,amount,refundedAmount,currency,createdAt",
    line: payment,
};
pub(super) const BUYERS: File<reservation::Buyer> = File {
    name: "buyers",
    head: "userId,seatsBought,seatsHeld,amount,currency",
    line: buyer,
};

/// Lines, and where the next part begins; none after the last line.
pub(super) type Part = (Vec<String>, Option<After>);

/// A part that is still to be read.
pub(super) fn part(
    read: impl Future<Output = Result<Part, Problem>> + 'static,
) -> LocalBoxFuture<'static, Result<Part, Problem>> {
    Box::pin(read)
}

/// The list as a file: its head, then part by part.
pub(super) fn answer<T>(
    File { name, head, .. }: File<T>,
    next: impl Fn(After) -> LocalBoxFuture<'static, Result<Part, Problem>> + 'static,
) -> HttpResponse {
    let begin = (Some(After::default()), format!("{head}\r\n"), next);
    let parts = stream::try_unfold(begin, async |(after, mut text, next)| {
        let Some(after) = after else {
            return Ok(None);
        };
        let (lines, last) = next(after)
            .await
            .map_err(|cause| std::io::Error::other(cause.code()))?;
        let last = last.filter(|_| lines.len() == ROWS as usize);
        for line in lines {
            text.push_str(&line);
            text.push_str("\r\n");
        }
        if text.is_empty() {
            return Ok(None);
        }
        Ok::<_, std::io::Error>(Some((Bytes::from(text), (last, String::new(), next))))
    });
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.csv\""),
        ))
        .streaming(parts)
}

fn reservation(it: &reservation::Reservation) -> String {
    let numbers = it.seat_numbers();
    let seats = numbers.iter().map(ToString::to_string);
    let seats = seats.collect::<Vec<_>>().join(" ");
    format!(
        "{},{},{},{seats},{},{CURRENCY},{},{}",
        it.id,
        it.user_id,
        it.state.as_str(),
        it.amount,
        rfc3339(it.created_at),
        rfc3339(it.hold_expires_at),
    )
}

fn payment(it: &payment::Payment) -> String {
    format!(
        "{},{},{},{},{},{},{CURRENCY},{}",
        it.id,
        it.reservation_id,
        it.user_id,
        it.state.as_str(),
        it.amount,
        it.refunded_amount,
        rfc3339(it.created_at),
    )
}

fn buyer(it: &reservation::Buyer) -> String {
    format!(
        "{},{},{},{},{CURRENCY}",
        it.user_id.0, it.seats_bought, it.seats_held, it.amount
    )
}
