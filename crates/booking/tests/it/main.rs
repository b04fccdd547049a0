//! The promises of the booking service, kept on a real MariaDB and a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fixture;
mod test_app;

mod best;
mod cancel;
mod charge;
mod constraints;
mod database;
mod expire;
mod forward;
mod forward_group;
mod forward_inbox;
mod forward_process;
mod history;
mod http_access;
mod http_admin;
mod http_best;
mod http_cache;
mod http_config;
mod http_input;
mod http_life;
mod http_openapi;
mod http_outbox;
mod http_programme;
mod http_repeat;
mod http_rights;
mod http_seat_feed;
mod http_seats;
mod http_story;
mod idempotency;
mod indexes;
mod limit_per_user;
mod listing;
mod locks;
mod migrations;
mod pay;
mod prepared;
mod programme;
mod publish;
mod publish_faults;
mod publish_kill;
mod publish_post;
mod races;
mod reconcile;
mod refund;
mod reserve;
mod seat_lock;
mod statements;
mod trace;
mod trigger;
