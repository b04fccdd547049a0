//! Owns what the OpenAPI document says about refusals and about who may ask.
//!
//! What the annotations of the handlers leave out is added here, so that it is written once.

use chassis::code::Code;
use chassis::document::{Refusals, access, bearer, cookie, header, operations};
use chassis::problem::ProblemBody;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, OpenApi, RefOr, Required, Schema, Type};
use utoipa::{Modify, ToSchema};

use super::codes;

const REFUSALS: Refusals = Refusals {
    codes: codes::ALL,
    schema: "BookingProblem",
    prefix: "",
    implied,
    members,
};

/// Completes every operation of the document.
pub struct Complete;

impl Modify for Complete {
    fn modify(&self, document: &mut OpenApi) {
        for (path, operation) in operations(&mut document.paths) {
            complete(path, operation);
        }
        REFUSALS.describe(document);
        let components = document.components.get_or_insert_default();
        components.add_security_schemes_from_iter(schemes());
    }
}

/// What refusals and failures look like (RFC 9457), with the members that some codes add.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the document is made of it; the table of errors makes the answers"
)]
pub struct BookingProblem {
    #[serde(flatten)]
    problem: ProblemBody,
    /// With `SEAT_TAKEN`: which seats and why.
    conflicts: Option<Vec<Conflict>>,
    /// With `ALREADY_PAID`: the payment that did it.
    #[schema(rename = "paymentId")]
    payment_id: Option<uuid::Uuid>,
    /// With `SALES_CLOSED`: from when sales are open.
    #[schema(rename = "salesOpenAt", format = DateTime)]
    sales_open_at: Option<String>,
    /// With `SALES_CLOSED`: from when they no longer are.
    #[schema(rename = "salesCloseAt", format = DateTime)]
    sales_close_at: Option<String>,
    /// With `SALES_CLOSED`: whole seconds until the opening, while it is still to come.
    #[schema(rename = "opensInSeconds")]
    opens_in_seconds: Option<i64>,
    /// With `REFUND_TOO_LARGE`: how much can be given back now, in minor units.
    refundable: Option<i64>,
    /// With `SOLD_OUT`: how many seats are free.
    available: Option<u16>,
    /// With `BALANCE_SHORT`: how much, in minor units.
    missing: Option<i64>,
    /// With `PERSON_HAS_CLAIMS`: `balance`, `reservations`, `waitlist` or `charges`.
    claims: Option<Vec<String>>,
    /// With `RIGHT_MISSING`: `read`, `queue`, `sale`, `desk` or `money`.
    right: Option<String>,
}

/// The number of a seat.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 10_000, example = 7)]
#[expect(dead_code, reason = "the document is made of it")]
pub struct SeatNumber(u16);

/// A seat that cannot be had.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the document is made of it; the table of errors makes the answers"
)]
pub struct Conflict {
    #[schema(rename = "seatNumber", example = 7)]
    seat_number: u16,
    /// `held`, `sold`, `blocked`, or `yours` when the visitor holds it already.
    #[schema(example = "held")]
    reason: String,
    /// The visitor's own reservation that has the seat.
    #[schema(rename = "reservationId")]
    reservation_id: Option<uuid::Uuid>,
}

fn complete(path: &str, operation: &mut Operation) {
    operation.security = Some(requirements(access(operation)));
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        without_null(body);
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "cursor"
        {
            parameter.schema = Some(cursor_of(path).into());
        }
    }
}

/// A body that may be missing is no `null`.
fn without_null(body: &mut RequestBody) {
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else {
            continue;
        };
        let Some(RefOr::T(Schema::OneOf(either))) = &content.schema else {
            continue;
        };
        let is_null = |item: &RefOr<Schema>| {
            let null = SchemaType::Type(Type::Null);
            matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == null)
        };
        if either.items.iter().any(is_null) {
            content.schema = either.items.iter().find(|it| !is_null(it)).cloned();
        }
    }
}

/// A cursor is opaque, but not everything is one: base64 of what the rows of the list are known by.
fn cursor_of(path: &str) -> Schema {
    const OF_NUMBER: &str = "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$";
    const OF_ID: &str = "^[A-Za-z0-9_-]{21}[AQgw]$";
    const OF_TWO_IDS: &str = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$";
    let pattern = match path.rsplit('/').next() {
        Some("audit" | "integrity") => OF_NUMBER,
        _ if path.starts_with("/api/v1/admin/schedules/") => OF_TWO_IDS,
        _ => OF_ID,
    };
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.pattern(Some(pattern)).build().into()
}

/// The codes that follow from who may ask and from what a request carries.
fn implied(path: &str, access: &str, operation: &Operation) -> Vec<&'static str> {
    let mut names = vec!["INTERNAL", "DATABASE_BUSY", "QUERY_UNKNOWN"];
    names.extend_from_slice(match access {
        "token" => &["PASS_INVALID", "VISITOR_ONLY"],
        "active" => &["PASS_INVALID", "VISITOR_ONLY", "NOT_ADMITTED"],
        "operator" => &["PASS_INVALID", "OPERATOR_ONLY", "RIGHT_MISSING"],
        _ => &[],
    });
    if path.contains('{') {
        names.push("PATH_INVALID");
    }
    if operation.request_body.is_none() {
        // What says something where nothing is asked for.
        names.extend(["BODY_MALFORMED", "BODY_TOO_LARGE", "BODY_INVALID"]);
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        if parameter.name == "If-Match" {
            names.push("PRECONDITION_FAILED");
        }
        if parameter.name == "Idempotency-Key" {
            names.extend([
                "IDEMPOTENCY_KEY_INVALID",
                "IDEMPOTENCY_KEY_REUSED",
                "IDEMPOTENCY_IN_PROGRESS",
            ]);
            if parameter.required == Required::True {
                names.push("IDEMPOTENCY_KEY_MISSING");
            }
        }
    }
    names
}

/// What a code adds to a problem, as an example.
fn members(code: &Code) -> Vec<(&'static str, Value)> {
    match *code {
        codes::SEAT_TAKEN => {
            let conflict = json!({ "seatNumber": 7, "reason": "held" });
            vec![("conflicts", json!([conflict]))]
        }
        codes::SOLD_OUT => vec![("available", json!(1))],
        codes::BALANCE_SHORT => vec![("missing", json!(100_000))],
        codes::RIGHT_MISSING => vec![("right", json!("money"))],
        _ => Vec::new(),
    }
}

/// Any one of them opens the operation: the token through the gateway, or the pass that the gateway makes of it.
fn requirements(access: &str) -> Vec<SecurityRequirement> {
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|name| SecurityRequirement::new(*name, [access]))
            .collect()
    };
    match access {
        "token" | "active" => all(&["token", "tokenCookie", "pass"]),
        "operator" => all(&["operator", "pass"]),
        _ => Vec::new(),
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 4] {
    let token = "The token of a place in a queue, through the gateway.";
    let same = "The same token as the cookie `usher_token_{queue}`, which the gateway sets; here for the queue `main`.";
    let pass = "What the gateway makes of a token or key on the way to this service. \
        Clients never send it: the gateway removes theirs.";
    [
        ("token", bearer(token)),
        ("tokenCookie", cookie("usher_token_main", same)),
        (
            "operator",
            bearer("The key of an operator, through the gateway."),
        ),
        ("pass", header("X-Usher-Pass", pass)),
    ]
}
