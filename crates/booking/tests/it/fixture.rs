//! A fixture of its own for each test: a fresh database, two instances of the service on it, one concert.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use booking::audit::Actor;
use booking::cancellation::{CancelError, Cancelled};
use booking::concert::{
    self, Layout, NewConcert, NewSchedule, QueueName, RefundRules, Section, Title, default_layout,
};
use booking::db::{Db, DbError, DbOptions, Failure, Tx, new_id};
use booking::idempotency::{Answer, Claim, OnceError, Outcome, Request};
use booking::payment::{Extent, Pay, PayError, Payment, Refund, RefundError, Refunded};
use booking::reconciliation::{self, Report};
use booking::reservation::{self, Limits, Reservation, Reserve, ReserveError, Wanted};
use booking::sale::{Sale, SaleMetrics};
use booking::seat::{self, SeatNumbers, SeatState};
use booking::seat_lock::SeatLock;
use booking::wallet::{self, Amount, Charge, ChargeError, Charged};
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::BigInt;
use diesel::{RunQueryDsl, sql_query};
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Who puts things on sale.
pub const OPERATOR: Actor<'static> = Actor::Operator("operator:tests");
/// Enough to pay any four seats of the default layout.
pub const PLENTY: i64 = 1_000_000;

/// Small pools, because many tests run at once; a long wait, because these tests count winners and not milliseconds.
pub fn options() -> DbOptions {
    DbOptions {
        pool_size: 8,
        wait: Duration::from_secs(30),
        deadline: Duration::from_secs(40),
        ..DbOptions::default()
    }
}

/// The numbers from 1 to `most`, at most 10,000, as rows `seq` to select from, in words that every server knows.
pub fn numbers(most: usize) -> String {
    let digits: Vec<_> = (1..10)
        .map(|digit| format!("UNION ALL SELECT {digit}"))
        .collect();
    let digits = format!("(SELECT 0 AS d {})", digits.join(" "));
    format!(
        "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS seq \
         FROM {digits} a, {digits} b, {digits} c, {digits} e) numbers WHERE seq <= {most}"
    )
}

#[derive(Clone)]
pub struct Fixture {
    pub url: String,
    /// Two pools on one database play two instances.
    pub instances: [Db; 2],
    pub concert_id: Uuid,
    pub schedule_id: Uuid,
    /// When sales are open. Time is an argument, so tests add to it.
    pub now: Timestamp,
    pub limits: Limits,
    /// Without a Redis: the promises are kept by MySQL alone.
    pub lock: SeatLock,
}

impl Fixture {
    pub async fn open() -> Self {
        Self::with(default_layout()).await
    }

    pub async fn with(layout: Layout) -> Self {
        Self::at(testbed::mariadb().create_database(), layout).await
    }

    /// A venue in an empty database of any server.
    pub async fn at(url: String, layout: Layout) -> Self {
        let instances = [0, 1].map(|_| Db::connect(&url, options()).expect("a URL"));
        let now = Clock::system().now();
        Db::migrate(&url).await.expect("a schema");
        let concert = NewConcert {
            title: title("Nights"),
            venue: Some(title("Hall")),
            queue: queue("main"),
        };
        let new = schedule(now, layout);
        let (concert_id, schedule_id) = instances[0]
            .transaction(move |tx| {
                let concert = concert::create(tx, &concert, OPERATOR, now)?;
                let schedule = concert::add_schedule(tx, concert.id, &new, OPERATOR, now)?;
                Ok::<_, concert::ScheduleError>((concert.id, schedule.id))
            })
            .await
            .expect("a concert");
        Self {
            url,
            instances,
            concert_id,
            schedule_id,
            now,
            limits: Limits::default(),
            lock: no_lock(now),
        }
    }

    /// One of the two instances, in turn.
    pub fn db(&self, turn: usize) -> &Db {
        &self.instances[turn % self.instances.len()]
    }

    /// When a hold that begins at `self.now` ends.
    pub fn hold_end(&self) -> Timestamp {
        self.now + self.limits.hold
    }

