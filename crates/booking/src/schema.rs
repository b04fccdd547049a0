//! The tables as Diesel prints them. Changed together with `migrations/`; nothing else belongs here.

diesel::table! {
    audit_log (seq) {
        seq -> Bigint,
        #[max_length = 16]
        entity -> Varchar,
        #[max_length = 16]
        entity_id -> Binary,
        #[max_length = 32]
        action -> Varchar,
        #[max_length = 16]
        actor -> Varchar,
        #[max_length = 16]
        actor_id -> Nullable<Binary>,
        #[max_length = 128]
        actor_name -> Nullable<Varchar>,
        at -> Datetime,
        detail -> Mediumtext,
        seal -> Nullable<Unsigned<Bigint>>,
    }
}

diesel::table! {
    buyers (schedule_id, user_id) {
        #[max_length = 16]
        schedule_id -> Binary,
        #[max_length = 16]
        user_id -> Binary,
        last_seen_at -> Datetime,
    }
}

diesel::table! {
    concerts (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 200]
        title -> Varchar,
        #[max_length = 200]
        venue -> Nullable<Varchar>,
        #[max_length = 32]
        queue -> Varchar,
        created_at -> Datetime,
        hidden -> Bool,
        version -> Unsigned<Integer>,
    }
}

diesel::table! {
    forgets (id) {
        id -> Tinyint,
        times -> Bigint,
    }
}

diesel::table! {
    forwarded_events (event_id, receiver) {
        #[max_length = 16]
        event_id -> Binary,
        #[max_length = 64]
        receiver -> Varchar,
        #[max_length = 16]
        state -> Varchar,
        attempts -> Unsigned<Integer>,
        tries -> Unsigned<Integer>,
        #[max_length = 16]
        claimed_by -> Nullable<Binary>,
        claimed_until -> Nullable<Datetime>,
        #[max_length = 500]
        last_error -> Nullable<Varchar>,
        updated_at -> Datetime,
    }
}

diesel::table! {
    idempotency_keys (user_id, route, idempotency_key) {
        #[max_length = 16]
        user_id -> Binary,
        #[max_length = 64]
        route -> Varchar,
        #[max_length = 255]
        idempotency_key -> Varchar,
        #[max_length = 32]
        fingerprint -> Binary,
        claims -> Unsigned<Integer>,
        status -> Nullable<Unsigned<Smallint>>,
        body -> Nullable<Mediumtext>,
        #[max_length = 255]
        location -> Nullable<Varchar>,
        created_at -> Datetime,
    }
}

diesel::table! {
    ledger_entries (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        user_id -> Binary,
        #[max_length = 16]
        cause -> Varchar,
        #[max_length = 16]
        reference_id -> Binary,
        part -> Unsigned<Smallint>,
        #[max_length = 16]
        debit_account -> Varchar,
        #[max_length = 16]
        credit_account -> Varchar,
        amount -> Bigint,
        created_at -> Datetime,
        #[max_length = 200]
        reason -> Nullable<Varchar>,
        #[max_length = 128]
        actor_name -> Nullable<Varchar>,
        position -> Nullable<Unsigned<Integer>>,
        #[max_length = 32]
        hash -> Nullable<Binary>,
        seal -> Nullable<Unsigned<Bigint>>,
    }
}

diesel::table! {
    outbox (seq) {
        seq -> Bigint,
        #[max_length = 16]
        id -> Binary,
        #[max_length = 32]
        aggregate_type -> Varchar,
        #[max_length = 16]
        aggregate_id -> Binary,
        #[sql_name = "type"]
        #[max_length = 64]
        type_ -> Varchar,
        payload -> Mediumtext,
        #[max_length = 16]
        state -> Varchar,
        attempts -> Unsigned<Integer>,
        refusals -> Unsigned<Integer>,
        next_attempt_at -> Datetime,
        #[max_length = 16]
        claimed_by -> Nullable<Binary>,
        claimed_until -> Nullable<Datetime>,
        #[max_length = 500]
        last_error -> Nullable<Varchar>,
        created_at -> Datetime,
        delivered_at -> Nullable<Datetime>,
        #[max_length = 55]
        traceparent -> Nullable<Char>,
    }
}

diesel::table! {
    payments (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        reservation_id -> Binary,
        #[max_length = 16]
        user_id -> Binary,
        amount -> Bigint,
        refunded_amount -> Bigint,
        #[max_length = 24]
        state -> Varchar,
        created_at -> Datetime,
        refund_full_until -> Nullable<Datetime>,
        refund_share_until -> Nullable<Datetime>,
        refund_share_percent -> Nullable<Unsigned<Smallint>>,
    }
}

diesel::table! {
    provider_orders (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        kind -> Varchar,
        #[max_length = 16]
        user_id -> Binary,
        #[max_length = 16]
        reservation_id -> Nullable<Binary>,
        amount -> Bigint,
        #[max_length = 16]
        state -> Varchar,
        #[max_length = 16]
        instruction -> Nullable<Varchar>,
        attempts -> Unsigned<Integer>,
        next_attempt_at -> Datetime,
        #[max_length = 500]
        last_error -> Nullable<Varchar>,
        created_at -> Datetime,
        #[max_length = 16]
        pending_for -> Nullable<Binary>,
    }
}

diesel::table! {
    refunds (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        payment_id -> Binary,
        part -> Unsigned<Smallint>,
        amount -> Bigint,
        created_at -> Datetime,
    }
}

