//! A queue as sorted lists and whole seconds: what the scripts must do, said as simply as possible.
//!
//! It is told ticket numbers, the seed, and what a gateway's snapshot says of distances; all else it
//! knows by itself. One thing it cannot know: how much time really passed. Where that would decide,
//! it says [`Unsure`].

mod ends;
mod line;

use std::collections::{BTreeMap, BTreeSet};

use gateway::queue::Seed;
use gateway::queue::policy::{Order, State};

use self::ends::Ends;

pub const CLAIM: u64 = 30;
pub const LEASE: u64 = 50;
/// What `idleSeconds` is in half of the sequences.
pub const IDLE: u64 = 21;
pub const RECOVERY: u64 = 30;
/// The fastest admission there is.
pub const FAST_MILLI: u64 = 100_000_000;
const STEADY: u64 = 5;
const EXCUSED: u64 = 30;
const JOINED: u64 = 10;
const FIRST_PAUSE: u64 = 8;
const ALLOWANCE: u64 = 5;
/// Nearer than this everybody is recorded.
const NEAR: u64 = 4_096;
const KEPT: u64 = 1_800;
const LOTS: i64 = 1 << 52;
const MICRO: u64 = 1_000_000;

pub const WAITING: usize = 0;
pub const RETURNED: usize = 1;
const PARKED: usize = 2;
const PARKED_BEFORE: usize = 3;

/// Who; the driver knows their real ids.
pub type Who = usize;

/// What a verb is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Line { ahead: u64 },
    Hidden,
    Active,
    Over,
    Closed,
    Full,
}

/// The real time that passed decides, and the model does not know it.
#[derive(Debug)]
pub struct Unsure;

/// What the gateway that is asked believes of distances.
#[derive(Debug, Clone, Copy)]
pub struct Eyes {
    pub via: usize,
    /// The longest pause for each visitor before one.
    pub pace_us: u64,
    /// Up to which turn no pause is longer than this.
    pub head: u64,
    pub cap_us: u64,
    /// It has not heard of the draw yet and so tells nothing.
    pub is_blind: bool,
    /// It asks by plain commands, and records who polls only where it does not know of a record.
    pub is_lazy: bool,
}

/// What an admission is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub entered: Vec<(Who, u64)>,
    pub ended: u64,
    pub no_shows: u64,
    pub parked: u64,
}

#[derive(Debug, Clone, Copy)]
struct Inside {
    ticket: u64,
    until_us: u64,
    showed_up: bool,
    /// The end of the whole lease of who showed up; idleness may end the visit before.
    lease_end_us: u64,
}

#[derive(Debug, Clone)]
pub struct Rules {
    pub state: State,
    pub order: Order,
    pub opens_at: Option<u64>,
    pub max_active: usize,
    pub rate_milli: u64,
    pub max_waiting: usize,
    /// 0 where nobody idles.
    pub idle: u64,
}

/// How often what is worth proving came to pass.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub parked: u64,
    pub no_shows: u64,
    pub came_back: u64,
    pub restored_in_time: u64,
    pub restored_late: u64,
    pub draws: u64,
    pub sorted: u64,
    pub lost: u64,
    pub idled: u64,
}

#[derive(Debug)]
pub struct Model {
    /// Seconds since the begin.
    pub now: u64,
    /// By how much the real time may be ahead of that at most.
    pub drift_us: u64,
    pub rules: Rules,
    pub seen: Seen,
    pub seed: Option<Seed>,
    /// The key of the draw, when it is settled.
    lots: Option<Seed>,
    pub epoch: u64,
    pub lanes: [BTreeMap<i64, Who>; 4],
    drawn: Option<u64>,
    is_unsorted: bool,
    last: u64,
    recovers_at: u64,
    inside: BTreeMap<Who, Inside>,
    /// When the lease of a visit would have ended that idleness ended.
    idled: BTreeMap<Who, u64>,
    ended: BTreeSet<u64>,
    /// The ticket that somebody's last secret came with, and which secret it was.
    secrets: BTreeMap<Who, (u64, usize)>,
    ends: Ends,
    /// Until when somebody is there for certain, and at most.
    present: BTreeMap<Who, (u64, u64)>,
    ran_at: Option<u64>,
    excused_until: u64,
    called: Option<i64>,
    /// An edge, and until when who stands before it has the time to poll, at least and at most.
    calling: Option<(i64, (u64, u64))>,
    /// Until when the latest record of a ticket reaches of which a gateway knows.
    known: BTreeMap<(usize, u64), u64>,
    /// The instant of the begin, in µs since 1970.
    pub begin_us: u64,
    kept_since: Option<u64>,
    bucket: Option<(u64, u64)>,
}

