//! What the verbs of the model are made of: keys, the head of the line, who is there, who is inside.

use gateway::queue::policy::{Order, State};

use super::{
    CLAIM, Eyes, FAST_MILLI, Inside, KEPT, LEASE, LOTS, MICRO, Model, PARKED, PARKED_BEFORE,
    RETURNED, Ran, STEADY, Told, Unsure, WAITING, Who,
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
            self.seen.draws += 1;
        } else if !self.is_unsorted {
            self.seed = None;
        }
    }

    pub(super) fn lot_key(&self, ticket: u64) -> Option<i64> {
        let lot = i64::try_from(self.seed.as_ref()?.lot(ticket)).unwrap();
        Some(lot - LOTS)
    }

    pub(super) fn key(&self, ticket: u64) -> i64 {
        let has_lot = match self.drawn {
            Some(last) => ticket <= last,
            None => self.rules.order == Order::Lottery,
        };
        let plain = i64::try_from(ticket).unwrap();
        self.lot_key(ticket).filter(|_| has_lot).unwrap_or(plain)
    }

    /// The key of a place that is not sorted yet.
    pub(super) fn other_key(&self, ticket: u64) -> i64 {
        let plain = i64::try_from(ticket).unwrap();
        if self.key(ticket) == plain {
            self.lot_key(ticket).unwrap_or(plain)
        } else {
            plain
        }
    }

    pub(super) fn ticket(&self, key: i64) -> u64 {
        u64::try_from(key).unwrap_or_else(|_| {
            let lot = u64::try_from(key + LOTS).unwrap();
            self.seed.as_ref().expect("a lot").ticket(lot)
        })
    }

    pub(super) fn sort_out(&mut self) {
        if !std::mem::take(&mut self.is_unsorted) {
            return;
        }
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

    pub(super) fn call_near(&mut self) {
        let is_steady = self.ran_at.is_some_and(|at| self.now - at <= STEADY);
        self.ran_at = Some(self.now);
        if self.is_undrawn() || !is_steady {
            (self.called, self.calling) = (None, None);
        }
        let is_young = |(_, at): (i64, u64)| self.now - at < CLAIM / 2;
        if self.is_undrawn() || self.calling.is_some_and(is_young) {
            return;
        }
        let edge = self.lanes[WAITING].keys().next_back().copied();
        self.called = self.calling.zip(edge).map(|((key, _), edge)| key.min(edge));
        self.calling = edge.map(|edge| (edge, self.now));
    }

    pub(super) fn pass(&mut self, places: usize, ran: &mut Ran) -> Result<(), Unsure> {
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
            let is_called = lane == RETURNED || self.called.is_some_and(|called| key <= called);
            let (least, most) = self.present.get(&who).copied().unwrap_or_default();
            let now_us = self.now * MICRO;
            let is_there = least > now_us + self.drift_us;
            if is_called && !is_there && most >= now_us {
                return Err(Unsure);
            }
            self.present.remove(&who);
            if is_called && !is_there {
                ran.parked += 1;
                self.seen.parked += 1;
                self.lanes[PARKED].insert(key, who);
                continue;
            }
            let ticket = self.ticket(key);
            ran.entered.push((who, ticket));
            // Who was told a long pause has the time to end it.
            let claimed = |until_us: u64| {
                let due_us = until_us.saturating_sub(CLAIM * MICRO);
                (now_us + CLAIM * MICRO).max(due_us + CLAIM * MICRO / 2)
            };
            if claimed(least) != claimed(most) {
                return Err(Unsure);
            }
            let inside = Inside {
                ticket,
                until_us: claimed(most),
                showed_up: false,
            };
            self.inside.insert(who, inside);
        }
        Ok(())
    }

    /// What a visitor in line is told, after they showed up by it and returned if they were parked.
    pub(super) fn stand(
        &mut self,
        who: Who,
        lane: usize,
        key: i64,
        eyes: Eyes,
        is_joining: bool,
    ) -> Result<Told, Unsure> {
        let mut at = lane;
        if lane >= PARKED {
            self.lanes[lane].remove(&key);
            self.lanes[RETURNED].insert(key, who);
            at = RETURNED;
            self.seen.came_back += 1;
        }
        if self.is_undrawn() {
            return Ok(Told::Hidden);
        }
        self.show_up(who, key, eyes);
        let ahead = self.ahead(key);
        if (is_joining || at == RETURNED) && self.has_room() {
            self.admit()?;
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

    pub(super) fn show_up(&mut self, who: Who, key: i64, eyes: Eyes) {
        let turn = self.ahead(key) + 1 + self.lanes[RETURNED].len() as u64;
        let pause_us = (eyes.pace_us * turn).min(360 * MICRO);
        let until_us = (self.now + CLAIM) * MICRO + pause_us;
        let before = self.present.get(&who).copied().unwrap_or_default();
        let present = if eyes.is_lazy {
            (before.0.min(until_us), before.1.max(until_us))
        } else {
            (until_us, until_us)
        };
        self.present.insert(who, present);
    }

    pub(super) fn show_up_inside(&mut self, who: Who) -> Told {
        let until_us = (self.now + LEASE) * MICRO;
        let inside = self.inside.get_mut(&who).expect("somebody inside");
        if !std::mem::replace(&mut inside.showed_up, true) {
            inside.until_us = until_us;
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

    pub(super) fn end_visit(&mut self, who: Who) {
        if let Some(inside) = self.inside.remove(&who) {
            self.forget(inside.ticket);
        }
    }

    pub(super) fn forget(&mut self, ticket: u64) {
        if ticket < self.epoch {
            self.ended.insert(ticket);
        }
    }
}
