//! Owns the codes of every problem that this service answers: one line each, with its status.
//!
//! A code means the same everywhere, and the OpenAPI document takes its words from here.

chassis::codes! {
    BODY_MALFORMED = 400, "The body is not JSON.";
    PATH_INVALID = 400, "An id in the path is not a UUID.";
    QUERY_INVALID = 400, "A query parameter does not parse.";
    IDEMPOTENCY_KEY_MISSING = 400, "The header Idempotency-Key is required.";
    IDEMPOTENCY_KEY_INVALID = 400, "Idempotency-Key is 1 to 255 visible ASCII characters, sent once.";
    SIGNATURE_INVALID = 401, "The event is not signed by the payment provider, or was not just now.";
    PASS_INVALID = 401, "No pass of the gateway, or one that is forged or has ended.";
    NOT_ADMITTED = 403, "Still in the line; it is not your turn yet.";
    QUEUE_MISMATCH = 403, "Admitted to the queue of another concert.";
    VISITOR_ONLY = 403, "An operator is not a visitor.";
    OPERATOR_ONLY = 403, "Only an operator may do this.";
    RIGHT_MISSING = 403, "The operator's key lacks the right that `right` names.";
    PERSON_HAS_CLAIMS = 409, "Something is still theirs: `claims` names it.";
    HEAD_NOT_FOUND = 404, "The day is not over yet.";
    CONCERT_NOT_FOUND = 404, "There is no such concert.";
    SCHEDULE_NOT_FOUND = 404, "There is no such schedule.";
    RESERVATION_NOT_FOUND = 404, "There is no such reservation, or it is not yours.";
    PAYMENT_NOT_FOUND = 404, "There is no such payment, or it is not yours.";
    CANCELLATION_NOT_FOUND = 404, "The date is not cancelled.";
    CHARGE_NOT_FOUND = 404, "There is no such charge or order, or it is not yours.";
    ENTRY_NOT_FOUND = 404, "There is no such entry of a waiting list, or it is not yours.";
    WALLET_NOT_FOUND = 404, "The user in the path is not the one who asks.";
    EVENT_NOT_FOUND = 404, "There is no such event, or no longer.";
    SEAT_TAKEN = 409, "A seat is taken; `conflicts` names each with the reason.";
    SOLD_OUT = 409, "Fewer seats are free than were asked for; `available` says how many.";
    TOO_MANY_HOLDS = 409, "Too many holds of this schedule in a row were not paid.";
    SALES_CLOSED = 409, "Sales of this schedule have not begun or are over; `salesOpenAt` and `salesCloseAt` say when.";
    RESERVATION_CANCELLED = 409, "The reservation was given back.";
    ALREADY_PAID = 409, "The reservation is paid, or was paid and refunded; `paymentId` names the payment.";
    ALREADY_REFUNDED = 409, "The money was given back before.";
    REFUND_TOO_LATE = 409, "By the rules of the schedule it is too late for a refund.";
    REFUND_TOO_LARGE = 409, "More than can be given back now; `refundable` says how much can be.";
    ALREADY_EXTENDED = 409, "The hold was extended before; once is all.";
    EXTENSION_REFUSED = 409, "The hold cannot be extended: too few seats are free for others, or it would end no later.";
    SHOW_STARTED = 409, "The show has started, so seats are no longer given back.";
    BALANCE_SHORT = 409, "The wallet has too little; `missing` says how much.";
    EVENT_NOT_DEAD = 409, "The event was not given up: it waits, or is delivered.";
    SEATS_EXIST = 409, "The date has seats with some of these numbers already; `seatNumbers` names them.";
    SEATS_SOLD = 409, "Somebody has bought or holds seats of the date, so it cannot be removed; it can be cancelled.";
    DATES_LEFT = 409, "The concert still has dates; remove them first.";
    SEATS_AVAILABLE = 409, "Enough seats are free, so there is nothing to wait for.";
    WAITLIST_FIRST = 409, "Seats came back, and those in the waiting list come first; join it.";
    PAYMENT_IN_PROGRESS = 409, "Another payment for the reservation is on its way; wait for it.";
    SCHEDULE_CANCELLED = 409, "The date was cancelled.";
    IDEMPOTENCY_IN_PROGRESS = 409, "The first request with this key still runs; try again soon.", again after 1;
    HOLD_EXPIRED = 410, "The hold is over; the seats are free for others.";
    PRECONDITION_FAILED = 412, "It was changed since you read it: `If-Match` names another version.";
    BODY_TOO_LARGE = 413, "The body has more than 64 KiB.";
    CONTENT_TYPE_UNSUPPORTED = 415, "The body is not application/json.";
    QUERY_UNKNOWN = 422, "A query parameter that this route does not have.";
    BODY_INVALID = 422, "The body is JSON but not acceptable: a field is unknown, missing or of the wrong kind.";
    PROVIDER_UNKNOWN = 422, "There is no payment provider here; pay from the wallet.";
    SEAT_UNKNOWN = 422, "The schedule has no seat of this number.";
    GRADE_UNKNOWN = 422, "The schedule has no seats of this grade.";
    SEATS_INVALID = 422, "No seats, or one named twice.";
    TOO_MANY_SEATS = 422, "More seats than one visitor may have in a schedule.";
    SALES_INVALID = 422, "Sales open before they close, and close when the show starts at the latest.";
    SECTIONS_INVALID = 422, "Sections have numbers from 1 up, are not empty and do not overlap.";
    AMOUNT_INVALID = 422, "The amount is not a whole number of minor units in the allowed range.";
    BALANCE_LIMIT = 422, "The wallet would hold more than it may.";
    IDEMPOTENCY_KEY_REUSED = 422, "The key was used for a request with another body.";
    INTERNAL = 500, "Something went wrong on our side.";
    STREAMS_FULL = 503, "This instance has as many streams as it may have; ask for the list instead.";
    DATABASE_BUSY = 503, "Too much at once, or the database does not answer; try again after Retry-After.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn every_code_has_one_line_and_an_error_status() {
        let names: BTreeSet<_> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|code| (400..600).contains(&code.status)));
    }
}
