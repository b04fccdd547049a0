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
use clap::ValueEnum;
use strum::IntoStaticStr;

use crate::fixture::Fixture;
use crate::report::Row;

/// All of them, in the order in which they run; called and told on the command line as they are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, ValueEnum)]
#[strum(serialize_all = "kebab-case")]
pub enum Bench {
    /// a place in a short and in a long line, against one ZRANK
    Poll,
    /// new places, against one ZADD
    Join,
    /// what letting in costs Redis, from a short and from a long line
    Admit,
    /// a lottery, from the opening of the doors until the first are inside
    Draw,
    /// proofs of work that a browser tries
    Pow,
    /// direct to booking, against the same SQL
    Charge,
    /// direct to booking, against the same SQL
    Reserve,
    /// direct to booking, against the same SQL
    Pay,
    /// commits and round trips of one sale in MySQL, events included
    Cost,
    /// through the gateway, against asking directly
    Proxy,
    /// a crowd that wants one seat
    OneSeat,
    /// the seats of a date, read by a crowd
    Availability,
    /// the dates of a long run beside the seats of one, while seats are sold
    Dates,
    /// visitors who watch their place and wait
    Streams,
    /// what a visitor costs in Redis
    Memory,
}

impl Bench {
    /// Measures.
    pub fn run(self, fixture: &mut Fixture) -> Result<Vec<Row>> {
        let measure: fn(&mut Fixture) -> Result<Vec<Row>> = match self {
            Bench::Poll => poll::run,
            Bench::Join => join::run,
            Bench::Admit => admit::run,
            Bench::Draw => draw::run,
            Bench::Pow => pow::run,
            Bench::Charge => sale::charge,
            Bench::Reserve => sale::reserve,
            Bench::Pay => sale::pay,
            Bench::Cost => cost::run,
            Bench::Proxy => proxy::run,
            Bench::OneSeat => one_seat::run,
            Bench::Availability => availability::run,
            Bench::Dates => dates::run,
            Bench::Streams => streams::run,
            Bench::Memory => memory::run,
        };
        let mut rows = measure(fixture)?;
        rows.iter_mut().for_each(|row| row.bench = self.into());
        Ok(rows)
    }
}
