//! What the verbs of the model are made of: keys, the head of the line, who is there, who is inside.

use gateway::merkle::Tree;
use gateway::queue::policy::{Order, State};

use super::{
    ALLOWANCE, CLAIM, EXCUSED, Eyes, FAST_MILLI, FIRST_PAUSE, Inside, JOINED, KEPT, LEASE, LOTS,
    MICRO, Model, NEAR, PARKED, PARKED_BEFORE, RETURNED, Ran, STEADY, Told, Unsure, WAITING, Who,
};

impl Model {
    pub(super) fn is_opened(&self) -> bool {
        match self.rules.state {
            State::Open | State::Bypass => true,
            State::Scheduled => self.rules.opens_at.is_some_and(|at| self.now >= at),
            State::Paused | State::Closed => false,
        }
    }

    pub(super) fn in_force(&self) -> State {
        let state = match self.rules.state {
            State::Scheduled if self.is_opened() => State::Open,
            state => state,
        };
        if state == State::Open && self.now < self.recovers_at {
            return State::Paused;
        }
        state
    }

    pub(super) fn draw(&mut self) {
        if self.seed.is_none() || self.drawn.is_some() || !self.is_opened() {
            return;
        }
        if self.rules.order == Order::Lottery {
            self.drawn = Some(self.last);
            self.is_unsorted = true;
            self.seen.draws += 1;
        } else if !self.is_unsorted {
            self.seed = None;
        }
    }

    /// Fixes who takes part, once nobody who lost their place may be missing, and makes the key of it.
    pub fn settle(&mut self) {
        let (Some(seed), Some(drawn)) = (&self.seed, self.drawn) else {
            return;
        };
        if !self.is_unsorted || self.lots.is_some() || self.now < self.recovers_at {
            return;
        }
        let keys = self.lanes.iter().flat_map(|lane| lane.keys());
        // Who is inside and has not shown up may come back to the line with the own ticket.
        let unclaimed = self.inside.values().filter(|it| !it.showed_up);
        let tickets = keys.map(|key| self.ticket(*key));
        let tickets = tickets.chain(unclaimed.map(|it| it.ticket));
        let tree = Tree::new(tickets.filter(|ticket| *ticket <= drawn).collect());
        self.lots = Some(seed.key(&tree.root(), ""));
    }

    /// The key of who takes part in a draw.
    fn lot_key(&self, ticket: u64) -> Option<i64> {
        self.seed.as_ref()?;
        Some(match &self.lots {
            Some(lots) => i64::try_from(lots.lot(ticket)).unwrap() - LOTS,
            None => i64::try_from(ticket).unwrap() - 2 * LOTS,
        })
    }

    pub(super) fn key(&self, ticket: u64) -> i64 {
        let has_lot = match self.drawn {
            Some(last) => ticket <= last,
            None => self.rules.order == Order::Lottery,
        };
        let plain = i64::try_from(ticket).unwrap();
        self.lot_key(ticket).filter(|_| has_lot).unwrap_or(plain)
    }

    pub(super) fn ticket(&self, key: i64) -> u64 {
        let undrawn = (key < -LOTS).then_some(key + 2 * LOTS);
        u64::try_from(undrawn.unwrap_or(key)).unwrap_or_else(|_| {
            let lot = u64::try_from(key + LOTS).unwrap();
            self.lots.as_ref().expect("a lot").ticket(lot)
        })
    }

    pub(super) fn sort_out(&mut self) {
        let is_settled = self.drawn.is_none() || self.lots.is_some();
        if !self.is_unsorted || !is_settled {
            return;
        }
        self.is_unsorted = false;
        for lane in 0..4 {
            for (key, who) in std::mem::take(&mut self.lanes[lane]) {
                let key = self.key(self.ticket(key));
                self.lanes[lane].insert(key, who);
            }
        }
        (self.called, self.calling) = (None, None);
        self.seen.sorted += 1;
    }

