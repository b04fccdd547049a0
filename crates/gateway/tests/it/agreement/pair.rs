//! Three gateways on a real Redis beside the model: plays what happens on both and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chassis::redis::Connection;
use chassis::time::{Clock, Timestamp};
use futures_util::future::join_all;
use gateway::queue::policy::{Order, PolicyChange, State};
use gateway::queue::{JoinSecret, Joined, Queue, QueueError, Seed, Standing, Ticket, UserId, eta};
use uuid::Uuid;

use super::act::{Act, SECRETS};
use super::{GATEWAYS, Stage, USERS};
use crate::fixture::Fixture;
use crate::model::{CLAIM, Eyes, FAST_MILLI, LEASE, Model, Rules, Told, Unsure, Who};

/// Between two steps of time. All limits lie between its multiples.
const STEP: u64 = 4;
const LANES: [&str; 4] = ["waiting", "returned", "parked", "parked_before"];

/// The real thing beside the model.
pub struct Pair<'a> {
    stage: &'a Stage,
    rooms: Vec<Fixture>,
    queues: Vec<Queue>,
    /// Gateways that may not have heard of the last change yet.
    stale: [bool; GATEWAYS],
    clock: Clock,
    begin: Timestamp,
    pub begun: Instant,
    redis: Connection,
    users: Vec<UserId>,
    visits: Vec<Vec<Ticket>>,
    pub model: Model,
}

/// Why a sequence ends early.
pub enum Stop {
    Unsure,
    Differs(String),
}

impl From<Unsure> for Stop {
    fn from(_: Unsure) -> Self {
        Stop::Unsure
    }
}

fn differs<T>(
    what: &str,
    model: impl std::fmt::Debug,
    real: impl std::fmt::Debug,
) -> Result<T, Stop> {
    Err(Stop::Differs(format!(
        "{what}: model {model:?}, queue {real:?}"
    )))
}

impl<'a> Pair<'a> {
    pub async fn begin(stage: &'a Stage, idle: u64) -> Self {
        stage.flush();
        let url = &stage.url();
        let clock = Clock::system();
        let rooms: Vec<_> = (0..GATEWAYS)
            .map(|_| Fixture::at(url, clock.clone()))
            .collect();
        let rules = PolicyChange {
            max_active: Some(2),
            admit_per_second: Some(100_000.0.into()),
            claim_seconds: Some(i64::try_from(CLAIM).unwrap()),
            lease_seconds: Some(i64::try_from(LEASE).unwrap()),
            idle_seconds: (idle > 0).then(|| Some(i64::try_from(idle).unwrap())),
            ..PolicyChange::default()
        };
        let first = rooms[0].queue("main", rules).await;
        let queues = vec![
            first.clone(),
            rooms[1].open("main").await,
            rooms[2].open("main").await,
        ];
        let rules = Rules {
            state: State::Open,
            order: Order::Fifo,
            opens_at: None,
            max_active: 2,
            rate_milli: FAST_MILLI,
            max_waiting: 1_000_000,
            idle,
        };
        let mut model = Model::new(rules, first.snapshot().epoch);
        model.begin_us = u64::try_from(clock.now().timestamp_micros()).unwrap();
        Self {
            model,
            stale: [false; GATEWAYS],
            begin: clock.now(),
            begun: Instant::now(),
            users: (0..USERS).map(|_| UserId(Uuid::new_v4())).collect(),
            visits: vec![Vec::new(); USERS],
            rooms,
            queues,
            clock,
            redis: chassis::redis::connection(&url.parse().unwrap()).unwrap(),
            stage,
        }
    }

    pub async fn play(&mut self, acts: &[Act]) -> Result<(), Stop> {
        for act in acts {
            self.model.drift_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap();
            self.model.sure()?;
            let was_unsorted = self.model.is_unsorted();
            self.act(act).await?;
            if was_unsorted && !self.model.is_unsorted() {
                self.stale = [true; GATEWAYS];
            }
            self.compare().await?;
        }
        Ok(())
    }

