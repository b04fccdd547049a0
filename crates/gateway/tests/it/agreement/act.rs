//! What can happen to a queue, and how often it does.

use gateway::queue::policy::{Order, State};
use proptest::prelude::*;

use super::{GATEWAYS, USERS};
use crate::model::{FAST_MILLI, Who};

/// Who names a user knows one of these, or none.
pub const SECRETS: [&str; 2] = ["correct horse", "battery staple"];

#[derive(Debug, Clone)]
pub enum Act {
    Join(Who, usize),
    /// In this order, at one gateway and at once; somebody may come twice.
    JoinTogether(Vec<Who>, usize),
    /// With one of the secrets, where the user is only named.
    JoinWith(Who, usize, usize),
    Poll(Who, usize),
    Touch(Who, usize),
    /// With the token of an earlier visit.
    PollOld(Who, usize),
    Leave(Who, usize),
    LeaveOld(Who, usize),
    Admit(usize),
    /// No admission runs meanwhile.
    Wait(u64),
    /// Admission runs all the time, and only some are there.
    Quiet {
        runs: u64,
        there: u8,
        via: usize,
    },
    Rule {
        state: State,
        max_active: u32,
        rate_milli: u64,
        max_waiting: u32,
        via: usize,
    },
    Schedule {
        order: Order,
        steps: u64,
        via: usize,
    },
    Lose(usize),
    Refresh(usize),
}

pub fn act() -> impl Strategy<Value = Act> {
    let (who, via) = (|| 0..USERS, || 0..GATEWAYS);
    let states = [
        State::Open,
        State::Open,
        State::Open,
        State::Paused,
        State::Closed,
        State::Bypass,
    ];
    let rule = (
        prop::sample::select(states.to_vec()),
        1..4_u32,
        prop::sample::select(vec![250_u64, 1_000, FAST_MILLI]),
        prop::sample::select(vec![3_u32, 1_000]),
        via(),
    );
    prop_oneof![
        6 => (who(), via()).prop_map(|(who, via)| Act::Join(who, via)),
        1 => (who(), 0..SECRETS.len(), via())
            .prop_map(|(who, secret, via)| Act::JoinWith(who, secret, via)),
        2 => (prop::collection::vec(who(), 2..6), via())
            .prop_map(|(comers, via)| Act::JoinTogether(comers, via)),
        8 => (who(), via()).prop_map(|(who, via)| Act::Poll(who, via)),
        2 => (who(), via()).prop_map(|(who, via)| Act::Touch(who, via)),
        1 => (who(), via()).prop_map(|(who, via)| Act::PollOld(who, via)),
        3 => (who(), via()).prop_map(|(who, via)| Act::Leave(who, via)),
        1 => (who(), via()).prop_map(|(who, via)| Act::LeaveOld(who, via)),
        4 => via().prop_map(Act::Admit),
        2 => prop_oneof![9 => 1..15_u64, 1 => Just(451)].prop_map(Act::Wait),
        6 => (8..24_u64, any::<u8>(), via())
            .prop_map(|(runs, there, via)| Act::Quiet { runs, there, via }),
        2 => rule.prop_map(|(state, max_active, rate_milli, max_waiting, via)| {
            Act::Rule { state, max_active, rate_milli, max_waiting, via }
        }),
        2 => (prop::sample::select(vec![Order::Fifo, Order::Lottery]), 0..8_u64, via())
            .prop_map(|(order, steps, via)| Act::Schedule { order, steps, via }),
        1 => via().prop_map(Act::Lose),
        1 => via().prop_map(Act::Refresh),
    ]
}
