//! What any HTTP service of this workspace needs, and nothing of what they are about.
//!
//! The membership test: a third service that has another subject would need a module
//! of this crate unchanged. It knows no other crate of the workspace.

pub mod answer;
pub mod asset;
pub mod breaker;
pub mod code;
pub mod document;
pub mod env;
pub mod event_stream;
pub mod health;
pub mod http_server;
pub mod json;
pub mod logging;
pub mod metrics;
pub mod page;
pub mod problem;
pub mod program;
pub mod redis;
pub mod request_id;
pub mod routes;
pub mod schedule;
pub mod server;
pub mod store;
pub mod time;
pub mod trace;
