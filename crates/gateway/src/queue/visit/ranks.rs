//! Owns the look at many visits at once, for those who watch their place and do not poll.

use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority, StoreError};
use crate::queue::{Queue, QueueError, Standing, Ticket};

/// Visits that one script looks up: it stands in the way of others for less than a millisecond.
const BATCH: usize = 200;

impl Queue {
    /// Where each of many visits stands. `None` is for a visit that is neither plainly in line nor
    /// inside: [`Queue::rank`] finds out. Who waits is there by it, as in [`Queue::present`]; who
    /// is inside does not show up by it.
    ///
    /// One round trip for 200 visits.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn ranks(&self, tickets: &[Ticket]) -> Result<Vec<Option<Standing>>, QueueError> {
        let mut standings = Vec::with_capacity(tickets.len());
        for batch in tickets.chunks(BATCH) {
            let mut call = self.visitors_call(&script::RANKS);
            for ticket in batch {
                call.arg(ticket.user.member()).arg(ticket.number);
            }
            let found: Vec<Reply> = self.store().run(Priority::Background, &call).await?;
            if found.len() != batch.len() {
                return Err(StoreError::Odd("an answer of another length").into());
            }
            for reply in &found {
                standings.push(match reply.verdict() {
                    "unclear" => None,
                    _ => Some(self.standing(reply)?),
                });
            }
        }
        Ok(standings)
    }
}