    pub(super) fn tidy(&mut self) {
        if self.kept_since.is_none_or(|since| self.now - since >= KEPT) {
            self.kept_since = Some(self.now);
            self.lanes[PARKED_BEFORE] = std::mem::take(&mut self.lanes[PARKED]);
        }
    }

    /// Records who came near, and parks whose record is over.
    pub(super) fn watch_over_line(&mut self, eyes: Eyes, ran: &mut Ran) -> Result<(), Unsure> {
        let first = self.lanes[WAITING].first_key_value();
        let came = |key: i64| (self.ticket(key).saturating_sub(self.begin_us)) / MICRO;
        let first_came = first.map_or(self.now, |(key, _)| came(*key));
        let ran_at = self.ran_at.unwrap_or(first_came);
        if self.now - ran_at.min(self.now) > STEADY {
            self.excused_until = self.now + EXCUSED;
        }
        self.ran_at = Some(self.now);
        let is_excused = self.now < self.excused_until;
        if is_excused || self.is_undrawn() || self.in_force() == State::Scheduled {
            self.calling = None;
            return Ok(());
        }
        self.park_absent(ran)?;
        if let Some((edge, (least, most))) = self.calling {
            let now_us = self.now * MICRO;
            let first = self.lanes[WAITING].keys().next();
            let is_none_before = first.is_none_or(|key| *key > edge);
            if now_us >= most || is_none_before {
                self.park_unrecorded(edge, ran);
            } else if now_us + self.drift_us >= least {
                return Err(Unsure);
            }
        }
        if self.calling.is_none() {
            self.call_edge(eyes);
        }
        Ok(())
    }

    /// All who are in line are near: there are few.
    fn call_edge(&mut self, eyes: Eyes) {
        let is_new = |key: &&i64| self.called.is_none_or(|called| **key > called);
        let line = &self.lanes[WAITING];
        let (first, edge) = (line.keys().find(is_new), line.keys().next_back());
        if let (Some(first), Some(edge)) = (first, edge) {
            // Lots do not ascend with the age of tickets.
            let oldest = if *first < 0 { 0 } else { self.ticket(*first) };
            let until = self.proven_until(NEAR, oldest, eyes);
            self.calling = Some((*edge, until));
        }
    }

    fn park_unrecorded(&mut self, edge: i64, ran: &mut Ran) {
        let line: Vec<_> = self.lanes[WAITING].iter().map(|(k, w)| (*k, *w)).collect();
        for (key, who) in line {
            let is_new = self.called.is_none_or(|called| key > called) && key <= edge;
            if is_new && !self.present.contains_key(&who) {
                self.lanes[WAITING].remove(&key);
                self.lanes[PARKED].insert(key, who);
                ran.parked += 1;
                self.seen.parked += 1;
            }
        }
        (self.called, self.calling) = (Some(edge), None);
    }

    fn park_absent(&mut self, ran: &mut Ran) -> Result<(), Unsure> {
        let now_us = self.now * MICRO;
        for (who, (least, most)) in self.present.clone() {
            if least > now_us + self.drift_us {
                continue;
            }
            let Some((lane, key)) = self.find(who).filter(|(lane, _)| *lane <= RETURNED) else {
                self.present.remove(&who);
                continue;
            };
            if most >= now_us {
                return Err(Unsure);
            }
            self.present.remove(&who);
            self.lanes[lane].remove(&key);
            self.lanes[PARKED].insert(key, who);
            ran.parked += 1;
            self.seen.parked += 1;
        }
        Ok(())
    }