impl Model {
    pub fn new(rules: Rules, epoch: u64) -> Self {
        Self {
            now: 0,
            drift_us: 0,
            rules,
            seen: Seen::default(),
            seed: None,
            lots: None,
            epoch,
            lanes: Default::default(),
            drawn: None,
            is_unsorted: false,
            last: 0,
            recovers_at: 0,
            inside: BTreeMap::new(),
            idled: BTreeMap::new(),
            ended: BTreeSet::new(),
            secrets: BTreeMap::new(),
            ends: Ends::default(),
            present: BTreeMap::new(),
            ran_at: None,
            excused_until: 0,
            called: None,
            calling: None,
            known: BTreeMap::new(),
            begin_us: 0,
            kept_since: None,
            bucket: None,
        }
    }

    /// Whether somebody's time inside ends just now.
    pub fn sure(&self) -> Result<(), Unsure> {
        let left = |it: &Inside| it.until_us.checked_sub(self.now * MICRO + 1);
        let is_close = |it| left(it).is_some_and(|left| left <= self.drift_us);
        if self.inside.values().any(is_close) {
            return Err(Unsure);
        }
        Ok(())
    }

    /// Those who came together, in the order in which they came, each with the number that the real queue gave out
    /// for them, if it did.
    pub fn join(&mut self, comers: &[(Who, Option<u64>)], eyes: Eyes) -> Result<Vec<Told>, Unsure> {
        self.draw();
        // Who comes back by this very call is counted by the next one.
        let returned = self.lanes[RETURNED].len();
        let mut told = Vec::new();
        for (who, issued) in comers {
            told.push(self.take_place(*who, *issued, returned, eyes.via));
        }
        let is_in_line = |it: &Told| matches!(it, Told::Line { .. });
        if told.iter().any(is_in_line) && self.has_room() {
            // One admission for all of them.
            self.admit(eyes)?;
            for (told, (who, _)) in told.iter_mut().zip(comers) {
                if is_in_line(told) && self.is_inside(*who) {
                    *told = Told::Active;
                }
            }
        }
        Ok(told)
    }

    fn take_place(&mut self, who: Who, issued: Option<u64>, returned: usize, via: usize) -> Told {
        if self.is_inside(who) {
            return Told::Active;
        }
        self.end_lease(who, via);
        if let Some((lane, key)) = self.find(who) {
            self.come_back(who, lane, key);
            return self.joined(who, key);
        }
        if self.rules.state == State::Closed {
            return Told::Closed;
        }
        let in_line = self.lanes[WAITING].len() + returned;
        let all: usize = self.lanes.iter().map(BTreeMap::len).sum();
        if in_line >= self.rules.max_waiting || all >= 4 * self.rules.max_waiting {
            return Told::Full;
        }
        if self.rules.idle > 0 {
            self.idled.remove(&who);
        }
        let number = issued.expect("the model gives out a ticket and the queue does not");
        assert!(number > self.last, "ticket numbers grow");
        self.last = number;
        let key = self.key(number);
        self.lanes[WAITING].insert(key, who);
        self.joined(who, key)
    }

    /// A place that is new was joined with this secret.
    pub fn keep_secret(&mut self, who: Who, ticket: u64, secret: usize) {
        self.secrets.insert(who, (ticket, secret));
    }

    /// Whether a place is given again for this secret.
    pub fn is_secret(&self, who: Who, ticket: u64, secret: usize) -> bool {
        self.secrets.get(&who) == Some(&(ticket, secret))
    }

    /// Poll and touch: also brings back what was lost.
    pub fn look(&mut self, who: Who, ticket: u64, epoch: u64, eyes: Eyes) -> Result<Told, Unsure> {
        if self.is_inside(who) && self.inside[&who].ticket == ticket {
            return Ok(self.show_up_inside(who));
        }
        let own = self.inside.get(&who).map(|it| (it.ticket, it.showed_up));
        if own.is_some_and(|(_, showed_up)| !showed_up) && !self.is_inside(who) {
            self.end_lease(who, eyes.via);
        } else if own == Some((ticket, true)) {
            return Ok(Told::Over);
        }
        if let Some((lane, key)) = self.find(who)
            && self.ticket(key) == ticket
        {
            if eyes.is_blind && lane == WAITING && !self.is_undrawn() {
                return Ok(Told::Hidden);
            }
            return self.stand(who, lane, key, eyes);
        }
        let idled = self.idled.get(&who).filter(|_| self.rules.idle > 0);
        if self.find(who).is_none() && idled.is_some_and(|end_us| *end_us > self.now * MICRO) {
            return Ok(Told::Over);
        }
        if self.is_lost(who, ticket, epoch) {
            self.tell_ends(eyes.via)?;
        }
        if !self.is_lost(who, ticket, epoch) {
            return Ok(Told::Over);
        }
        self.draw();
        let mut given_up = self.end_visit(who);
        if let Some((lane, key)) = self.find(who) {
            self.lanes[lane].remove(&key);
            let other = self.ticket(key);
            self.forget(other);
            given_up = Some(other);
        }
        if let Some(other) = given_up {
            self.note_end(eyes.via, who, other);
        }
        let key = self.key(ticket);
        let in_time = self.now < self.recovers_at || ticket > self.last || self.is_undrawn();
        let lane = if in_time { WAITING } else { RETURNED };
        self.seen.restored_in_time += u64::from(in_time);
        self.seen.restored_late += u64::from(!in_time);
        self.lanes[lane].insert(key, who);
        self.last = self.last.max(ticket);
        // A script does this, whatever the gateway knows.
        let eyes = Eyes {
            is_lazy: false,
            ..eyes
        };
        self.stand(who, lane, key, eyes)
    }

