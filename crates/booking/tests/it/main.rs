//! The promises of the booking service, kept on a real MariaDB and a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod house;

mod cancel;
mod charge;
mod constraints;
mod database;
mod expire;
mod idempotency;
mod listing;
mod migrations;
mod pay;
mod races;
mod refund;
mod reserve;
mod seat_lock;
