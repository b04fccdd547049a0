//! What anybody may know of the chain of the books, and what operators see when it is computed anew.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::problem::Problem;
use chassis::time::Timestamp;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answer;
use super::codes::{HEAD_NOT_FOUND, QUERY_INVALID};
use super::operator::{Operator, right};
use crate::Booking;
use crate::db::DbError;
use crate::integrity::{self, Break, Seal, Verified};

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HeadQuery {
    /// A day in UTC that is over for a minute; the last of these when not said.
    day: Option<NaiveDate>,
}

/// The end of the chain over ledger and audit log at the end of a day. Whoever keeps it can tell later whether a row from
/// before was changed, removed or put in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// In UTC.
    day: NaiveDate,
    #[serde(flatten)]
    seal: SealShown,
}

/// A seal of the chain.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealShown {
    /// Its number; 0 before anything was sealed.
    #[schema(minimum = 0, example = 4711)]
    seal: u64,
    /// Rows of ledger and audit log under it and all seals before.
    #[schema(minimum = 0, example = 98_765)]
    rows: u64,
    /// SHA-256 over all of them, in hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    #[serde(with = "chassis::time::wire")]
    sealed_at: DateTime<Utc>,
}

impl From<Seal> for SealShown {
    fn from(seal: Seal) -> Self {
        Self {
            seal: seal.number,
            rows: seal.rows_so_far,
            hash: seal.hash_hex(),
            sealed_at: seal.sealed_at,
        }
    }
}

/// Shows the end of the chain of the books at the end of a day. It never changes.
#[utoipa::path(get, path = "/api/v1/integrity", operation_id = "showIntegrity", tag = "concerts", params(HeadQuery),
    responses((status = 200, description = "The end of the chain at the end of the day.", body = Head)),
    extensions(("x-access" = json!("public")), ("x-codes" = json!(["HEAD_NOT_FOUND"]))))]
pub async fn head(app: Data<Booking>, query: Query<HeadQuery>) -> Result<HttpResponse, Problem> {
    // Instances whose clocks differ by seconds agree about a day that is over for a minute.
    let today = (app.clock.now() - TimeDelta::minutes(1)).date_naive();
    let past = |today| {
        HEAD_NOT_FOUND.because(format!("The day must be one that is over: before {today}."))
    };
    let day = query.day.or_else(|| today.checked_sub_days(Days::new(1)));
    let day = day.filter(|day| *day < today).ok_or_else(|| past(today))?;
    let end = day.succ_opt().ok_or_else(|| past(today))?;
    let end = end.and_time(NaiveTime::MIN).and_utc();
    let look = move |conn: &mut _| integrity::head_before(conn, end);
    let seal = app.db.read(look).await?.into();
    Ok(answer::public(&Head { day, seal }))
}

/// From where to verify.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// `nextCursor` of the part before; from the beginning when not said.
    cursor: Option<String>,
}

/// What a part of the chain was found to be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Integrity {
    #[serde(with = "chassis::time::wire")]
    checked_at: DateTime<Utc>,
    /// Whether this part holds.
    clean: bool,
    /// The last seal that was computed anew.
    #[schema(minimum = 0)]
    verified_through: u64,
    /// The newest seal.
    head: SealShown,
    /// How long ago the oldest row was written that is not sealed yet.
    #[schema(minimum = 0)]
    lag_seconds: i64,
    /// At most 100 of each kind.
    breaks: Vec<BreakShown>,
    /// For the next part; `null` when this was the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl Integrity {
    fn of(verified: Verified, head: Seal, lag: TimeDelta, now: Timestamp) -> Self {
        let Verified {
            through,
            is_end,
            breaks,
        } = verified;
        Self {
            checked_at: now,
            clean: breaks.is_empty(),
            verified_through: through,
            head: head.into(),
            lag_seconds: lag.num_seconds(),
            breaks: breaks.into_iter().map(BreakShown::from).collect(),
            next_cursor: (!is_end).then(|| URL_SAFE_NO_PAD.encode(through.to_be_bytes())),
        }
    }
}

/// A place at which the chain does not hold.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakShown {
    /// What does not fit.
    subject: &'static str,
    /// The entry of the ledger, or the user whose wallet it is.
    #[schema(required)]
    id: Option<Uuid>,
    /// The seal, when it is one.
    #[schema(required)]
    seal: Option<u64>,
}

impl From<Break> for BreakShown {
    fn from(Break { subject, id, seal }: Break) -> Self {
        Self { subject, id, seal }
    }
}

/// Computes a part of the chain of the books anew: a hundred seals, and the wallets with an entry under them.
#[utoipa::path(get, path = "/api/v1/admin/integrity", operation_id = "verifyIntegrity", tag = "admin", params(VerifyQuery),
    responses((status = 200, description = "What was found.", body = Integrity)),
    extensions(("x-access" = json!("operator"))))]
pub async fn verify(
    app: Data<Booking>,
    _operator: Operator<right::Read>,
    query: Query<VerifyQuery>,
) -> Result<HttpResponse, Problem> {
    let (after, now) = (seal_of(query.cursor.as_deref())?, app.clock.now());
    let look = move |conn: &mut _| {
        let (verified, lag) = (integrity::verify(conn, after)?, integrity::lag(conn, now)?);
        Ok::<_, DbError>(Integrity::of(verified, integrity::last(conn)?, lag, now))
    };
    Ok(answer::own(&app.db.read(look).await?))
}

fn seal_of(cursor: Option<&str>) -> Result<u64, Problem> {
    let Some(cursor) = cursor else {
        return Ok(0);
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let bytes: Option<[u8; 8]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let unknown = || QUERY_INVALID.because("The cursor is not one that this list has answered.");
    bytes.map(u64::from_be_bytes).ok_or_else(unknown)
}