    async fn act(&mut self, act: &Act) -> Result<(), Stop> {
        match act {
            Act::Join(who, via) => self.join(&[*who], *via).await,
            Act::JoinWith(who, secret, via) => self.join_with(*who, *secret, *via).await,
            Act::JoinTogether(comers, via) => self.join(comers, *via).await,
            Act::Poll(who, via) => self.look(*who, *via, 0, false).await,
            Act::Touch(who, via) => self.look(*who, *via, 0, true).await,
            Act::PollOld(who, via) => self.look(*who, *via, 1, false).await,
            Act::Leave(who, via) => self.leave(*who, *via, 0).await,
            Act::LeaveOld(who, via) => self.leave(*who, *via, 1).await,
            Act::Admit(via) => self.admit(*via).await,
            Act::Wait(steps) => {
                self.pass(*steps);
                Ok(())
            }
            Act::Quiet { runs, there, via } => self.quiet(*runs, *there, *via).await,
            Act::Rule {
                state,
                max_active,
                rate_milli,
                max_waiting,
                via,
            } => {
                let mut rules = self.model.rules.clone();
                if *state == State::Open {
                    rules.opens_at = None;
                }
                rules.state = *state;
                rules.max_active = *max_active as usize;
                rules.rate_milli = *rate_milli;
                rules.max_waiting = *max_waiting as usize;
                let change = PolicyChange {
                    state: Some(*state),
                    max_active: Some(i64::from(*max_active)),
                    admit_per_second: Some((*rate_milli as f64 / 1_000.0).into()),
                    max_waiting: Some(i64::from(*max_waiting)),
                    ..PolicyChange::default()
                };
                self.change(rules, change, *via).await
            }
            Act::Schedule { order, steps, via } => {
                let mut rules = self.model.rules.clone();
                rules.state = State::Scheduled;
                rules.order = *order;
                // Half a step late, so that it never falls on an instant that is looked at.
                let opens_at = self.model.now + steps * STEP + STEP / 2;
                rules.opens_at = Some(opens_at);
                let change = PolicyChange {
                    state: Some(State::Scheduled),
                    order: Some(*order),
                    opens_at: Some(Some(self.begin + Duration::from_secs(opens_at))),
                    ..PolicyChange::default()
                };
                self.change(rules, change, *via).await
            }
            Act::Lose(via) => self.lose(*via).await,
            Act::Refresh(via) => self.refresh(*via).await,
        }
    }

    /// Those who come together travel in one call: nothing else runs on this thread until all of them have asked.
    async fn join(&mut self, comers: &[Who], via: usize) -> Result<(), Stop> {
        let eyes = self.eyes(via, &Told::Over);
        let queue = &self.queues[via];
        let joins = comers.iter().map(|who| queue.join(self.users[*who]));
        let mut real = Vec::new();
        for joined in join_all(joins).await {
            real.push(answered(joined)?);
        }
        let issued = |joined: &Result<Joined, QueueError>| {
            let joined = joined.as_ref().ok().filter(|joined| joined.created);
            joined.map(|joined| joined.ticket.number)
        };
        let issued = comers.iter().copied().zip(real.iter().map(issued));
        let told = self.model.join(&issued.collect::<Vec<_>>(), eyes)?;
        for ((who, told), joined) in comers.iter().zip(told).zip(real) {
            if let Ok(joined) = &joined {
                self.keep(*who, joined)?;
            }
            self.same(told, &joined.map(|joined| joined.standing), via)?;
        }
        Ok(())
    }

    /// Joins with a secret, and says whether the place is given again for it or for another one.
    async fn join_with(&mut self, who: Who, secret: usize, via: usize) -> Result<(), Stop> {
        let eyes = self.eyes(via, &Told::Over);
        let secrets = SECRETS.map(|it| JoinSecret::try_from(it.to_owned()).unwrap());
        let queue = self.queues[via].clone();
        let own = Some(secrets[secret].clone());
        let real = answered(queue.join_with(self.users[who], own).await)?;
        let issued = real.as_ref().ok().filter(|joined| joined.created);
        let issued = issued.map(|joined| joined.ticket.number);
        let told = self.model.join(&[(who, issued)], eyes)?;
        if let Some(ticket) = issued {
            self.model.keep_secret(who, ticket, secret);
        }
        if let Ok(joined) = &real {
            self.keep(who, joined)?;
            let ticket = &joined.ticket;
            for (number, secret) in secrets.iter().enumerate() {
                let real = answered(queue.is_secret(ticket, secret).await)?;
                let real = real.unwrap_or(false);
                let is_proven = self.model.is_secret(who, ticket.number, number);
                if real != is_proven {
                    return differs("proven", is_proven, real);
                }
            }
        }
        self.same(told[0], &real.map(|joined| joined.standing), via)
    }

