//! Owns money that comes from a payment provider: orders, what the provider says of them, and what it is told.
//!
//! An order is a row. What the provider says moves it on and moves the money in the same transaction, and a state is left
//! only once; so an event may come twice, late or in any order, and has one effect. What the provider has to be told is
//! written with its cause and sent by a step, again until the provider takes it. Locks: order, then those of a payment; who
//! orders a charge has the wallet, and makes an order that nobody else knows yet.

mod client;
mod instruct;

use chassis::time::Clock;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, stored_as_text};
use crate::payment::{self, Paid, Pay, PayError};
use crate::reservation::{self, ReservationState};
use crate::schema::provider_orders;
use crate::wallet::{self, BALANCE_LIMIT, Charge, ChargeError};
pub use client::Provider;

stored_as_text! {
    /// What the money is for.
    pub enum Kind {
        /// The wallet: the provider collects it at once.
        Charge = "charge",
        /// Seats that are held: the provider holds the money until it is told to collect it or to let it go.
        Payment = "payment",
    }
}

stored_as_text! {
    /// What has become of an order.
    pub enum OrderState {
        /// The provider has not said anything yet.
        Pending = "pending",
        /// The money is ours, and booked.
        Succeeded = "succeeded",
        /// The provider did not get the money.
        Failed = "failed",
        /// The provider had the money, and there was nothing left to pay for: it goes back.
        Voided = "voided",
    }
}

stored_as_text! {
    /// What the provider has yet to be told.
    pub enum Instruction {
        /// That there is an order.
        Open = "open",
        /// To collect the money that it holds.
        Capture = "capture",
        /// To let the money go.
        Void = "void",
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = provider_orders)]
pub struct Order {
    /// Its id, also for the provider; the payment that comes of it has the same.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// What the money is for.
    pub kind: Kind,
    /// Whose money.
    #[diesel(deserialize_as = Id)]
    pub user_id: Uuid,
    /// What is paid, if it is seats.
    pub reservation_id: Option<Id>,
    /// Minor units.
    pub amount: i64,
    /// What has become of it.
    pub state: OrderState,
}

/// What the provider says of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It has collected the money, or holds it.
    HasMoney,
    /// It did not get the money.
    Failed,
}

/// What a provider's event led to.
#[derive(Debug)]
pub enum Confirmed {
    /// The wallet was charged.
    Charged(Order),
    /// The seats are sold.
    Paid(Box<Paid>),
    /// There was nothing left to pay for, so the provider is told to let the money go.
    Voided,
    /// The order failed.
    Failed,
    /// The event says nothing new.
    Nothing,
}

/// Why no order is made.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The reservation is not there to be paid.
    #[error(transparent)]
    Pay(PayError),
    /// It costs nothing.
    #[error("nothing to collect")]
    Free,
    /// Another order is on its way to pay for it.
    #[error("another payment is on its way")]
    InProgress,
    /// With all that is on its way the wallet would hold more than [`BALANCE_LIMIT`].
    #[error("the wallet would hold more than {BALANCE_LIMIT}")]
    BalanceLimit,
    /// This very request made an order before.
    #[error("ordered before")]
    Repeated,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

/// Why a provider's event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// There is no such order.
    #[error("no such order")]
    OrderNotFound,
    /// It speaks of another amount.
    #[error("the order is over {0}")]
    AmountDiffers(i64),
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(OrderError, EventError);

/// Orders money for a wallet, if it has room for it and for all that was ordered before. The wallet is locked, so that
/// orders of a user are counted one after another. Five statements.
pub fn order_charge(tx: &mut Tx, charge: &Charge, clock: &Clock) -> Result<Order, OrderError> {
    let balance = wallet::lock(tx, charge.user_id, clock.now())?;
    let on_its_way = pending_charges(tx, charge.user_id)?;
    if balance + on_its_way + charge.amount.minor() > BALANCE_LIMIT {
        return Err(OrderError::BalanceLimit);
    }
    let order = Order {
        id: charge.request_id,
        kind: Kind::Charge,
        user_id: charge.user_id,
        reservation_id: None,
        amount: charge.amount.minor(),
        state: OrderState::Pending,
    };
    open(tx, order, clock)
}

