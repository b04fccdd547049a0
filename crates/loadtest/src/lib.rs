//! Puts load on a server of this machine and measures what it answers.
//!
//! Owns the client, the two ways to drive it, the figures that they give, and the scenarios of a sale. It speaks
//! HTTP, knows no other crate of this workspace, and sends to this machine only.
//!
//! The core, which benchmarks use too:
//! * [`Target`]: where to send; [`Request`]: what.
//! * [`Connection`]: one keep-alive connection.
//! * [`closed()`]: so many connections, each asking again as soon as it has its answer. For throughput.
//! * [`Measured`]: what came of it.
//! * [`Operator`]: who makes queues, concerts and dates.
//!
//! On top of it the scenarios: [`settings::parse`] → [`run()`] → [`table::lines`] and [`report::page`].

mod arrival;
mod chance;
pub mod check;
mod closed;
mod connection;
pub mod machine;
mod measured;
mod operator;
mod outcome;
mod pacer;
mod patience;
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
pub use closed::closed;
pub use connection::{Answer, Connection, Request};
pub use measured::Measured;
pub use operator::{Operator, Trouble};
pub use outcome::{Class, Fault};
pub use progress::{Progress, say, understood};
pub use recorder::{Record, Recorder, Second, Step};
pub use run::{Outcome, run};
pub use scenario::{Scenario, Size};
pub use target::{NoTarget, Target};