    fn keep(&mut self, who: Who, joined: &Joined) -> Result<(), Stop> {
        let visits = &mut self.visits[who];
        let is_same = |it: &Ticket| it.number == joined.ticket.number;
        let known = visits.iter().position(is_same);
        if joined.created != known.is_none() {
            return differs("join", visits, joined);
        }
        // A fresh token of the same visit may be from a newer life.
        known.map(|at| visits.remove(at));
        visits.push(joined.ticket);
        Ok(())
    }

    async fn look(
        &mut self,
        who: Who,
        via: usize,
        older: usize,
        by_touch: bool,
    ) -> Result<(), Stop> {
        let Some(ticket) = self.visit(who, older) else {
            return Ok(());
        };
        let queue = &self.queues[via];
        let real = if by_touch {
            queue.touch(&ticket).await
        } else {
            queue.rank(&ticket).await
        };
        let real = answered(real)?;
        let mut eyes = self.eyes(via, &told(&real));
        if !by_touch {
            eyes.is_lazy = true;
        }
        let expected = self.model.look(who, ticket.number, ticket.epoch, eyes)?;
        self.same(expected, &real, via)
    }

    async fn leave(&mut self, who: Who, via: usize, older: usize) -> Result<(), Stop> {
        let Some(ticket) = self.visit(who, older) else {
            return Ok(());
        };
        let eyes = self.eyes(via, &Told::Over);
        let real = answered(self.queues[via].leave(&ticket).await)?;
        let real = real.is_ok_and(|left| left.freed);
        let freed = self.model.leave(who, ticket.number, eyes)?;
        if real == freed {
            Ok(())
        } else {
            differs("freed", freed, real)
        }
    }

    async fn admit(&mut self, via: usize) -> Result<(), Stop> {
        let eyes = self.eyes(via, &Told::Over);
        let real = self.queues[via].admit().await.map_err(broken)?;
        let ran = self.model.admit(eyes)?;
        self.model.settle();
        let entered: Vec<_> = ran
            .entered
            .iter()
            .map(|(who, n)| (self.users[*who], *n))
            .collect();
        let numbers = (ran.ended, ran.no_shows, ran.parked);
        if entered == real.users && numbers == (real.ended, real.no_shows, real.parked) {
            return Ok(());
        }
        differs("admit", ran, real)
    }

    async fn quiet(&mut self, runs: u64, there: u8, via: usize) -> Result<(), Stop> {
        for run in 0..runs {
            self.pass(1);
            if run % 2 == 0 {
                let is_there = |who: &Who| there >> who & 1 == 1;
                let visits = (0..USERS).filter(is_there);
                let visits = visits.filter_map(|who| Some((who, self.visit(who, 0)?)));
                let visits: Vec<_> = visits.collect();
                let tickets: Vec<_> = visits.iter().map(|(_, ticket)| *ticket).collect();
                let eyes = self.eyes(via, &Told::Over);
                self.queues[via].present(&tickets).await.map_err(broken)?;
                for (who, ticket) in visits {
                    self.model.present(who, ticket.number, eyes);
                }
            }
            self.admit(via).await?;
        }
        Ok(())
    }

    async fn change(&mut self, rules: Rules, change: PolicyChange, via: usize) -> Result<(), Stop> {
        let changed = self.rooms[via]
            .queues
            .change(self.queues[via].id(), &change, "a test")
            .await;
        changed.map_err(broken)?;
        let seed: Option<String> = redis::cmd("HGET")
            .arg("q:{main}:meta")
            .arg("seed")
            .query_async(&mut self.redis)
            .await
            .map_err(silent)?;
        let seed = seed.map(|seed| seed.parse::<Seed>().unwrap());
        let is_same = self.model.rules.opens_at == rules.opens_at
            && self.model.rules.order == rules.order
            && self.model.rules.state == rules.state
            && self.model.rules.max_active == rules.max_active
            && self.model.rules.rate_milli == rules.rate_milli
            && self.model.rules.max_waiting == rules.max_waiting;
        // Rules that say nothing new are not written.
        if !is_same {
            self.model.change(rules, seed);
        }
        self.stale = [true; GATEWAYS];
        self.stale[via] = false;
        Ok(())
    }

    async fn lose(&mut self, via: usize) -> Result<(), Stop> {
        for gateway in 0..GATEWAYS {
            self.refresh(gateway).await?;
        }
        self.stage.flush();
        let refreshed = self.rooms[via].queues.refresh().await;
        refreshed.map_err(broken)?;
        self.model.lose();
        self.model.epoch = self.queues[via].snapshot().epoch;
        self.model.tell_ends(via)?;
        self.stale = [true; GATEWAYS];
        self.stale[via] = false;
        Ok(())
    }