/// What the provider may yet put into a user's wallet, in minor units.
fn pending_charges(conn: &mut Conn, user_id: Uuid) -> Result<i64, DbError> {
    let amounts: Vec<i64> = provider_orders::table
        .filter(provider_orders::user_id.eq(Id(user_id)))
        .filter(provider_orders::state.eq(OrderState::Pending))
        .filter(provider_orders::kind.eq(Kind::Charge))
        .select(provider_orders::amount)
        .load(conn)?;
    // Each was refused beyond the limit, so there are few.
    Ok(amounts.into_iter().sum())
}

/// Orders money for seats that the user holds; they are paid when the provider has it. Three statements.
pub fn order_payment(tx: &mut Tx, wish: &Pay, clock: &Clock) -> Result<Order, OrderError> {
    let now = clock.now();
    let held = reservation::find(tx, wish.user_id, wish.reservation_id, now)?;
    let held = held.ok_or(OrderError::Pay(PayError::ReservationNotFound))?;
    match held.state {
        ReservationState::Held => {}
        ReservationState::Cancelled => return Err(OrderError::Pay(PayError::Cancelled)),
        ReservationState::Expired => return Err(OrderError::Pay(PayError::HoldExpired)),
        ReservationState::Confirmed | ReservationState::Refunded => {
            let payment_id = held.payment_id;
            return Err(OrderError::Pay(PayError::AlreadyPaid { payment_id }));
        }
    }
    if held.amount == 0 {
        return Err(OrderError::Free);
    }
    let order = Order {
        id: wish.payment_id,
        kind: Kind::Payment,
        user_id: wish.user_id,
        reservation_id: Some(Id(wish.reservation_id)),
        amount: held.amount,
        state: OrderState::Pending,
    };
    open(tx, order, clock)
}

fn open(tx: &mut Tx, order: Order, clock: &Clock) -> Result<Order, OrderError> {
    let now = clock.now();
    let inserted = diesel::insert_into(provider_orders::table)
        .values((
            provider_orders::id.eq(Id(order.id)),
            provider_orders::kind.eq(order.kind),
            provider_orders::user_id.eq(Id(order.user_id)),
            provider_orders::reservation_id.eq(order.reservation_id),
            provider_orders::amount.eq(order.amount),
            provider_orders::state.eq(order.state),
            provider_orders::instruction.eq(Some(Instruction::Open)),
            provider_orders::next_attempt_at.eq(At(now)),
            provider_orders::created_at.eq(At(now)),
        ))
        .execute(tx);
    match inserted.map_err(DbError::from) {
        Err(DbError::Duplicate(name)) if name == "provider_orders_one_at_a_time" => {
            Err(OrderError::InProgress)
        }
        Err(DbError::Duplicate(_)) => Err(OrderError::Repeated),
        Err(cause) => Err(cause.into()),
        Ok(_) => {
            let change = order.change(Action::Created, Actor::User(order.user_id));
            audit::record(tx, &[change], now)?;
            Ok(order)
        }
    }
}

impl Order {
    fn change<'a>(&self, action: Action, actor: Actor<'a>) -> Change<'a> {
        Change {
            entity: Entity::Order,
            entity_id: self.id,
            action,
            actor,
            detail: json!({ "kind": self.kind.as_str(), "amount": self.amount }),
        }
    }
}

