//! Puts load on a server of this machine and measures what it answers.
//!
//! Owns the client, the two ways to drive it, the figures that they give, and the scenarios of a sale. It speaks
//! HTTP, knows no other crate of this workspace, and sends to nobody but this machine.
//!
//! The core, which benchmarks use too:
//! * [`Target`]: where to send; [`Target::request`] writes a request into a buffer.
//! * [`Connection`]: one keep-alive connection.
//! * [`Closed`]: so many connections, each asking again as soon as it has its answer. For throughput.
//! * [`Open`]: arrivals by the clock, whatever the server does. For waiting; latency counts from the instant at
//!   which a request was due.
//! * [`Measured`]: what came of it.

mod arrival;
mod closed;
mod connection;
mod measured;
mod open;
mod outcome;
mod target;

pub use arrival::{Arrivals, Profile};
pub use closed::Closed;
pub use connection::{Answer, Connection};
pub use measured::Measured;
pub use open::Open;
pub use outcome::{Class, Fault};
pub use target::{Target, TargetError};
