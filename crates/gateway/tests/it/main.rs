//! The waiting room on a real Redis: each test is a promise, and has a queue of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod admit;
mod house;
mod http_openapi;
mod http_operator;
mod http_proxy;
mod http_visitor;
mod join;
mod lease;
mod leave;
mod loss;
mod operator;
mod policy;
mod room;
mod state;
mod store;
mod token;