/// A user's own order; another user's is not found. One statement.
pub fn find(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<Option<Order>, DbError> {
    let found = provider_orders::table
        .find(Id(id))
        .filter(provider_orders::user_id.eq(Id(user_id)))
        .select(Order::as_select())
        .first(conn)
        .optional()?;
    Ok(found)
}

/// A user's orders, newest first, each with when it was made. One statement.
pub fn of_user(conn: &mut Conn, user_id: Uuid) -> Result<Vec<(Order, At)>, DbError> {
    let found = provider_orders::table
        .filter(provider_orders::user_id.eq(Id(user_id)))
        .order((provider_orders::created_at.desc(), provider_orders::id))
        .select((Order::as_select(), provider_orders::created_at))
        .load(conn)?;
    Ok(found)
}

/// Takes what the provider says of an order. The order is locked first, so two events of it come one after another.
pub fn confirm(
    tx: &mut Tx,
    id: Uuid,
    amount: i64,
    said: Said,
    clock: &Clock,
) -> Result<Confirmed, EventError> {
    let order: Option<Order> = provider_orders::table
        .find(Id(id))
        .for_update()
        .select(Order::as_select())
        .first(tx)
        .optional()?;
    let order = order.ok_or(EventError::OrderNotFound)?;
    if order.amount != amount {
        return Err(EventError::AmountDiffers(order.amount));
    }
    match (said, order.state) {
        // What the provider has is the truth, also when it said before that it failed.
        (Said::HasMoney, OrderState::Pending | OrderState::Failed) => match order.reservation_id {
            None => charge_wallet(tx, order, clock),
            Some(reservation_id) => pay_or_void(tx, &order, reservation_id.0, clock),
        },
        (Said::Failed, OrderState::Pending) => {
            move_on(tx, &order, OrderState::Failed, None, clock)?;
            Ok(Confirmed::Failed)
        }
        (Said::HasMoney, OrderState::Succeeded | OrderState::Voided)
        | (Said::Failed, OrderState::Succeeded | OrderState::Failed | OrderState::Voided) => {
            Ok(Confirmed::Nothing)
        }
    }
}

/// The money is there, so it goes in however full the wallet is.
fn charge_wallet(tx: &mut Tx, order: Order, clock: &Clock) -> Result<Confirmed, EventError> {
    move_on(tx, &order, OrderState::Succeeded, None, clock)?;
    crash::point("provider.moved");
    put_in(tx, &order, clock)?;
    crash::point("provider.charged");
    Ok(Confirmed::Charged(order))
}

/// Seat and money together: both are booked, or neither is and the provider lets the money go.
fn pay_or_void(
    tx: &mut Tx,
    order: &Order,
    reservation_id: Uuid,
    clock: &Clock,
) -> Result<Confirmed, EventError> {
    let pay = Pay {
        payment_id: order.id,
        user_id: order.user_id,
        reservation_id,
    };
    // The buyer is locked before the wallet, as in every payment.
    if let Some(held) = reservation::stored(tx, order.user_id, reservation_id)? {
        reservation::lock_buyer(tx, held.schedule_id, order.user_id, clock)?;
    }
    tx.batch_execute("SAVEPOINT seats_unpaid")?;
    put_in(tx, order, clock)?;
    match payment::pay(tx, &pay, clock) {
        Ok(paid) => {
            crash::point("provider.paid");
            let capture = Some(Instruction::Capture);
            move_on(tx, order, OrderState::Succeeded, capture, clock)?;
            Ok(Confirmed::Paid(Box::new(paid)))
        }
        Err(PayError::Db(cause)) => Err(cause.into()),
        Err(
            PayError::ReservationNotFound
            | PayError::HoldExpired
            | PayError::Cancelled
            | PayError::AlreadyPaid { .. }
            | PayError::BalanceShort { .. },
        ) => {
            tx.batch_execute("ROLLBACK TO SAVEPOINT seats_unpaid")?;
            let void = Some(Instruction::Void);
            move_on(tx, order, OrderState::Voided, void, clock)?;
            Ok(Confirmed::Voided)
        }
    }
}

fn put_in(tx: &mut Tx, order: &Order, clock: &Clock) -> Result<(), EventError> {
    let money = wallet::Received {
        request_id: order.id,
        user_id: order.user_id,
        minor: order.amount,
    };
    match wallet::receive(tx, &money, Actor::Provider, clock.now()) {
        Ok(_) => Ok(()),
        Err(ChargeError::Db(cause)) => Err(cause.into()),
        Err(ChargeError::BalanceLimit | ChargeError::Repeated) => {
            Err(DbError::Unexpected("the money of an order was booked before its state").into())
        }
    }
}

/// The order is locked, so its state is the one that was read.
fn move_on(
    tx: &mut Tx,
    order: &Order,
    state: OrderState,
    instruction: Option<Instruction>,
    clock: &Clock,
) -> Result<(), DbError> {
    let now = clock.now();
    diesel::update(provider_orders::table.find(Id(order.id)))
        .set((
            provider_orders::state.eq(state),
            provider_orders::instruction.eq(instruction),
            provider_orders::attempts.eq(0),
            provider_orders::next_attempt_at.eq(At(now)),
        ))
        .execute(tx)?;
    let action = match state {
        OrderState::Pending => Action::Created,
        OrderState::Succeeded => Action::Confirmed,
        OrderState::Failed => Action::Failed,
        OrderState::Voided => Action::Voided,
    };
    audit::record(tx, &[order.change(action, Actor::Provider)], now)
}

/// How long an instruction that was sent belongs to its sender.
const LEASE: TimeDelta = TimeDelta::seconds(30);
