//! The documents say what the gateway does.

use gateway::api::{GatewayApi, document};
use serde_json::Value;
use utoipa::OpenApi as _;

use crate::test_app::{TestApp, said};

#[test]
fn the_committed_document_is_the_one_of_this_code() {
    let committed = include_str!("../../../../docs/openapi/gateway.json");
    let now = GatewayApi::openapi().to_pretty_json().unwrap();
    assert!(
        committed.trim() == now.trim(),
        "docs/openapi/gateway.json is out of date: run `cargo xtask openapi`"
    );
}

#[actix_web::test]
async fn every_documented_route_answers_and_the_merged_document_is_served() {
    let app = TestApp::open().await;
    let (status, served) = said(app.get("/openapi.json")).await;
    assert_eq!(status, 200);
    let merged = serde_json::to_value(document("")).unwrap();
    assert_eq!(served["paths"], merged["paths"]);
    let own = serde_json::to_value(GatewayApi::openapi()).unwrap();
    for (path, methods) in own["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let url = format!(
                "{}{}",
                app.url,
                path.replace("{queue}", "main")
                    .replace("{slug}", "not-admitted")
            );
            let method = method.to_uppercase().parse().unwrap();
            let (status, said) = said(app.client.request(method, url)).await;
            assert!(status != 404 && status != 405, "{path}: {status} {said}");
        }
    }
    let docs = app.get("/docs/").send().await.unwrap();
    assert_eq!(docs.status(), 200);
    app.close().await;
}

#[test]
fn every_answer_of_the_document_has_a_description_and_every_refusal_a_code() {
    let own = serde_json::to_value(GatewayApi::openapi()).unwrap();
    for (path, methods) in own["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let shared = answer["$ref"].as_str().map(|it| it.trim_start_matches('#'));
                let answer = shared.map_or(answer, |it| own.pointer(it).expect(it));
                let text = answer["description"].as_str().unwrap_or_default();
                let refusal = status.as_str() >= "400";
                assert!(!text.is_empty(), "{method} {path} {status}");
                assert!(
                    !refusal || text.contains('`'),
                    "{method} {path} {status}: {text}"
                );
            }
            assert_ne!(operation["summary"], Value::Null, "{method} {path}");
            let text = operation.to_string();
            assert!(!text.contains("\"x-"), "{method} {path}: {text}");
        }
    }
}
