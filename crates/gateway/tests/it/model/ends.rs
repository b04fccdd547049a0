//! The visits that each gateway saw end lately, which it tells to the next life of the queue.

use std::collections::BTreeSet;

use super::{Model, Unsure, Who};

/// For so many seconds an end is remembered.
const KEPT: u64 = 600;

#[derive(Debug, Default, Clone)]
pub struct Ends {
    /// Gateway, user, ticket, when.
    seen: Vec<(usize, Who, u64, u64)>,
    /// Gateways that told this life already; in the first one nobody has to.
    told: Option<BTreeSet<usize>>,
}

impl Ends {
    /// As gateways know them when the store has lost all.
    pub fn after_loss(&mut self) -> Self {
        Self {
            seen: std::mem::take(&mut self.seen),
            told: Some(BTreeSet::new()),
        }
    }
}

impl Model {
    pub(super) fn note_end(&mut self, via: usize, who: Who, ticket: u64) {
        self.ends.seen.push((via, who, ticket, self.now));
    }

    /// Whether a visit may be brought back.
    pub(super) fn is_lost(&self, who: Who, ticket: u64, epoch: u64) -> bool {
        let has_another = self
            .find(who)
            .is_some_and(|(_, key)| self.ticket(key) >= ticket);
        !has_another
            && !self.is_inside(who)
            && !self.ended.contains(&ticket)
            && (epoch < self.epoch || ticket > self.last)
    }

    /// A gateway tells this life what it saw end before it, once.
    pub fn tell_ends(&mut self, via: usize) -> Result<(), Unsure> {
        let Some(told) = &mut self.ends.told else {
            return Ok(());
        };
        if !told.insert(via) {
            return Ok(());
        }
        for (of, who, ticket, at) in self.ends.seen.clone() {
            if of != via || self.now - at > KEPT {
                continue;
            }
            if self.now - at == KEPT {
                return Err(Unsure);
            }
            self.ended.insert(ticket);
            let stands = self
                .find(who)
                .filter(|(_, key)| self.ticket(*key) == ticket);
            if let Some((lane, key)) = stands {
                self.lanes[lane].remove(&key);
                self.present.remove(&who);
            } else if self.inside.get(&who).is_some_and(|it| it.ticket == ticket) {
                self.inside.remove(&who);
            }
        }
        Ok(())
    }
}
