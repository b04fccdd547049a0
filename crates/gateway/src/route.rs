//! Owns which requests go where and what they need: routes, patterns, and how a path is read.
//!
//! Routes are configuration, so the gateway can stand before any service. It knows no visitor and
//! no queue but by name.

mod file;
mod path;
mod pattern;
mod table;

pub use file::{Access, RoutesInvalid, read};
pub use path::{PathInvalid, Readings};
pub use table::{Asked, Found, QueueRule, RouteTable, stripped};
