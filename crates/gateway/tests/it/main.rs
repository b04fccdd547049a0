//! The waiting room on a real Redis: each test is a promise, and has a queue of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod admit;
mod agreement;
mod capacity;
mod churn;
mod house;
mod http_abuse;
mod http_events;
mod http_identity;
mod http_openapi;
mod http_operator;
mod http_outage;
mod http_proxy;
mod http_visitor;
mod join;
mod lease;
mod leave;
mod listener;
mod loss;
mod lottery;
mod model;
mod operator;
mod policy;
mod presence;
mod provider;
mod redis_cluster;
mod redis_sentinel;
mod room;
mod state;
mod store;
mod store_url;
mod token;
mod watch;
