//! The table of benchmarks.

mod admit;
mod availability;
mod cost;
mod dates;
mod join;
mod memory;
mod one_seat;
mod poll;
mod proxy;
mod sale;
mod streams;

use std::io;

use crate::fixture::Fixture;
use crate::report::Row;

/// A benchmark: its name and what it measures.
pub struct Bench {
    /// What the command line calls it.
    pub name: &'static str,
    /// In one line.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&mut Fixture) -> io::Result<Vec<Row>>,
}

/// All of them, in the order in which they run.
pub const ALL: [Bench; 13] = [
    Bench {
        name: "poll",
        about: "a place in a short and in a long line, against one ZRANK",
        run: poll::run,
    },
    Bench {
        name: "join",
        about: "new places, against one ZADD",
        run: join::run,
    },
    Bench {
        name: "admit",
        about: "what letting in costs Redis, from a short and from a long line",
        run: admit::run,
    },
    Bench {
        name: "charge",
        about: "direct to booking, against the same SQL",
        run: sale::charge,
    },
    Bench {
        name: "reserve",
        about: "direct to booking, against the same SQL",
        run: sale::reserve,
    },
    Bench {
        name: "pay",
        about: "direct to booking, against the same SQL",
        run: sale::pay,
    },
    Bench {
        name: "cost",
        about: "commits and round trips of one sale in MySQL, events included",
        run: cost::run,
    },
    Bench {
        name: "proxy",
        about: "through the gateway, against asking directly",
        run: proxy::run,
    },
    Bench {
        name: "one-seat",
        about: "a crowd that wants one seat",
        run: one_seat::run,
    },
    Bench {
        name: "availability",
        about: "the seats of a date, read by a crowd",
        run: availability::run,
    },
    Bench {
        name: "dates",
        about: "the dates of a long run beside the seats of one, while seats are sold",
        run: dates::run,
    },
    Bench {
        name: "streams",
        about: "visitors who watch their place and wait",
        run: streams::run,
    },
    Bench {
        name: "memory",
        about: "what a visitor costs in Redis",
        run: memory::run,
    },
];
