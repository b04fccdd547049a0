//! What operators read of the audit log: who changed what, newest first.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answer;
use super::codes::QUERY_INVALID;
use super::operator::{Operator, right};
use super::people;
use crate::Booking;
use crate::audit::{self, Filter};

/// Which rows; a row must meet all that is said.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct AuditQuery {
    /// What was changed, such as `reservation`, `payment` or `wallet`.
    #[param(max_length = 16)]
    entity: Option<String>,
    /// Which one.
    entity_id: Option<Uuid>,
    /// What happened to it, such as `held` or `refunded`.
    #[param(max_length = 32)]
    action: Option<String>,
    /// The user who did it.
    user_id: Option<Uuid>,
    /// The name of the operator's key that was used, such as `operator:demo`.
    #[param(max_length = 128)]
    operator: Option<String>,
    /// From this instant on.
    from: Option<DateTime<Utc>>,
    /// Before this instant.
    until: Option<DateTime<Utc>>,
    /// Items on the page, 1 to 200.
    #[param(value_type = Option<u32>, default = 50, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

impl AuditQuery {
    fn split(self) -> Result<(Filter, PageQuery), Problem> {
        for (name, word, most) in [
            ("entity", &self.entity, 16),
            ("action", &self.action, 32),
            ("operator", &self.operator, 128),
        ] {
            if word
                .as_ref()
                .is_some_and(|word| word.chars().count() > most)
            {
                let told = format!("`{name}` has at most {most} characters.");
                return Err(QUERY_INVALID.because(told));
            }
        }
        let page = PageQuery::of(self.limit, self.cursor).map_err(|cause| {
            QUERY_INVALID.because(format!("The query does not parse: {cause}."))
        })?;
        let before = page.cursor.as_deref().map(row_of).transpose()?;
        let filter = Filter {
            entity: self.entity,
            entity_id: self.entity_id,
            action: self.action,
            user_id: self.user_id,
            operator: self.operator,
            from: self.from,
            until: self.until,
            before,
        };
        Ok((filter, page))
    }
}

fn row_of(cursor: &str) -> Result<i64, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let bytes: Option<[u8; 8]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let unknown = || QUERY_INVALID.because("The cursor is not one that this list has answered.");
    bytes.map(i64::from_be_bytes).ok_or_else(unknown)
}

/// One change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Rises with time, though not by one.
    #[schema(example = 4711)]
    number: i64,
    #[schema(example = "payment")]
    entity: String,
    entity_id: Uuid,
    #[schema(example = "refunded")]
    action: String,
    /// `user`, `operator` or a step of the service.
    #[schema(example = "operator")]
    actor: String,
    /// Which user it was; null for all others.
    #[schema(required)]
    user_id: Option<Uuid>,
    /// The name of the operator's key; null for all others.
    #[schema(required, example = "operator:demo")]
    operator: Option<String>,
    #[serde(with = "chassis::time::wire")]
    at: DateTime<Utc>,
    /// The rest, which depends on what happened.
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<audit::Row> for AuditEntry {
    fn from(row: audit::Row) -> Self {
        Self {
            number: row.seq,
            entity: row.entity,
            entity_id: row.entity_id,
            action: row.action,
            actor: row.actor,
            user_id: row.actor_id.map(Uuid::from),
            operator: row.actor_name,
            at: row.at,
            // The database keeps only what is JSON.
            detail: serde_json::from_str(&row.detail).unwrap_or(Value::Null),
        }
    }
}

/// Lists who changed what, newest first.
#[utoipa::path(get, path = "/api/v1/admin/audit", operation_id = "listAudit", tag = "admin", params(AuditQuery),
    responses((status = 200, description = "A page of changes.", body = Page<AuditEntry>)),
    extensions(("x-access" = json!("operator"))))]
pub async fn list(
    app: Data<Booking>,
    _operator: Operator<right::Desk>,
    query: Query<AuditQuery>,
) -> Result<HttpResponse, Problem> {
    let (mut filter, page) = query.into_inner().split()?;
    filter.user_id = people::meant(&app.subjects, filter.user_id).await?;
    let rows = page.limit() + 1;
    let found = app.db.read(move |conn| audit::list(conn, &filter, rows));
    let cursor = |row: &audit::Row| URL_SAFE_NO_PAD.encode(row.seq.to_be_bytes());
    let Page { items, next_cursor } = Page::cut(found.await?, page.limit(), cursor);
    Ok(answer::own(&Page {
        items: items.into_iter().map(AuditEntry::from).collect(),
        next_cursor,
    }))
}
