//! The promises of the booking service, kept on a real MariaDB and a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod house;

mod cancel;
mod charge;
mod constraints;
mod database;
mod expire;
mod http_access;
mod http_admin;
mod http_config;
mod http_desk;
mod http_input;
mod http_life;
mod http_openapi;
mod http_repeat;
mod http_seats;
mod http_story;
mod idempotency;
mod listing;
mod migrations;
mod pay;
mod races;
mod refund;
mod reserve;
mod seat_lock;
mod statements;