diesel::table! {
    reservation_seats (reservation_id, seat_number) {
        #[max_length = 16]
        reservation_id -> Binary,
        seat_number -> Unsigned<Smallint>,
        #[max_length = 16]
        schedule_id -> Binary,
        #[max_length = 32]
        grade -> Varchar,
        price -> Bigint,
        sold_number -> Nullable<Unsigned<Smallint>>,
        #[max_length = 16]
        returned_by -> Nullable<Binary>,
    }
}

diesel::table! {
    reservations (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        schedule_id -> Binary,
        #[max_length = 16]
        user_id -> Binary,
        #[max_length = 16]
        state -> Varchar,
        seat_count -> Unsigned<Smallint>,
        amount -> Bigint,
        hold_expires_at -> Datetime,
        created_at -> Datetime,
        extended_at -> Nullable<Datetime>,
        max_seats -> Nullable<Unsigned<Smallint>>,
    }
}

diesel::table! {
    schedule_cancellations (schedule_id) {
        #[max_length = 16]
        schedule_id -> Binary,
        #[max_length = 200]
        reason -> Varchar,
        #[max_length = 128]
        requested_by -> Varchar,
        requested_at -> Datetime,
        finished_at -> Nullable<Datetime>,
        holds_ended -> Unsigned<Integer>,
        payments_refunded -> Unsigned<Integer>,
        amount_refunded -> Bigint,
    }
}

diesel::table! {
    schedules (id) {
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        concert_id -> Binary,
        starts_at -> Datetime,
        sales_open_at -> Datetime,
        sales_close_at -> Datetime,
        seats_total -> Unsigned<Integer>,
        created_at -> Datetime,
        hidden -> Bool,
        max_seats_per_user -> Nullable<Unsigned<Smallint>>,
        cancelled_at -> Nullable<Datetime>,
        version -> Unsigned<Integer>,
        waiting -> Unsigned<Integer>,
        refund_full_until_s -> Unsigned<Integer>,
        refund_share_until_s -> Unsigned<Integer>,
        refund_share_percent -> Unsigned<Smallint>,
    }
}

diesel::table! {
    seals (number) {
        number -> Unsigned<Bigint>,
        audit_rows -> Unsigned<Integer>,
        ledger_rows -> Unsigned<Integer>,
        rows_so_far -> Unsigned<Bigint>,
        last_seq -> Bigint,
        #[max_length = 32]
        hash -> Binary,
        sealed_at -> Datetime,
    }
}

diesel::table! {
    seats (schedule_id, number) {
        #[max_length = 16]
        schedule_id -> Binary,
        number -> Unsigned<Smallint>,
        #[max_length = 32]
        grade -> Varchar,
        price -> Bigint,
        #[max_length = 16]
        state -> Varchar,
        #[max_length = 16]
        reservation_id -> Nullable<Binary>,
        #[max_length = 16]
        holder_id -> Nullable<Binary>,
        hold_expires_at -> Nullable<Datetime>,
        #[max_length = 200]
        blocked_reason -> Nullable<Varchar>,
    }
}

diesel::table! {
    subjects (person) {
        #[max_length = 16]
        person -> Binary,
        #[max_length = 16]
        subject -> Binary,
        created_at -> Datetime,
    }
}

diesel::table! {
    waitlist_entries (seq) {
        seq -> Bigint,
        #[max_length = 16]
        id -> Binary,
        #[max_length = 16]
        schedule_id -> Binary,
        #[max_length = 16]
        user_id -> Binary,
        seat_count -> Unsigned<Smallint>,
        #[max_length = 32]
        grade -> Nullable<Varchar>,
        #[max_length = 16]
        state -> Varchar,
        #[max_length = 16]
        reservation_id -> Nullable<Binary>,
        created_at -> Datetime,
        #[max_length = 16]
        live_user -> Nullable<Binary>,
    }
}

diesel::table! {
    wallets (user_id) {
        #[max_length = 16]
        user_id -> Binary,
        balance -> Bigint,
        created_at -> Datetime,
        entries -> Unsigned<Integer>,
        unchained -> Unsigned<Integer>,
        #[max_length = 32]
        head -> Binary,
    }
}

diesel::table! {
    webhook_endpoints (receiver) {
        #[max_length = 64]
        receiver -> Varchar,
        stopped_at -> Nullable<Datetime>,
        #[max_length = 500]
        stopped_reason -> Nullable<Varchar>,
    }
}

diesel::table! {
    webhook_lag (receiver, partition_no) {
        #[max_length = 64]
        receiver -> Varchar,
        partition_no -> Integer,
        waiting -> Unsigned<Bigint>,
        oldest_at -> Nullable<Datetime>,
        measured_at -> Datetime,
    }
}

diesel::joinable!(ledger_entries -> wallets (user_id));
diesel::joinable!(payments -> reservations (reservation_id));
diesel::joinable!(refunds -> payments (payment_id));
diesel::joinable!(reservation_seats -> reservations (reservation_id));
diesel::joinable!(schedules -> concerts (concert_id));
diesel::joinable!(seats -> schedules (schedule_id));

diesel::allow_tables_to_appear_in_same_query!(
    audit_log,
    buyers,
    concerts,
    forgets,
    forwarded_events,
    idempotency_keys,
    ledger_entries,
    outbox,
    payments,
    provider_orders,
    refunds,
    reservation_seats,
    reservations,
    schedule_cancellations,
    schedules,
    seals,
    seats,
    subjects,
    waitlist_entries,
    wallets,
    webhook_endpoints,
    webhook_lag,
);