    pub(super) fn pass(&mut self, places: usize, ran: &mut Ran) {
        while ran.entered.len() < places {
            let head = |lane: usize| self.lanes[lane].first_key_value().map(|(k, w)| (*k, *w));
            let (returned, waiting) = (head(RETURNED), head(WAITING));
            let lane = match (returned, waiting) {
                (Some(early), Some(late)) if early <= late => RETURNED,
                (_, Some(_)) => WAITING,
                (Some(_), None) => RETURNED,
                (None, None) => break,
            };
            let Some((key, who)) = self.lanes[lane].pop_first() else {
                break;
            };
            self.present.remove(&who);
            let ticket = self.ticket(key);
            ran.entered.push((who, ticket));
            let inside = Inside {
                ticket,
                until_us: (self.now + CLAIM) * MICRO,
                showed_up: false,
                lease_end_us: 0,
            };
            self.inside.insert(who, inside);
        }
    }

    /// What somebody is told who joined, or has the place already.
    pub(super) fn joined(&mut self, who: Who, key: i64) -> Told {
        if self.is_undrawn() {
            return Told::Hidden;
        }
        let mut until_us = (self.now + JOINED) * MICRO;
        if let (State::Scheduled, Some(opens_at)) = (self.rules.state, self.rules.opens_at) {
            until_us = until_us.max((opens_at + JOINED) * MICRO);
        }
        let before = self.present.get(&who).copied().unwrap_or_default();
        let until = (before.0.max(until_us), before.1.max(until_us));
        self.present.insert(who, until);
        Told::Line {
            ahead: self.ahead(key),
        }
    }

    pub(super) fn come_back(&mut self, who: Who, lane: usize, key: i64) -> usize {
        if lane < PARKED {
            return lane;
        }
        self.lanes[lane].remove(&key);
        self.lanes[RETURNED].insert(key, who);
        self.seen.came_back += 1;
        RETURNED
    }

    /// What a visitor in line is told by a poll, after they showed up by it and returned if they were
    /// parked.
    pub(super) fn stand(
        &mut self,
        who: Who,
        lane: usize,
        key: i64,
        eyes: Eyes,
    ) -> Result<Told, Unsure> {
        let lane = self.come_back(who, lane, key);
        if self.is_undrawn() {
            return Ok(Told::Hidden);
        }
        let is_lazy = eyes.is_lazy && lane == WAITING;
        self.show_up(who, key, Eyes { is_lazy, ..eyes });
        let ahead = self.ahead(key);
        if lane == RETURNED && self.has_room() {
            self.admit(eyes)?;
            if self.is_inside(who) {
                return Ok(self.show_up_inside(who));
            }
            if self.is_undrawn() {
                return Ok(Told::Line { ahead });
            }
            if let Some((_, key)) = self.find(who) {
                return Ok(Told::Line {
                    ahead: self.ahead(key),
                });
            }
        }
        Ok(Told::Line { ahead })
    }

    /// How long a poll proves somebody there: by the pause that is told, and where doors are to open until after that.
    fn proven_until(&self, turn: u64, ticket: u64, eyes: Eyes) -> (u64, u64) {
        let (least, most) = self.pause_until(turn, ticket, eyes);
        match (self.in_force(), self.rules.opens_at) {
            (State::Scheduled, Some(at)) => {
                let opened = (at + JOINED) * MICRO;
                (least.max(opened), most.max(opened))
            }
            _ => (least, most),
        }
    }

    /// The pause that is told at most and half an allowance more than it takes, at least and at most.
    fn pause_until(&self, turn: u64, ticket: u64, eyes: Eyes) -> (u64, u64) {
        let now_us = self.now * MICRO;
        let until_us = |drift_us: u64| {
            let age_us = (self.begin_us + now_us + drift_us).saturating_sub(ticket);
            let mut pause = (eyes.pace_us * turn).min(360 * MICRO);
            if turn <= eyes.head {
                pause = pause.min(eyes.cap_us);
            }
            let pause = pause.min((age_us / 2).max(FIRST_PAUSE * MICRO));
            now_us + pause + (ALLOWANCE * MICRO).max(pause / 4) * 3 / 2
        };
        (until_us(0), until_us(self.drift_us + 1_000))
    }

