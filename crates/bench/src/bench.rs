//! The table of benchmarks.

mod admit;
mod availability;
mod cost;
mod dates;
mod draw;
mod join;
mod memory;
mod one_seat;
mod poll;
mod pow;
mod proxy;
mod sale;
mod streams;

use anyhow::Result;

use crate::fixture::Fixture;
use crate::report::Row;

/// A benchmark: its name and what it measures.
pub struct Bench {
    /// What the command line calls it.
    pub name: &'static str,
    /// In one line.
    pub about: &'static str,
    /// Measures.
    pub run: Run,
}

type Run = fn(&mut Fixture) -> Result<Vec<Row>>;

const fn bench(name: &'static str, about: &'static str, run: Run) -> Bench {
    Bench { name, about, run }
}

const SAME_SQL: &str = "direct to booking, against the same SQL";

/// All of them, in the order in which they run.
pub const ALL: [Bench; 15] = [
    bench(
        "poll",
        "a place in a short and in a long line, against one ZRANK",
        poll::run,
    ),
    bench("join", "new places, against one ZADD", join::run),
    bench(
        "admit",
        "what letting in costs Redis, from a short and from a long line",
        admit::run,
    ),
    bench(
        "draw",
        "a lottery, from the opening of the doors until the first are inside",
        draw::run,
    ),
    bench("pow", "proofs of work that a browser tries", pow::run),
    bench("charge", SAME_SQL, sale::charge),
    bench("reserve", SAME_SQL, sale::reserve),
    bench("pay", SAME_SQL, sale::pay),
    bench(
        "cost",
        "commits and round trips of one sale in MySQL, events included",
        cost::run,
    ),
    bench(
        "proxy",
        "through the gateway, against asking directly",
        proxy::run,
    ),
    bench("one-seat", "a crowd that wants one seat", one_seat::run),
    bench(
        "availability",
        "the seats of a date, read by a crowd",
        availability::run,
    ),
    bench(
        "dates",
        "the dates of a long run beside the seats of one, while seats are sold",
        dates::run,
    ),
    bench(
        "streams",
        "visitors who watch their place and wait",
        streams::run,
    ),
    bench("memory", "what a visitor costs in Redis", memory::run),
];
