//! Owns the limit of the sale: a client that sends the statements of a verb and nothing else.
//!
//! One connection, one thread. Every statement is prepared once and then sent with its values in one round trip. It
//! uses the same library as booking, reads all rows, decides nothing.

use std::io;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{self, QueryableByName};
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::NamedRow;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable, SmallInt, Text, Unsigned, Untyped};
use diesel::{Connection as _, RunQueryDsl};
use serde_json::json;
use uuid::{NoContext, Timestamp, Uuid};

use super::statements as sql;
use super::venue::Held;
use crate::fixture::now;

/// As booking sets up each of its connections.
const SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION innodb_lock_wait_timeout = 2, time_zone = '+00:00'";
const HOLD: Duration = Duration::from_secs(3_600);
const PRICE: i64 = 100;
const NEVER: Option<NaiveDateTime> = None;

/// A connection.
pub struct Bare {
    mysql: MysqlConnection,
}

/// A value of a statement.
enum Value {
    Bytes(Vec<u8>),
    Text(String),
    Small(u16),
    Big(i64),
    At(NaiveDateTime),
    Never,
}

/// A statement with its values.
struct Statement {
    sql: &'static str,
    values: Vec<Value>,
}

/// A row that was read.
struct AnyRow;

impl Bare {
    /// Connects.
    pub fn open(url: &str) -> io::Result<Self> {
        let mut mysql = MysqlConnection::establish(url).map_err(io::Error::other)?;
        mysql.batch_execute(SETUP).map_err(io::Error::other)?;
        Ok(Self { mysql })
    }

    /// A new user takes a seat.
    pub fn reserve(&mut self, date: Uuid, seat: u16) -> QueryResult<()> {
        let (now, end) = (at(now()), at(now() + HOLD));
        let (reservation, user) = (new_id(), Uuid::new_v4());
        let (held, date) = (|| text("held"), || id(date));
        self.begin()?;
        self.read(sql::OFFERED, vec![date(), Value::Small(seat)])?;
        self.change(sql::BUYER, vec![date(), id(user), now(), now()])?;
        let free = vec![date(), id(user), text("confirmed"), held(), now()];
        self.read(sql::SEATS_OF_USER, free)?;
        let mut taking = vec![held(), id(reservation), id(user), end()];
        taking.extend([date(), Value::Small(seat), text("available"), held(), now()]);
        self.change(sql::HOLD_SEATS, taking)?;
        let mut row = vec![id(reservation), date(), id(user), held()];
        row.extend([Value::Small(1), Value::Big(PRICE), end(), now()]);
        self.change(sql::RESERVATION, row)?;
        let row = vec![
            id(reservation),
            Value::Small(seat),
            date(),
            text("ALL"),
            Value::Big(PRICE),
        ];
        self.change(sql::RESERVATION_SEATS, row)?;
        let told = json!({ "reservationId": reservation, "userId": user, "seats": [seat], "amount": PRICE });
        self.audit(&[("reservation", reservation, "held")], user, &told)?;
        self.event("reservation", reservation, "reservation.held", &told)?;
        self.commit()
    }

    /// A reservation is paid.
    pub fn pay(&mut self, held: Held) -> QueryResult<()> {
        let Held {
            reservation,
            user,
            date,
            seat,
        } = held;
        let (now, payment) = (at(now()), new_id());
        self.begin()?;
        let key = self.claim(user, "POST /api/v1/payments")?;
        let mine = vec![
            text("confirmed"),
            id(reservation),
            id(user),
            text("held"),
            now(),
        ];
        self.change(sql::CONFIRM, mine)?;
        self.read(sql::STORED, vec![id(reservation), id(user)])?;
        self.change(
            sql::TAKE_OUT,
            vec![Value::Big(PRICE), id(user), Value::Big(PRICE)],
        )?;
        self.entry(
            new_id(),
            user,
            ("captured", payment),
            ("wallet", "revenue"),
            PRICE,
        )?;
        let row = vec![
            id(payment),
            id(reservation),
            id(user),
            Value::Big(PRICE),
            text("captured"),
            now(),
        ];
        self.change(sql::PAYMENT, row)?;
        let mut seats = vec![text("sold"), Value::Never, id(date), Value::Small(seat)];
        seats.extend([id(reservation), text("held")]);
        self.change(sql::SELL_SEATS, seats)?;
        self.change(sql::MARK_SEATS, vec![id(reservation)])?;
        let told = json!({ "reservationId": reservation, "paymentId": payment, "amount": PRICE });
        let changes = [
            ("reservation", reservation, "confirmed"),
            ("payment", payment, "captured"),
        ];
        self.audit(&changes, user, &told)?;
        self.event("reservation", reservation, "payment.captured", &told)?;
        self.answer(user, "POST /api/v1/payments", &key, &told)?;
        self.commit()
    }

    /// A wallet gets one unit.
    pub fn charge(&mut self, user: Uuid) -> QueryResult<()> {
        const ROUTE: &str = "POST /api/v1/users/{userId}/balance/charges";
        let (now, entry) = (at(now()), new_id());
        self.begin()?;
        let key = self.claim(user, ROUTE)?;
        self.change(
            sql::PUT_IN,
            vec![id(user), Value::Big(1), now(), Value::Big(1)],
        )?;
        self.read(sql::BALANCE, vec![id(user), Value::Big(1)])?;
        self.entry(entry, user, ("charged", entry), ("cash", "wallet"), 1)?;
        let told = json!({ "entryId": entry, "amount": 1, "balance": 1, "currency": "KRW" });
        self.audit(&[("wallet", user, "charged")], user, &told)?;
        self.event("wallet", user, "wallet.charged", &told)?;
        self.answer(user, ROUTE, &key, &told)?;
        self.commit()
    }

