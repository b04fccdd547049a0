//! A challenge by others: what a join says to it, and what happens when its verifier is away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{TestApp, refused, said};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const SECRET: &str = "verifier-secret";

/// A verifier that speaks the form of Turnstile, hCaptcha and reCAPTCHA, and takes one answer.
struct Verifier {
    url: String,
    asked: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    handle: ServerHandle,
}

impl Verifier {
    fn open() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let memory = web::Data::from(asked.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(memory.clone())
                .route("/siteverify", web::post().to(verify))
                .route("/hangs", web::post().to(hang))
        });
        let server = server.workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { url, asked, handle }
    }
}

type Asked = Mutex<Vec<BTreeMap<String, String>>>;

async fn verify(
    memory: web::Data<Asked>,
    form: web::Form<BTreeMap<String, String>>,
) -> HttpResponse {
    let is_solved = form["response"] == "a solved=& one" && form["secret"] == SECRET;
    memory.lock().unwrap().push(form.into_inner());
    HttpResponse::Ok().json(json!({ "success": is_solved, "error-codes": [] }))
}

async fn hang() -> HttpResponse {
    std::future::pending::<()>().await;
    HttpResponse::Ok().finish()
}

async fn app(url: &str, unreachable: &str) -> TestApp {
    TestApp::with(&[
        ("GATEWAY_CHALLENGE_VERIFY_URL", url),
        ("GATEWAY_CHALLENGE_SECRET", SECRET),
        ("GATEWAY_CHALLENGE_SITE_KEY", "site-1"),
        ("GATEWAY_CHALLENGE_UNREACHABLE", unreachable),
        ("GATEWAY_CHALLENGE_TIMEOUT_MS", "300"),
    ])
    .await
}

fn join(app: &TestApp, challenge: Value) -> reqwest::RequestBuilder {
    let mut body = json!({ "userId": Uuid::new_v4() });
    if !challenge.is_null() {
        body["challenge"] = challenge;
    }
    app.post(TOKENS).json(&body)
}

#[actix_web::test]
async fn a_place_costs_a_challenge_that_the_verifier_takes() {
    let verifier = Verifier::open();
    let app = app(&format!("{}/siteverify", verifier.url), "closed").await;
    let (status, refusal) = said(join(&app, Value::Null)).await;
    let missing = (&refusal["code"], &refusal["siteKey"]);
    assert_eq!(status, 401);
    assert_eq!(missing, (&json!("CHALLENGE_REQUIRED"), &json!("site-1")));
    let wrong = refused(join(&app, json!("not solved"))).await;
    assert_eq!(wrong, (401, "CHALLENGE_INVALID".to_owned()));
    let (status, place) = said(join(&app, json!("a solved=& one"))).await;
    assert_eq!(status, 201, "{place}");
    let asked = verifier.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "nothing to verify is not verified");
    assert_eq!(asked[1]["remoteip"], "127.0.0.1");
    let count = |outcome: &str| format!("usher_challenges_total{{outcome=\"{outcome}\"}}");
    assert_eq!(app.metric(&count("passed")).await, Some(1.0));
    assert_eq!(app.metric(&count("refused")).await, Some(1.0));
    verifier.handle.stop(false).await;
    app.close().await;
}

#[actix_web::test]
async fn while_the_verifier_is_away_the_setting_decides() {
    let verifier = Verifier::open();
    let hanging = format!("{}/hangs", verifier.url);
    let nowhere = format!("http://127.0.0.1:{}/", testbed::free_port());
    for url in [hanging.as_str(), &nowhere] {
        let closed = app(url, "closed").await;
        let answer =
            tokio::time::timeout(Duration::from_secs(30), refused(join(&closed, json!("x"))));
        let answer = answer.await.unwrap();
        assert_eq!(answer, (503, "CHALLENGE_UNAVAILABLE".to_owned()));
        closed.close().await;
        let open = app(url, "open").await;
        assert_eq!(said(join(&open, json!("x"))).await.0, 201);
        let count = "usher_challenges_total{outcome=\"unreachable\"}";
        assert_eq!(open.metric(count).await, Some(1.0));
        open.close().await;
    }
    verifier.handle.stop(false).await;
}
