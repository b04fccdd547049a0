//! The operator's routes: look at the rules of a queue, change them, remove it, and who did what.

use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chassis::answer;
use chassis::json::{self, Body};
use chassis::page::{Page, PageQuery};
use chassis::problem::Problem;
use chassis::time::{Timestamp, wire};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::QueueName;
use crate::Gateway;
use crate::admission::Operator;
use crate::operator::Right;
use crate::queue::policy::{Policy, PolicyChange};
use crate::queue::{AuditEntry, AuditPage, IfMatch, QueueId, Rules};

/// The rules of a queue, as an operator set them.
#[derive(Serialize, ToSchema)]
pub struct QueuePolicy {
    /// Its name.
    #[schema(example = "main")]
    queue: String,
    #[serde(flatten)]
    policy: Policy,
}

/// What an operator wants to be different. What a look at the policy gave is a change too.
#[derive(Deserialize, ToSchema)]
pub struct QueuePolicyChange {
    /// The name of the queue, if it is given; it must be that of the path.
    #[schema(value_type = String, nullable = false)]
    queue: Option<QueueId>,
    #[serde(flatten)]
    change: PolicyChange,
}

/// One change of a queue's rules.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAudit {
    /// When.
    #[serde(with = "wire")]
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The operator's name; `start` for the configuration.
    by: String,
    /// The rules before; `null` when the queue was created.
    before: Option<QueuePolicy>,
    /// The rules after; `null` when the queue was removed.
    after: Option<QueuePolicy>,
    /// What followed from the rules by itself, with both rules the same: of `auto` a rate (`from`, `to`,
    /// `reason`), of `sold out` a state (`from`, `to`); or a right that an operator's key lacked (`refused`)
    /// and how often since the last change (`times`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    effect: Option<Value>,
    #[serde(skip)]
    mark: (u64, u64),
}

impl QueuePolicy {
    fn of(queue: &QueueId, policy: Policy) -> Self {
        let queue = queue.to_string();
        Self { queue, policy }
    }
}

impl PolicyAudit {
    /// Names this entry for the next page.
    fn cursor(&self) -> String {
        let (version, at_us) = self.mark;
        format!("{version}.{at_us}")
    }

    fn of(queue: &QueueId, entry: AuditEntry) -> Self {
        let policy = |policy| QueuePolicy::of(queue, policy);
        Self {
            mark: entry.mark(),
            at: entry.at,
            by: entry.by,
            before: entry.before.map(policy),
            after: entry.after.map(policy),
            effect: entry.effect,
        }
    }
}

/// The whole policy of a queue, as it is in the store now.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/policy", tag = "operator", operation_id = "policy",
    params(QueueName),
    responses(
        (status = 200, description = "All rules; `PUT /api/v1/queues/{queue}` takes them back.",
            body = QueuePolicy, headers(("ETag" = String, description = "Strong; for `If-Match`."))),
    ),
    extensions(("x-access" = json!("operator")))
)]
pub async fn policy(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
) -> Result<HttpResponse, Problem> {
    operator.with(Right::Read, &app, &queue).await?;
    let rules = app.queues.rules(&queue).await?;
    Ok(shown(HttpResponse::Ok(), &queue, rules))
}

/// Create a queue or change its rules. A field that is not named keeps its value.
///
/// `null` takes back `opensAt`, `message` and every other rule that may be absent; for a rule that is
/// always there it is 422. With `If-Match` nothing is changed unless the rules are still the ones
/// that the operator saw.
#[utoipa::path(
    put, path = "/api/v1/queues/{queue}", tag = "operator", operation_id = "change",
    params(
        QueueName,
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the rules that were seen; `*` for any."),
    ),
    request_body = QueuePolicyChange,
    responses(
        (status = 200, description = "Changed; in force on every gateway at once.", body = QueuePolicy,
            headers(("ETag" = String, description = "Strong; for `If-Match`."))),
        (status = 201, description = "Created; fields that were not named have their defaults.", body = QueuePolicy,
            headers(("ETag" = String, description = "Strong; for `If-Match`."))),
        (status = 412, description = "The rules are not those of `If-Match`."),
    ),
    extensions(("x-access" = json!("operator")), ("x-codes" = json!(["POLICY_CHANGED", "POLICY_CONTENDED"])))
)]
pub async fn change(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    request: HttpRequest,
    body: Body<QueuePolicyChange>,
) -> Result<HttpResponse, Problem> {
    let by = operator.with(Right::Queue, &app, &queue).await?;
    let (change, seen) = (body.of(&queue)?, if_match(request.headers()));
    let changed = app.queues.change_seen(&queue, change, by, seen.as_ref());
    let changed = changed.await?;
    // A wider door lets in at once; if this admission fails, the scheduler's next one does.
    let _ = changed.queue.admit().await;
    let answer = match changed.created {
        true => HttpResponse::Created(),
        false => HttpResponse::Ok(),
    };
    Ok(shown(answer, &queue, changed.rules))
}

impl QueuePolicyChange {
    fn of(&self, queue: &QueueId) -> Result<&PolicyChange, Problem> {
        match &self.queue {
            Some(named) if named != queue => {
                Err(json::unacceptable("`queue` is not the name in the path."))
            }
            _ => Ok(&self.change),
        }
    }
}

/// Without the header any rules may be changed, also none.
fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let values: Vec<_> = headers
        .get_all(header::IF_MATCH)
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    (!values.is_empty()).then(|| IfMatch::of(&values.join(",")))
}

fn shown(
    mut answer: actix_web::HttpResponseBuilder,
    queue: &QueueId,
    rules: Rules,
) -> HttpResponse {
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ETAG, rules.tag()))
        .json(QueuePolicy::of(queue, rules.policy))
}

/// Remove a queue and everybody in it.
#[utoipa::path(
    delete, path = "/api/v1/queues/{queue}", tag = "operator", operation_id = "remove",
    params(QueueName),
    responses((status = 204, description = "Gone on every gateway within 2 seconds.")),
    extensions(("x-access" = json!("operator")))
)]
pub async fn remove(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
) -> Result<HttpResponse, Problem> {
    let by = operator.with(Right::Queue, &app, &queue).await?;
    app.queues.remove(&queue, by).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who changed what, and who was refused, newest first.
#[utoipa::path(
    get, path = "/api/v1/queues/{queue}/audit", tag = "operator", operation_id = "audit",
    params(QueueName, PageQuery),
    responses((status = 200, description = "Changes, newest first.", body = Page<PolicyAudit>)),
    extensions(("x-access" = json!("operator")))
)]
pub async fn audit(
    operator: Operator,
    app: Data<Gateway>,
    queue: Path<QueueId>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    operator.with(Right::Read, &app, &queue).await?;
    let wanted = AuditPage {
        older_than: page.cursor.as_deref().map(mark_of).transpose()?,
        limit: page.limit() as usize + 1,
    };
    let entries = app.queues.audit(&queue, wanted).await?;
    let items = entries.into_iter().map(|it| PolicyAudit::of(&queue, it));
    let page = Page::cut(items.collect(), page.limit(), PolicyAudit::cursor);
    Ok(answer::own(&page))
}

/// The entry that a cursor names.
fn mark_of(cursor: &str) -> Result<(u64, u64), Problem> {
    let (version, at_us) = cursor.split_once('.').ok_or_else(super::cursor_invalid)?;
    let number = |text: &str| text.parse().map_err(|_| super::cursor_invalid());
    Ok((number(version)?, number(at_us)?))
}