    async fn refresh(&mut self, via: usize) -> Result<(), Stop> {
        self.rooms[via].queues.refresh().await.map_err(broken)?;
        self.model.tell_ends(via)?;
        self.stale[via] = false;
        Ok(())
    }

    fn pass(&mut self, steps: u64) {
        self.clock.advance(Duration::from_secs(steps * STEP));
        self.model.now += steps * STEP;
        self.stale = [true; GATEWAYS];
    }

    fn visit(&self, who: Who, older: usize) -> Option<Ticket> {
        self.visits[who].iter().rev().nth(older).copied()
    }

    fn eyes(&self, via: usize, told: &Told) -> Eyes {
        let [_, pace_us, head, cap_us] = eta::told(&self.queues[via].snapshot());
        Eyes {
            via,
            pace_us,
            head,
            cap_us,
            is_blind: *told == Told::Hidden && self.stale[via],
            is_lazy: false,
        }
    }

    fn same(
        &self,
        told_by_model: Told,
        real: &Result<Standing, QueueError>,
        via: usize,
    ) -> Result<(), Stop> {
        if told(real) == told_by_model {
            return Ok(());
        }
        // A place in order of arrival that has no lot yet is no secret.
        let is_old = self.stale[via] && self.model.is_unsorted() && told_by_model == Told::Hidden;
        if is_old && matches!(told(real), Told::Line { .. }) {
            return Ok(());
        }
        differs(&format!("told by {via}"), told_by_model, real)
    }

    /// Every lane, and who is inside.
    async fn compare(&mut self) -> Result<(), Stop> {
        let mut pipe = redis::pipe();
        for lane in LANES {
            let key = format!("q:{{main}}:{lane}");
            pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES");
        }
        pipe.cmd("ZRANGE").arg("q:{main}:active").arg(0).arg(-1);
        type Lane = Vec<(Vec<u8>, i64)>;
        let (a, b, c, d, inside): (Lane, Lane, Lane, Lane, Vec<Vec<u8>>) =
            pipe.query_async(&mut self.redis).await.map_err(silent)?;
        let who = |member: &[u8]| {
            self.users
                .iter()
                .position(|it| it.0.as_bytes() == member)
                .unwrap()
        };
        for (lane, real) in [a, b, c, d].iter().enumerate() {
            let real: BTreeMap<_, _> = real
                .iter()
                .map(|(member, key)| (*key, who(member)))
                .collect();
            if real != self.model.lanes[lane] {
                return differs(LANES[lane], &self.model.lanes[lane], real);
            }
        }
        let inside: BTreeSet<_> = inside.iter().map(|member| who(member)).collect();
        if inside != self.model.inside() {
            return differs("inside", self.model.inside(), inside);
        }
        Ok(())
    }
}

/// What the words are of a store that said nothing in time.
const SILENT: [&str; 2] = ["timed out", "no answer within"];

/// A store that said nothing in time is a stalled machine; one that refused has a script that is broken.
fn broken(cause: QueueError) -> Stop {
    let words = cause.to_string();
    match SILENT.iter().any(|it| words.contains(it)) {
        true => Stop::Unsure,
        false => Stop::Differs(words),
    }
}

fn silent(_: redis::RedisError) -> Stop {
    Stop::Unsure
}

fn answered<T>(real: Result<T, QueueError>) -> Result<Result<T, QueueError>, Stop> {
    match real {
        Err(cause @ QueueError::StoreUnavailable(_)) => Err(broken(cause)),
        other => Ok(other),
    }
}

fn told(real: &Result<Standing, QueueError>) -> Told {
    match real {
        Ok(
            Standing::Waiting { ahead }
            | Standing::Scheduled {
                ahead: Some(ahead), ..
            },
        ) => Told::Line { ahead: *ahead },
        Ok(Standing::Scheduled { ahead: None, .. }) => Told::Hidden,
        Ok(Standing::Active { .. }) => Told::Active,
        Err(QueueError::Over | QueueError::Idle) => Told::Over,
        Err(QueueError::Closed) => Told::Closed,
        Err(QueueError::Full { .. }) => Told::Full,
        Err(cause) => panic!("{cause}"),
    }
}