    pub(super) fn show_up(&mut self, who: Who, key: i64, eyes: Eyes) {
        let turn = self.ahead(key) + 1 + self.lanes[RETURNED].len() as u64;
        let ticket = self.ticket(key);
        let until = self.proven_until(turn, ticket, eyes);
        let before = self.present.get(&who).copied().unwrap_or_default();
        let now_us = self.now * MICRO;
        // What is needed is two thirds of what lies behind the pause: a gateway asks for no more, whatever it knows of doors.
        let known = self.known.get(&(eyes.via, ticket)).copied().unwrap_or(0);
        let (least, _) = self.pause_until(turn, ticket, eyes);
        let may_know = eyes.is_lazy && known + MICRO > least - (least - now_us) / 3;
        let present = if may_know {
            (before.0.min(until.0), before.1.max(until.1))
        } else {
            until
        };
        if eyes.is_lazy {
            self.known.insert((eyes.via, ticket), known.max(until.1));
        }
        self.present.insert(who, present);
    }

    pub(super) fn show_up_inside(&mut self, who: Who) -> Told {
        let (now, idle) = (self.now, self.rules.idle);
        let inside = self.inside.get_mut(&who).expect("somebody inside");
        if !std::mem::replace(&mut inside.showed_up, true) {
            inside.lease_end_us = (now + LEASE) * MICRO;
            inside.until_us = inside.lease_end_us;
        }
        if idle > 0 {
            // A second more, because a gateway renews once a second at most.
            inside.until_us = inside.lease_end_us.min((now + idle + 1) * MICRO);
        }
        Told::Active
    }

    pub(super) fn has_room(&self) -> bool {
        let valid = self
            .inside
            .values()
            .filter(|it| it.until_us > self.now * MICRO);
        match self.in_force() {
            State::Bypass => true,
            State::Open => self.level() >= 1_000 && valid.count() < self.rules.max_active,
            _ => false,
        }
    }

    pub(super) fn level(&self) -> u64 {
        let size = self.rules.rate_milli.max(1_000);
        if self.rules.rate_milli == FAST_MILLI {
            // A token each 10 µs of the real time, which the model does not have.
            return size;
        }
        let gained = |(level, at): (u64, u64)| level + (self.now - at) * self.rules.rate_milli;
        self.bucket.map_or(size, |bucket| gained(bucket).min(size))
    }

    pub(super) fn ahead(&self, key: i64) -> u64 {
        self.lanes[WAITING].range(..key).count() as u64
    }

    pub(super) fn find(&self, who: Who) -> Option<(usize, i64)> {
        let of = |lane: usize| self.lanes[lane].iter().find(|(_, it)| **it == who);
        (0..4).find_map(|lane| of(lane).map(|(key, _)| (lane, *key)))
    }

    pub(super) fn is_inside(&self, who: Who) -> bool {
        self.inside
            .get(&who)
            .is_some_and(|it| it.until_us > self.now * MICRO)
    }

    /// Tells the ticket of the visit.
    pub(super) fn end_visit(&mut self, who: Who) -> Option<u64> {
        let inside = self.inside.remove(&who)?;
        self.forget(inside.ticket);
        Some(inside.ticket)
    }

    /// Who never showed up keeps the ticket; of anybody else it is noted that the visit is over.
    pub(super) fn end_lease(&mut self, who: Who, via: usize) {
        let Some(inside) = self.inside.remove(&who) else {
            return;
        };
        if inside.showed_up {
            self.forget(inside.ticket);
            self.note_end(via, who, inside.ticket);
            if self.rules.idle > 0 && inside.lease_end_us > self.now * MICRO {
                self.idled.insert(who, inside.lease_end_us);
                self.seen.idled += 1;
            }
        } else {
            let key = self.key(inside.ticket);
            self.lanes[PARKED].insert(key, who);
            self.seen.no_shows += 1;
        }
    }

    pub(super) fn forget(&mut self, ticket: u64) {
        if ticket < self.epoch {
            self.ended.insert(ticket);
        }
    }
}
