//! How ids, instants and states are kept in columns, and how a page of rows is asked for.

use std::io::Write;

use chassis::time::Timestamp;
use chrono::NaiveDateTime;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Binary, Datetime};
use uuid::{Builder, Uuid};

/// A UUID in a `BINARY(16)` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Id(pub Uuid);

impl From<Id> for Uuid {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl ToSql<Binary, Mysql> for Id {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Binary, Mysql> for Id {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::from_slice(value.as_bytes())?))
    }
}

/// An instant in a `DATETIME(6)` column, which knows no zone: always UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Datetime)]
pub struct At(pub Timestamp);

impl From<At> for Timestamp {
    fn from(at: At) -> Self {
        at.0
    }
}

impl ToSql<Datetime, Mysql> for At {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        let naive = self.0.naive_utc();
        <NaiveDateTime as ToSql<Datetime, Mysql>>::to_sql(&naive, &mut out.reborrow())
    }
}

impl FromSql<Datetime, Mysql> for At {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        <NaiveDateTime as FromSql<Datetime, Mysql>>::from_sql(value)
            .map(|naive| Self(naive.and_utc()))
    }
}

/// A new id, UUID v7: ids that are made later sort later, to the microsecond, so that lists by id are lists by time.
pub fn new_id(now: Timestamp) -> Uuid {
    let micros = u64::try_from(now.timestamp_micros()).unwrap_or_default();
    let mut tail: [u8; 10] = rand::random();
    // RFC 9562, method 3: the 12 bits after the version hold the fraction of the millisecond.
    let [high, low] = u16::try_from(micros % 1_000 * 4_096 / 1_000)
        .unwrap_or_default()
        .to_be_bytes();
    (tail[0], tail[1]) = (high, low);
    Builder::from_unix_timestamp_millis(micros / 1_000, &tail).into_uuid()
}

/// Which part of a list: at most `limit` rows, those that come after the row with the id `after`.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Rows at most.
    pub limit: u32,
    /// The last row of the part before.
    pub after: Option<Uuid>,
}

/// An enum that is kept in a column as a short text.
macro_rules! stored_as_text {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word for it in the database and on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::mysql::Mysql> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::mysql::Mysql>,
            ) -> diesel::serialize::Result {
                std::io::Write::write_all(out, self.as_str().as_bytes())?;
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::mysql::Mysql> for $name {
            fn from_sql(value: diesel::mysql::MysqlValue<'_>) -> diesel::deserialize::Result<Self> {
                match value.as_bytes() {
                    $(text if text == $text.as_bytes() => Ok(Self::$variant),)+
                    _ => Err(concat!("not a ", stringify!($name)).into()),
                }
            }
        }
    };
}
pub(crate) use stored_as_text;

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::new_id;

    #[test]
    fn an_id_that_is_made_a_microsecond_later_sorts_later() {
        let now = chassis::time::Clock::system().now();
        let ids: Vec<_> = (0..5_000)
            .map(|us| new_id(now + TimeDelta::microseconds(us)))
            .collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