    pub async fn another_schedule(&self) -> Self {
        self.schedule_with(|_| ()).await
    }

    /// The same concert with another date; `change` makes what is not as usual.
    pub async fn schedule_with(&self, change: impl FnOnce(&mut NewSchedule)) -> Self {
        let (concert_id, now) = (self.concert_id, self.now);
        let mut new = schedule(now, default_layout());
        change(&mut new);
        let add = move |tx: &mut Tx| concert::add_schedule(tx, concert_id, &new, OPERATOR, now);
        let added = self.instances[0].transaction(add).await;
        Self {
            schedule_id: added.expect("a schedule").id,
            ..self.clone()
        }
    }

    pub fn wish(&self, user_id: Uuid, seats: &[i64]) -> Reserve {
        Reserve {
            id: new_id(self.now),
            user_id,
            newcomer: None,
            schedule_id: self.schedule_id,
            seats: Wanted::Numbers(SeatNumbers::parse(seats, 10).expect("seat numbers")),
            queue: queue("main"),
        }
    }

    /// The verbs on one of the two instances, whose clock stands still at this instant.
    pub fn sale(&self, turn: usize, now: Timestamp) -> Sale {
        Sale {
            db: self.db(turn).clone(),
            seat_lock: self.lock.clone(),
            clock: Clock::stopped_at(now),
            limits: self.limits,
            metrics: SaleMetrics::new(),
            on_seats_changed: Arc::new(|_| ()),
        }
    }

    pub async fn try_reserve(
        &self,
        turn: usize,
        wish: Reserve,
        now: Timestamp,
    ) -> Result<Reservation, ReserveError> {
        fresh(self.sale(turn, now).hold(wish, plain()).await)
    }

    pub async fn reserve(&self, user_id: Uuid, seats: &[i64]) -> Reservation {
        self.try_reserve(0, self.wish(user_id, seats), self.now)
            .await
            .expect("free seats")
    }

    pub async fn try_pay(
        &self,
        turn: usize,
        held: &Reservation,
        now: Timestamp,
    ) -> Result<Payment, PayError> {
        let pay = Pay {
            payment_id: new_id(now),
            user_id: held.user_id,
            reservation_id: held.id,
        };
        fresh(self.sale(turn, now).pay(pay, plain()).await).map(|paid| paid.payment)
    }

    /// A user who has charged, reserved and paid.
    pub async fn paid(&self, seats: &[i64]) -> (Reservation, Payment) {
        let held = self.reserve(self.rich().await, seats).await;
        let payment = self.try_pay(0, &held, self.now).await.expect("a payment");
        (held, payment)
    }