    /// Who watches is there.
    pub fn present(&mut self, who: Who, ticket: u64, eyes: Eyes) {
        if self.is_undrawn() {
            return;
        }
        for lane in [WAITING, RETURNED] {
            let key = self.lanes[lane].iter().find(|(_, it)| **it == who);
            if let Some(key) = key.map(|(key, _)| *key)
                && self.ticket(key) == ticket
            {
                self.show_up(
                    who,
                    key,
                    Eyes {
                        is_lazy: false,
                        ..eyes
                    },
                );
            }
        }
    }

    /// Whether a place inside is freed.
    pub fn leave(&mut self, who: Who, ticket: u64, eyes: Eyes) -> Result<bool, Unsure> {
        self.forget(ticket);
        if let Some((lane, key)) = self.find(who)
            && self.ticket(key) == ticket
        {
            self.lanes[lane].remove(&key);
            self.present.remove(&who);
            self.note_end(eyes.via, who, ticket);
            return Ok(false);
        }
        if self.inside.get(&who).is_none_or(|it| it.ticket != ticket) {
            return Ok(false);
        }
        let freed = self.is_inside(who);
        self.end_visit(who);
        self.note_end(eyes.via, who, ticket);
        if freed {
            self.admit(eyes)?;
        }
        Ok(freed)
    }

    pub fn admit(&mut self, eyes: Eyes) -> Result<Ran, Unsure> {
        self.sure()?;
        let mut ran = Ran::default();
        for who in self.inside.keys().copied().collect::<Vec<_>>() {
            if !self.is_inside(who) {
                let inside = self.inside[&who];
                ran.ended += 1;
                ran.no_shows += u64::from(!inside.showed_up);
                self.end_lease(who, eyes.via);
            }
        }
        self.draw();
        self.sort_out();
        self.tidy();
        self.watch_over_line(eyes, &mut ran)?;
        let level = self.level();
        let free = self.rules.max_active.saturating_sub(self.inside.len());
        let places = match self.in_force() {
            _ if self.is_unsorted => 0,
            State::Bypass => 1_000,
            State::Open => free.min(usize::try_from(level / 1_000).unwrap()),
            _ => 0,
        };
        if places > 0 {
            self.pass(places, &mut ran);
            if !ran.entered.is_empty() && self.in_force() == State::Open {
                let spent = ran.entered.len() as u64 * 1_000;
                self.bucket = Some((level - spent, self.now));
            }
        }
        Ok(ran)
    }

    /// `seed` is what the real queue has afterwards.
    pub fn change(&mut self, rules: Rules, seed: Option<Seed>) {
        self.bucket = Some((self.level(), self.now));
        self.draw();
        let is_turned = self.rules.order != rules.order;
        self.rules = rules;
        let begins = self.rules.order == Order::Lottery
            && self.rules.state == State::Scheduled
            && self.rules.opens_at.is_some_and(|at| self.now < at);
        let has_lots = self
            .lanes
            .iter()
            .any(|lane| lane.range(..0).next().is_some());
        if begins && self.drawn.is_some() && !has_lots {
            (self.seed, self.lots, self.drawn) = (None, None, None);
        }
        if begins && self.seed.is_none() {
            self.seed = seed;
        }
        let is_empty = self.lanes.iter().all(BTreeMap::is_empty);
        if (begins || is_turned) && self.seed.is_some() && self.drawn.is_none() && !is_empty {
            self.is_unsorted = true;
        }
        self.draw();
    }

    /// All that the store held is lost; gateways know all rules, and the last ticket.
    pub fn lose(&mut self) {
        if self.rules.order == Order::Lottery {
            self.draw();
        }
        let (rules, epoch) = (self.rules.clone(), self.epoch);
        *self = Self {
            now: self.now,
            seed: self.seed.take(),
            begin_us: self.begin_us,
            known: std::mem::take(&mut self.known),
            ends: self.ends.after_loss(),
            lots: self.lots.take(),
            drawn: self.drawn,
            last: self.last,
            recovers_at: self.now + RECOVERY,
            seen: self.seen,
            ..Self::new(rules, epoch)
        };
        self.is_unsorted = self.seed.is_some();
        self.seen.lost += 1;
    }

    pub fn inside(&self) -> BTreeSet<Who> {
        self.inside.keys().copied().collect()
    }

    pub fn is_unsorted(&self) -> bool {
        self.is_unsorted
    }

    pub fn is_undrawn(&self) -> bool {
        let is_to_come = self.drawn.is_none() && self.rules.order == Order::Lottery;
        self.seed.is_some() && (self.is_unsorted || is_to_come)
    }
}
