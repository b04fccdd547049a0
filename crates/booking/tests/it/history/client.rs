//! One client: acts at random, and knows what each answer must be.

use std::sync::Arc;

use booking::cancellation::CancelError;
use booking::payment::{PayError, Payment, RefundError};
use booking::reservation::{Best, Reason, Reservation, Reserve, ReserveError, Wanted};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::{SEATS, Step, World};
use crate::fixture::{fresh, plain};

/// A reservation and what its client did with it.
#[derive(Debug, Clone)]
pub struct Mine {
    pub reservation: Reservation,
    /// From the beginning to the end of the act that held it.
    pub held: (Step, Step),
    /// The first step at which the hold is over.
    pub over: Step,
    pub paid: Option<(Step, Step)>,
    /// Cancelled, or refunded.
    pub given_back: Option<(Step, Step)>,
    pub payment: Option<Payment>,
}

/// A seat that could not be had.
#[derive(Debug)]
pub struct Refusal {
    pub seat_number: u16,
    pub asked: (Step, Step),
}

pub struct Client {
    world: Arc<World>,
    number: usize,
    random: StdRng,
    pub user_id: Uuid,
    /// What the answers so far make of the wallet.
    pub balance: i64,
    pub mine: Vec<Mine>,
    pub refusals: Vec<Refusal>,
}

