//! Puts load on a server of this machine and measures what it answers.
//!
//! Owns the client, the two ways to drive it, the figures that they give, and the scenarios of a sale. It speaks
//! HTTP, knows no other crate of this workspace, and sends to this machine only.
//!
//! The core, which benchmarks use too:
//! * [`Target`]: where to send; [`Target::request`] writes a request into a buffer.
//! * [`Connection`]: one keep-alive connection.
//! * [`Closed`]: so many connections, each asking again as soon as it has its answer. For throughput.
//! * [`Open`]: arrivals by the clock, whatever the server does. For waiting; latency counts from the instant at
//!   which a request was due.
//! * [`Measured`]: what came of it.
//!
//! On top of it the scenarios: [`settings::read`] → [`run()`] → [`table::lines`] and [`report::page`].

mod arrival;
mod chance;
pub mod check;
mod closed;
mod connection;
pub mod machine;
mod measured;
mod open;
mod outcome;
mod pacer;
mod progress;
mod recorder;
pub mod report;
mod run;
mod scenario;
pub mod settings;
mod shop;
pub mod table;
mod target;
mod visitor;
mod visitors;

pub use arrival::{Arrivals, Profile};
pub use closed::Closed;
pub use connection::{Answer, Connection};
pub use measured::Measured;
pub use open::Open;
pub use outcome::{Class, Fault};
pub use progress::Progress;
pub use recorder::{Record, Recorder, Second, Step};
pub use run::{Outcome, run};
pub use scenario::Scenario;
pub use shop::Trouble;
pub use target::{Target, TargetError};
