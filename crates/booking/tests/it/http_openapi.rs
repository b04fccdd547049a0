//! The document says what the service does, and the committed copy says the same.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::test_app::{TestApp, answer};

const ROUTES: &str = include_str!("../../src/api.rs");
const COMMITTED: &str = include_str!("../../../../docs/openapi/booking.json");

fn document() -> Value {
    serde_json::from_str(&booking::api::openapi()).expect("JSON")
}

#[test]
fn the_committed_document_is_the_one_that_the_service_prints() {
    let committed: Value = serde_json::from_str(COMMITTED).unwrap_or(Value::Null);
    assert!(
        committed == document(),
        "docs/openapi/booking.json is not what `booking openapi` prints; run `cargo xtask openapi`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_path_answers_exactly_the_documented_methods() {
    let app = TestApp::open().await;
    let document = document();
    // A method that no route answers.
    let odd = Method::from_bytes(b"REPORT").unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let id = Uuid::new_v4().to_string();
        let asked: Vec<_> = path
            .split('/')
            .map(|part| if part.starts_with('{') { &id } else { part })
            .collect();
        let refused = answer(app.visitor().request(odd.clone(), &asked.join("/"))).await;
        assert_eq!(refused.refusal(), (405, "METHOD_NOT_ALLOWED"), "{path}");
        let allowed: BTreeSet<String> = refused
            .header("allow")
            .unwrap()
            .split(", ")
            .filter(|method| *method != "HEAD")
            .map(str::to_lowercase)
            .collect();
        let documented: BTreeSet<String> = item.as_object().unwrap().keys().cloned().collect();
        assert_eq!(allowed, documented, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_or_a_body_that_is_not_documented_is_refused_on_every_route() {
    let app = TestApp::open().await;
    let (visitor, document) = (app.visitor(), document());
    for (pattern, item) in document["paths"].as_object().unwrap() {
        let id = Uuid::new_v4().to_string();
        let parts = pattern.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { &id } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        for (name, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
            let at = format!("{method} {pattern}");
            let known: BTreeSet<&str> = (operation["parameters"].as_array().into_iter().flatten())
                .filter(|it| it["in"] == "query")
                .filter_map(|it| it["name"].as_str())
                .collect();
            let mut unknown = vec!["surprise", "limit", "cursor"];
            unknown.retain(|name| !known.contains(name));
            for parameter in unknown {
                let path = format!("{path}?{parameter}=1");
                let refused = answer(visitor.request(method.clone(), &path)).await;
                assert_eq!(
                    refused.refusal(),
                    (422, "QUERY_UNKNOWN"),
                    "{at}: {parameter}"
                );
            }
            if !operation["requestBody"].is_null() {
                continue;
            }
            let send = |body: &'static str| visitor.request(method.clone(), &path).body(body);
            for (body, refusal) in [
                ("{\"surprise\":1}", (422, "BODY_INVALID")),
                ("[]", (422, "BODY_INVALID")),
                ("{", (400, "BODY_MALFORMED")),
            ] {
                assert_eq!(answer(send(body)).await.refusal(), refusal, "{at}: {body}");
            }
            for fine in ["", "{}"] {
                let told = answer(send(fine)).await;
                let code = told.body["code"].as_str().unwrap_or_default();
                assert!(!code.starts_with("BODY_"), "{at}: {told:?}");
            }
        }
    }
}

#[test]
fn every_route_is_documented() {
    let document = document();
    let routed: BTreeSet<&str> = ROUTES
        .split("at(\"")
        .skip(1)
        .filter_map(|line| line.split('"').next())
        .collect();
    let documented: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(routed, documented);
}

#[test]
fn every_operation_names_who_may_ask_what_it_answers_and_how_it_fails() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            for member in ["summary", "operationId", "tags", "security"] {
                assert!(!operation[member].is_null(), "{at} has no {member}");
            }
            let public = operation["security"].as_array().unwrap().is_empty();
            let responses = operation["responses"].as_object().unwrap();
            // What the provider says is signed, so it needs no pass and may be refused all the same.
            let signed = path == "/api/v1/provider/events";
            assert_eq!(public, !responses.contains_key("401") || signed, "{at}");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{at}"
            );
            assert!(
                responses.contains_key("500") && responses.contains_key("503"),
                "{at}"
            );
            assert!(
                operation
                    .as_object()
                    .unwrap()
                    .keys()
                    .all(|name| !name.starts_with("x-")),
                "{at}"
            );
        }
    }
}

#[test]
fn the_states_of_a_seat_are_named_where_they_are_shown() {
    let schemas = document()["components"]["schemas"].clone();
    for schema in ["Seat", "AdminSeat"] {
        let told = &schemas[schema]["properties"]["state"]["description"];
        let told = told.as_str().unwrap_or_default();
        for state in ["available", "held", "sold", "blocked"] {
            assert!(told.contains(&format!("`{state}`")), "{schema}: {told}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_code_that_is_marked_exists() {
    let text = booking::api::openapi();
    let document = document();
    for reference in text
        .split("\"#/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        let pointer = format!("/{reference}");
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
    let sources = [
        "concerts",
        "reservations",
        "payments",
        "wallets",
        "admin",
        "programme",
        "seating",
        "seat_feed",
        "cancellation",
        "desk",
        "customer",
        "person",
        "provider",
        "waitlist",
    ];
    for source in sources {
        let path = format!("{}/src/api/{source}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).expect("a source");
        for marked in source.split("\"x-codes\" = json!([").skip(1) {
            let list = marked.split("])").next().expect("an end");
            for code in list.split('"').skip(1).step_by(2) {
                assert!(
                    text.contains(&format!("- `{code}`: ")),
                    "{code} is not in the table of codes"
                );
            }
        }
    }
}
