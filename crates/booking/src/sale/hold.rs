//! The flow of a hold: seat locks, transaction, release; and a second, patient try when others take the last seats.

use super::Sale;
use crate::crash;
use crate::idempotency::{OnceError, Outcome, Request};
use crate::reservation::{
    self, Best, Conflict, Reason, Reservation, Reserve, ReserveError, Wanted,
};
use crate::seat::SeatNumbers;
use crate::seat_lock::LockOutcome;

/// What came of a wish.
pub type Held = Result<Outcome<Reservation>, OnceError<ReserveError>>;

impl Sale {
    /// Holds seats for a user: all that are wanted, or none.
    pub async fn hold(&self, wanted: Reserve, request: Request<Reservation>) -> Held {
        let held = match wanted.seats.clone() {
            Wanted::Numbers(numbers) => self.hold_numbers(wanted, &numbers, request).await,
            Wanted::Best(best) => self.hold_best(wanted, best, request).await,
        };
        if let Ok(Outcome::Fresh(reservation, _)) = &held {
            (self.on_seats_changed)(reservation.schedule_id);
        }
        held
    }

    /// Redis locks reject early; MySQL decides. A lock belongs to the user, so that a repetition, or another wish of the
    /// same user, goes on to MySQL and gets its exact answer. The locks of a hold stay for at most 5 s: by then every
    /// instance reads that the seat is held.
    async fn hold_numbers(
        &self,
        wanted: Reserve,
        seats: &SeatNumbers,
        request: Request<Reservation>,
    ) -> Held {
        let (schedule_id, user_id) = (wanted.schedule_id, wanted.user_id);
        let lives = self.limits.hold.to_std().unwrap_or_default();
        let locks = self.seat_lock.take(schedule_id, seats, user_id, lives);
        if let LockOutcome::Contended(numbers) = locks.await {
            self.metrics
                .holds
                .conflicts
                .with_label_values(&["lock"])
                .inc();
            return Err(OnceError::Refused(being_held(numbers)));
        }
        crash::point("reserve.locked");
        let held = self.decide(wanted, request).await;
        if !matches!(held, Ok(Outcome::Fresh(..))) {
            let numbers = seats.as_slice();
            self.seat_lock.release(schedule_id, numbers, user_id).await;
        }
        held
    }

    /// Seats that are chosen need no locks in Redis: no user is offered what others are taking.
    async fn hold_best(&self, wanted: Reserve, best: Best, request: Request<Reservation>) -> Held {
        let patient = Reserve {
            seats: Wanted::Best(best.patiently()),
            ..wanted.clone()
        };
        match self.decide(wanted, request.clone()).await {
            Err(OnceError::Refused(ReserveError::Crowded)) => self.decide(patient, request).await,
            held => held,
        }
    }

    async fn decide(&self, wanted: Reserve, request: Request<Reservation>) -> Held {
        let (limits, clock) = (self.limits, self.clock.clone());
        let act = move |tx: &mut _| reservation::reserve(tx, &wanted, &limits, &clock);
        let held = request.run(&self.db, &self.clock, act).await;
        let metrics = &self.metrics.holds;
        match &held {
            Ok(Outcome::Fresh(..)) => metrics.holds.inc(),
            Err(OnceError::Refused(ReserveError::SeatTaken(_) | ReserveError::SoldOut { .. })) => {
                metrics.conflicts.with_label_values(&["database"]).inc();
            }
            Ok(Outcome::Replayed(_)) | Err(_) => {}
        }
        held
    }
}

fn being_held(numbers: Vec<u16>) -> ReserveError {
    let conflict = |seat_number| Conflict {
        seat_number,
        reason: Reason::Held,
        reservation_id: None,
    };
    ReserveError::SeatTaken(numbers.into_iter().map(conflict).collect())
}