    pub async fn refund(
        &self,
        turn: usize,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<Refunded, RefundError> {
        self.refund_part(turn, payment, Extent::Rest, now).await
    }

    pub async fn refund_part(
        &self,
        turn: usize,
        payment: &Payment,
        extent: Extent,
        now: Timestamp,
    ) -> Result<Refunded, RefundError> {
        let refund = Refund {
            refund_id: new_id(now),
            user_id: payment.user_id,
            payment_id: payment.id,
            extent,
        };
        fresh(self.sale(turn, now).refund(refund, plain()).await)
    }

    pub async fn cancel(
        &self,
        turn: usize,
        held: &Reservation,
        now: Timestamp,
    ) -> Result<Cancelled, CancelError> {
        self.sale(turn, now).cancel(held.user_id, held.id).await
    }

    pub async fn expire(&self, turn: usize, now: Timestamp, batch: u32) -> Result<usize, DbError> {
        self.db(turn)
            .transaction(move |tx| reservation::expire(tx, now, batch))
            .await
    }

    pub async fn charge(
        &self,
        turn: usize,
        user_id: Uuid,
        minor: i64,
    ) -> Result<Charged, ChargeError> {
        let charge = Charge {
            request_id: Uuid::new_v4(),
            user_id,
            amount: Amount::try_from(minor).expect("an amount"),
        };
        fresh(self.sale(turn, self.now).charge(charge, plain()).await)
    }

    /// A new user with [`PLENTY`].
    pub async fn rich(&self) -> Uuid {
        let user = Uuid::new_v4();
        self.charge(0, user, PLENTY).await.expect("a charge");
        user
    }

    pub async fn balance(&self, user_id: Uuid) -> i64 {
        self.instances[0]
            .read(move |conn| wallet::balance(conn, user_id))
            .await
            .expect("a balance")
    }

    pub async fn reservation(&self, of: &Reservation, now: Timestamp) -> Reservation {
        let (user_id, id) = (of.user_id, of.id);
        let found = self.instances[0]
            .read(move |conn| reservation::find(conn, user_id, id, now))
            .await;
        found.expect("an answer").expect("a reservation")
    }

    pub async fn seat_states(&self, now: Timestamp) -> Vec<SeatState> {
        let schedule_id = self.schedule_id;
        let seats = self.instances[0]
            .read(move |conn| Ok::<_, DbError>(seat::list(conn, schedule_id, now)?.seats))
            .await
            .expect("seats");
        seats.into_iter().map(|seat| seat.state).collect()
    }

    pub async fn seat_state(&self, number: usize, now: Timestamp) -> SeatState {
        self.seat_states(now).await[number - 1]
    }

    pub async fn reconciled(&self) -> Report {
        // Later than any hold of a test, whose times are its own.
        let (now, most) = (self.now + TimeDelta::hours(1), self.limits.seats_per_user);
        let report = self.instances[0]
            .read(move |conn| reconciliation::check(conn, now, most))
            .await
            .expect("a report");
        assert_eq!(report.differences, []);
        report
    }

    /// The one number that a statement answers.
    pub async fn number(&self, statement: &str) -> i64 {
        let statement = format!("SELECT CAST(({statement}) AS SIGNED) AS number");
        let found: Result<Number, DbError> = self.instances[0]
            .read(move |conn| Ok(sql_query(&statement).get_result(conn)?))
            .await;
        found.expect("a number").number
    }

    /// A transaction of one of the two instances that has done this and stays open.
    pub async fn begin<T, E>(
        &self,
        turn: usize,
        act: impl Fn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    ) -> OpenTransaction<T, E>
    where
        T: Send + 'static,
        E: Failure + Send + 'static,
    {
        let (acted, has_acted) = oneshot::channel();
        let (commit, told) = mpsc::channel();
        let (acted, told) = (Mutex::new(Some(acted)), Mutex::new(told));
        let db = self.db(turn).clone();
        let done = tokio::spawn(async move {
            let act = move |tx: &mut Tx| {
                let made: T = act(tx)?;
                if let Some(acted) = acted.lock().unwrap().take() {
                    let _ = acted.send(());
                }
                // Ends when the test says so, or with the test.
                let _ = told.lock().unwrap().recv();
                Ok::<T, E>(made)
            };
            db.transaction(act).await
        });
        has_acted.await.expect("it can be done");
        OpenTransaction { commit, done }
    }

    /// Whether the server is at a statement on this database that begins like this.
    pub async fn is_at(&self, statement: &str) -> bool {
        // MySQL cannot show statements with ids in them in the table that MariaDB has.
        let processes = self.by_server(
            "information_schema.processlist",
            "performance_schema.processlist",
        );
        let (processes, is_it) = (processes.await, format!("info LIKE '{statement}%'"));
        let count = format!("SELECT COUNT(*) FROM {processes} WHERE db = DATABASE() AND {is_it}");
        self.number(&count).await > 0
    }

    /// Words that MariaDB and MySQL have different ones for.
    pub async fn by_server(&self, mariadb: &'static str, mysql: &'static str) -> &'static str {
        match self.number("SELECT VERSION() LIKE '%MariaDB%'").await {
            0 => mysql,
            _ => mariadb,
        }
    }