    fn claim(&mut self, user: Uuid, route: &str) -> QueryResult<String> {
        let key = Uuid::new_v4().to_string();
        let fingerprint = Value::Bytes(vec![7; 32]);
        let row = vec![
            id(user),
            text(route),
            text(&key),
            fingerprint,
            at(now())(),
            Value::Big(1),
        ];
        self.change(sql::CLAIM, row)?;
        self.mysql.batch_execute(sql::SAVEPOINT)?;
        Ok(key)
    }

    fn answer(
        &mut self,
        user: Uuid,
        route: &str,
        key: &str,
        body: &serde_json::Value,
    ) -> QueryResult<()> {
        let answer = [
            Value::Bytes(vec![7; 32]),
            Value::Small(201),
            text(&body.to_string()),
            at(now())(),
        ];
        let row = [id(user), text(route), text(key)];
        self.change(sql::ANSWER, answer.into_iter().chain(row).collect())
    }

    fn entry(
        &mut self,
        entry: Uuid,
        user: Uuid,
        (cause, of): (&str, Uuid),
        (debit, credit): (&str, &str),
        amount: i64,
    ) -> QueryResult<()> {
        let mut row = vec![id(entry), id(user), text(cause), id(of)];
        row.extend([text(debit), text(credit), Value::Big(amount), at(now())()]);
        self.change(sql::ENTRY, row)
    }

    fn audit(
        &mut self,
        changes: &[(&str, Uuid, &str)],
        user: Uuid,
        detail: &serde_json::Value,
    ) -> QueryResult<()> {
        let row = |(entity, of, action): &(&str, Uuid, &str)| {
            let actor = [text(action), text("user"), id(user)];
            let rest = [at(now())(), text(&detail.to_string())];
            [text(entity), id(*of)].into_iter().chain(actor).chain(rest)
        };
        let values = changes.iter().flat_map(row).collect();
        self.change(
            if changes.len() == 1 {
                sql::AUDIT
            } else {
                sql::AUDIT_TWO
            },
            values,
        )
    }

    fn event(
        &mut self,
        kind: &str,
        of: Uuid,
        name: &str,
        payload: &serde_json::Value,
    ) -> QueryResult<()> {
        let now = at(now());
        let mut row = vec![id(new_id()), text(kind), id(of), text(name)];
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        row.extend([
            text(&payload.to_string()),
            text("pending"),
            now(),
            now(),
            text(traceparent),
        ]);
        self.change(sql::EVENT, row)
    }

    fn begin(&mut self) -> QueryResult<()> {
        self.mysql.batch_execute(sql::BEGIN)
    }

    fn commit(&mut self) -> QueryResult<()> {
        self.mysql.batch_execute(sql::COMMIT)
    }

    fn read(&mut self, sql: &'static str, values: Vec<Value>) -> QueryResult<()> {
        let rows: Vec<AnyRow> = Statement { sql, values }.load(&mut self.mysql)?;
        drop(rows);
        Ok(())
    }

    fn change(&mut self, sql: &'static str, values: Vec<Value>) -> QueryResult<()> {
        let rows = Statement { sql, values }.execute(&mut self.mysql)?;
        if rows == 0 {
            Err(diesel::NotFound)
        } else {
            Ok(())
        }
    }
}

fn id(id: Uuid) -> Value {
    Value::Bytes(id.as_bytes().to_vec())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn at(since_1970: Duration) -> impl Fn() -> Value {
    let us = i64::try_from(since_1970.as_micros()).unwrap_or_default();
    let instant = DateTime::from_timestamp_micros(us)
        .unwrap_or_default()
        .naive_utc();
    move || Value::At(instant)
}

/// Ids that grow with time, as booking's.
fn new_id() -> Uuid {
    let now = now();
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

impl QueryFragment<Mysql> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // Not marked as unsafe to cache: the connection keeps the prepared statement under its text.
        for (index, part) in self.sql.split('?').enumerate() {
            match index.checked_sub(1).map(|before| &self.values[before]) {
                None => {}
                Some(Value::Bytes(it)) => out.push_bind_param::<Binary, _>(it)?,
                Some(Value::Text(it)) => out.push_bind_param::<Text, _>(it)?,
                Some(Value::Small(it)) => out.push_bind_param::<Unsigned<SmallInt>, _>(it)?,
                Some(Value::Big(it)) => out.push_bind_param::<BigInt, _>(it)?,
                Some(Value::At(it)) => out.push_bind_param::<Datetime, _>(it)?,
                Some(Value::Never) => out.push_bind_param::<Nullable<Datetime>, _>(&NEVER)?,
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<MysqlConnection> for Statement {}

impl QueryableByName<Mysql> for AnyRow {
    fn build<'a>(_: &impl NamedRow<'a, Mysql>) -> deserialize::Result<Self> {
        Ok(Self)
    }
}