impl Client {
    pub fn new(world: Arc<World>, number: usize) -> Self {
        Self {
            world,
            number,
            random: StdRng::seed_from_u64(number as u64),
            user_id: Uuid::new_v4(),
            balance: 0,
            mine: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Does anything.
    pub async fn act(&mut self) {
        match self.random.random_range(0..100) {
            0..10 => self.charge().await,
            10..32 => self.reserve().await,
            32..42 => self.reserve_best().await,
            42..68 => self.pay().await,
            68..80 => self.cancel().await,
            80..96 => self.refund().await,
            _ => self.sweep().await,
        }
    }

    async fn charge(&mut self) {
        let minor = self.random.random_range(1..=9_000);
        self.world.step();
        let charged = self
            .world
            .fixture
            .charge(self.number, self.user_id, minor)
            .await;
        self.balance += minor;
        assert_eq!(charged.expect("charged").balance, self.balance);
    }

    async fn reserve(&mut self) {
        let mut numbers: Vec<i64> = (0..self.random.random_range(1..=3))
            .map(|_| self.random.random_range(1..=i64::from(SEATS)))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let wish = self.world.fixture.wish(self.user_id, &numbers);
        self.try_reserve(wish, numbers.len()).await;
    }

    async fn reserve_best(&mut self) {
        let count = self.random.random_range(1..=3);
        let best = Best::parse(count, None, 4).unwrap();
        let wish = Reserve {
            seats: Wanted::Best(best),
            ..self.world.fixture.wish(self.user_id, &[1])
        };
        self.try_reserve(wish, count as usize).await;
    }

    async fn try_reserve(&mut self, wish: Reserve, count: usize) {
        let begin = self.world.step();
        let now = self.world.time(begin);
        let sale = self.world.fixture.sale(self.number, now);
        let outcome = fresh(sale.hold(wish, plain()).await);
        let conflicts = &sale.metrics.holds.conflicts;
        if conflicts.with_label_values(&["lock"]).get() > 0 {
            // A lock may outlive its hold by some milliseconds, so this refusal needs no owner.
            return;
        }
        let end = self.world.step();
        // A hold that ends in the course of this act counts or does not.
        let has = |step| self.mine.iter().map(|mine| mine.seats_at(step)).sum();
        let (least, most): (usize, usize) = (has(end), has(begin));
        match outcome {
            Ok(reservation) => {
                assert_eq!(reservation.seats.len(), count);
                assert!(least + count <= 4, "more than a user may have");
                let over = self.world.step_of(reservation.hold_expires_at);
                self.mine.push(Mine {
                    reservation,
                    held: (begin, end),
                    over,
                    paid: None,
                    given_back: None,
                    payment: None,
                });
            }
            Err(ReserveError::SeatTaken(conflicts)) => {
                let asked = (begin, end);
                for conflict in conflicts {
                    if conflict.reason == Reason::Yours {
                        let own =
                            |mine: &&Mine| Some(mine.reservation.id) == conflict.reservation_id;
                        let own = self.mine.iter().find(own).expect("my own");
                        assert!(own.may_be_live(begin), "{own:?}");
                    }
                    let seat_number = conflict.seat_number;
                    self.refusals.push(Refusal { seat_number, asked });
                }
            }
            Err(ReserveError::TooManySeats { has: told, .. }) => {
                assert!((least..=most).contains(&usize::from(told)));
                assert!(usize::from(told) + count > 4, "fewer than a user may have");
            }
            Err(ReserveError::SoldOut { available }) => assert!(available < count),
            Err(other) => panic!("not an answer to a wish: {other}"),
        }
    }

    /// One of this client's reservations, mostly a late one.
    fn one_of_mine(&mut self) -> Option<usize> {
        let first = self.mine.len().checked_sub(1)?.saturating_sub(3);
        Some(self.random.random_range(first..self.mine.len()))
    }

    async fn pay(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let reservation = self.mine[index].reservation.clone();
        let begin = self.world.step();
        let now = self.world.time(begin);
        let outcome = self
            .world
            .fixture
            .try_pay(self.number, &reservation, now)
            .await;
        let end = self.world.step();
        let missing = reservation.amount - self.balance;
        let mine = &mut self.mine[index];
        match outcome {
            Ok(payment) => {
                assert!(mine.may_be_live(begin) && missing <= 0, "{mine:?}");
                assert_eq!(payment.amount, reservation.amount);
                self.balance -= payment.amount;
                mine.paid = Some((begin, end));
                mine.payment = Some(payment);
            }
            Err(PayError::HoldExpired) => {
                assert!(mine.is_unpaid() && end >= mine.over, "{mine:?}");
            }
            Err(PayError::BalanceShort { missing: told }) => {
                assert!(mine.may_be_live(begin), "{mine:?}");
                assert_eq!(told, missing);
            }
            Err(PayError::Cancelled) => {
                assert!(mine.paid.is_none() && mine.given_back.is_some(), "{mine:?}");
            }
            Err(PayError::AlreadyPaid { .. }) => assert!(mine.paid.is_some(), "{mine:?}"),
            Err(other) => panic!("not an answer to a payment: {other}"),
        }
    }

    async fn cancel(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let reservation = self.mine[index].reservation.clone();
        let begin = self.world.step();
        let now = self.world.time(begin);
        let outcome = self
            .world
            .fixture
            .cancel(self.number, &reservation, now)
            .await;
        let end = self.world.step();
        let mine = &mut self.mine[index];
        match outcome {
            Ok(cancelled) if cancelled.changed => {
                assert!(mine.is_paid() || mine.may_be_live(begin), "{mine:?}");
                if mine.is_paid() {
                    self.balance += reservation.amount;
                }
                mine.given_back = Some((begin, end));
            }
            Ok(_) => assert!(mine.given_back.is_some() || end >= mine.over, "{mine:?}"),
            Err(other @ CancelError::Db(_)) => panic!("{other}"),
            Err(other) => panic!("not an answer to a cancellation: {other}"),
        }
    }

    async fn refund(&mut self) {
        let Some(index) = self.one_of_mine() else {
            return;
        };
        let Some(payment) = self.mine[index].payment.clone() else {
            return;
        };
        let begin = self.world.step();
        let now = self.world.time(begin);
        let outcome = self.world.fixture.refund(self.number, &payment, now).await;
        let end = self.world.step();
        let mine = &mut self.mine[index];
        match outcome {
            Ok(_) => {
                assert!(mine.is_paid(), "{mine:?}");
                self.balance += payment.amount;
                mine.given_back = Some((begin, end));
            }
            Err(RefundError::AlreadyRefunded) => assert!(mine.given_back.is_some(), "{mine:?}"),
            Err(other) => panic!("not an answer to a refund: {other}"),
        }
    }

    async fn sweep(&mut self) {
        let now = self.world.time(self.world.step());
        let swept = self.world.fixture.expire(self.number, now, 10).await;
        swept.expect("a step always ends well");
    }
}

impl Mine {
    /// Seats that count against the limit of the user at `step`.
    fn seats_at(&self, step: Step) -> usize {
        let live = self.is_paid() || self.may_be_live(step);
        if live {
            self.reservation.seats.len()
        } else {
            0
        }
    }

    /// Held, as far as its own client knows.
    fn is_unpaid(&self) -> bool {
        self.paid.is_none() && self.given_back.is_none()
    }

    fn is_paid(&self) -> bool {
        self.paid.is_some() && self.given_back.is_none()
    }

    fn may_be_live(&self, step: Step) -> bool {
        self.is_unpaid() && step < self.over
    }
}