    /// What a statement of the test's own does, or why it is refused.
    pub async fn raw(&self, statement: &str) -> Result<usize, DbError> {
        let statement = statement.to_owned();
        self.instances[0]
            .read(move |conn| Ok(sql_query(&statement).execute(conn)?))
            .await
    }

    /// How many rows there are of everything that a verb may write.
    pub async fn traces(&self) -> i64 {
        let tables = [
            "buyers",
            "reservations",
            "reservation_seats",
            "payments",
            "refunds",
            "ledger_entries",
            "outbox",
            "audit_log",
        ];
        let counts: Vec<_> = tables
            .iter()
            .map(|table| format!("(SELECT COUNT(*) FROM {table})"))
            .collect();
        self.number(&format!(
            "SELECT {} + (SELECT COUNT(*) FROM seats WHERE state <> 'available')",
            counts.join(" + ")
        ))
        .await
    }
}

/// A transaction that is not over.
pub struct OpenTransaction<T, E> {
    commit: mpsc::Sender<()>,
    done: JoinHandle<Result<T, E>>,
}

impl<T, E: std::fmt::Debug> OpenTransaction<T, E> {
    /// Ends it; what it has done.
    pub async fn commit(self) -> T {
        drop(self.commit);
        self.done.await.expect("no panic").expect("a commit")
    }
}

/// A request without a key, whose answer is not looked at.
pub fn plain<T>() -> Request<T> {
    Request {
        claim: None,
        answer: |_| answered("{}"),
    }
}

/// A request with this key.
pub fn keyed<T>(claim: Claim, answer: fn(&T) -> Answer) -> Request<T> {
    Request {
        claim: Some(claim),
        answer,
    }
}

/// A 201 with this body.
pub fn answered(body: impl Into<String>) -> Answer {
    Answer {
        status: 201,
        body: body.into(),
        location: None,
    }
}

/// What a request without a key made, or why it was refused.
pub fn fresh<T, E: std::fmt::Debug>(outcome: Result<Outcome<T>, OnceError<E>>) -> Result<T, E> {
    match outcome {
        Ok(Outcome::Fresh(made, _)) => Ok(made),
        Err(OnceError::Refused(refusal)) => Err(refusal),
        Ok(Outcome::Replayed(_)) => panic!("a request without a key was repeated"),
        Err(other) => panic!("not an answer to a request without a key: {other:?}"),
    }
}

/// A lock whose Redis is away; it is asked once and then never, since its clock stands still.
fn no_lock(now: Timestamp) -> SeatLock {
    let nowhere = "redis://127.0.0.1:1/0".parse().expect("a URL");
    let redis = chassis::redis::connection(&nowhere).expect("a connection");
    SeatLock::new(redis, Clock::stopped_at(now))
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

pub fn title(text: &str) -> Title {
    Title::try_from(text.to_owned()).expect("a title")
}

pub fn queue(name: &str) -> QueueName {
    QueueName::try_from(name.to_owned()).expect("a queue name")
}

/// Seats by section: what they are called, what each costs, and their numbers.
pub fn layout<const N: usize>(sections: [(&str, i64, RangeInclusive<u16>); N]) -> Layout {
    let sections = sections.map(|(grade, price, numbers)| Section {
        grade: grade.to_owned().try_into().expect("a grade"),
        price: price.try_into().expect("a price"),
        from: *numbers.start(),
        to: *numbers.end(),
    });
    Layout::try_from(sections.to_vec()).expect("a layout")
}

pub fn schedule(now: Timestamp, layout: Layout) -> NewSchedule {
    NewSchedule {
        starts_at: now + TimeDelta::days(30),
        sales_open_at: None,
        sales_close_at: None,
        max_seats_per_user: None,
        refund_rules: RefundRules::default(),
        layout,
    }
}

/// Starts all of these before it waits for the first.
pub async fn all_at_once<T: Send + 'static>(
    acts: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = acts.into_iter().map(tokio::spawn).collect();
    join_all(tasks)
        .await
        .into_iter()
        .map(|task| task.expect("no panic"))
        .collect()
}
