//! What passes to the upstream, as whom, and what comes back.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::test_app::{OPERATOR_KEY, PASS_SECRET, TestApp, refused, said, token};

/// The pass that the upstream was sent.
pub fn pass_text(echo: &Value) -> String {
    let pass = echo["headers"]["x-usher-pass"][0].as_str();
    pass.expect("a pass").to_owned()
}

/// What the upstream reads in a pass.
pub fn pass_of(echo: &Value) -> Value {
    let key = DecodingKey::from_base64_secret(PASS_SECRET)
        .or_else(|_| DecodingKey::from_base64_secret(&format!("{PASS_SECRET}=")))
        .unwrap();
    let pass = echo["headers"]["x-usher-pass"][0].as_str().expect("a pass");
    let validation = Validation::new(Algorithm::HS256);
    jsonwebtoken::decode::<Value>(pass, &key, &validation)
        .unwrap()
        .claims
}

#[actix_web::test]
async fn each_level_of_access_asks_for_what_the_table_says() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let waiting = app.join().await;
    let (status, echo) = said(app.get("/api/v1/concerts")).await;
    assert_eq!(
        (status.as_u16(), &echo["headers"]["x-usher-pass"]),
        (200, &Value::Null)
    );
    assert_eq!(
        refused(app.get("/api/v1/seats")).await,
        (401, "TOKEN_MISSING".into())
    );
    let (status, echo) = app.visit(&waiting, "/api/v1/users/1/balance").await;
    assert_eq!(status, 200);
    let pass = pass_of(&echo);
    assert_eq!(pass["level"], "token");
    assert_eq!(pass["sub"], waiting["userId"]);
    assert_eq!(pass["queue"], "main");
    let (status, echo) = app.visit(&inside, "/api/v1/seats?state=available").await;
    assert_eq!(status, 200);
    assert_eq!(pass_of(&echo)["level"], "active");
    assert_eq!(echo["query"], "state=available");
    let (status, refusal) = app.visit(&waiting, "/api/v1/seats").await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (403, &json!("NOT_ADMITTED"))
    );
    assert_eq!(refusal["place"]["position"], 1);
    let admin = app.post("/api/v1/admin/concerts").bearer_auth(OPERATOR_KEY);
    let (status, echo) = said(admin.json(&json!({}))).await;
    assert_eq!(status, 200);
    assert_eq!(pass_of(&echo)["level"], "operator");
    let as_visitor = app.visit(&inside, "/api/v1/admin/concerts").await;
    assert_eq!(as_visitor.0, 401);
    app.close().await;
}

#[actix_web::test]
async fn who_is_inside_two_queues_says_through_which_they_come() {
    let app = TestApp::open().await;
    let other = "/api/v1/queues/other";
    assert_eq!(said(app.put(other, &json!({}))).await.0, 201);
    let main = app.join().await;
    let joining = json!({ "userId": main["userId"] });
    let (_, second) = said(app.post(&format!("{other}/tokens")).json(&joining)).await;
    let cookies = [
        format!("usher_token_main={}", token(&main)),
        format!("usher_token_other={}", token(&second)),
    ];
    let seats = || {
        app.get("/api/v1/seats")
            .header("Cookie", cookies.join("; "))
    };
    for queue in ["main", "other"] {
        let (status, echo) = said(seats().header("X-Usher-Queue", queue)).await;
        assert_eq!(
            (status.as_u16(), &pass_of(&echo)["queue"]),
            (200, &json!(queue))
        );
        assert_eq!(echo["headers"]["x-usher-queue"], Value::Null);
    }
    let nowhere = refused(seats().header("X-Usher-Queue", "third")).await;
    assert_eq!(nowhere, (401, "TOKEN_MISSING".into()));
    assert_eq!(said(seats()).await.0, 200, "the first that may pass");
    app.close().await;
}

#[actix_web::test]
async fn a_client_cannot_pretend_to_be_the_gateway() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let request = app.get("/api/v1/seats").bearer_auth(token(&place));
    let request = request
        .header("X-Usher-Pass", "forged")
        .header("X-Usher-Level", "operator")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .header("Forwarded", "for=6.6.6.6")
        .header("X-Real-IP", "6.6.6.6")
        .header("Connection", "x-mine")
        .header("X-Mine", "of this hop")
        .header("X-Other", "kept")
        .header("Cookie", "a=b; usher_token_main=stale")
        .header("X-Request-Id", "my-id");
    let (_, echo) = said(request).await;
    let headers = &echo["headers"];
    assert_eq!(pass_of(&echo)["sub"], place["userId"]);
    assert_eq!(headers["x-usher-pass"].as_array().unwrap().len(), 1);
    assert_eq!(headers["x-usher-level"], Value::Null);
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["http"]));
    assert_eq!(
        headers["x-forwarded-host"][0],
        app.url.replace("http://", "")
    );
    assert_eq!(headers["forwarded"], Value::Null);
    assert_eq!(headers["x-real-ip"], Value::Null);
    assert_eq!(headers["x-mine"], Value::Null);
    assert_eq!(headers["authorization"], Value::Null);
    assert_eq!(headers["x-other"], json!(["kept"]));
    assert_eq!(headers["cookie"], json!(["a=b"]));
    assert_eq!(headers["x-request-id"], json!(["my-id"]));
    app.close().await;
}

#[actix_web::test]
async fn on_a_public_path_the_upstream_gets_its_own_bearer_and_never_a_token() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let (_, echo) = app.visit(&place, "/api/v1/concerts").await;
    assert_eq!(echo["headers"]["authorization"], Value::Null);
    let foreign = app.get("/api/v1/concerts").bearer_auth("for-the-upstream");
    let (_, echo) = said(foreign).await;
    assert_eq!(
        echo["headers"]["authorization"],
        json!(["Bearer for-the-upstream"])
    );
    app.close().await;
}

#[actix_web::test]
async fn a_path_is_judged_by_what_the_upstream_will_read() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let (status, _) = app.visit(&place, "/api/v1/%61dmin/concerts").await;
    assert_eq!(
        status, 401,
        "it is an operator's path however it is spelled"
    );
    for (odd, status) in [("/api//v1/admin/x", 401), ("/api/v1/a%2Fb", 200)] {
        assert_eq!(app.visit(&place, odd).await.0, status, "{odd}");
    }
    for odd in ["/api/v1/%252e%252e/seats", "/api/v1/..;/seats"] {
        let request = app.get(odd).bearer_auth(token(&place));
        assert_eq!(
            refused(request).await,
            (400, "PATH_INVALID".to_owned()),
            "{odd}"
        );
    }
    app.close().await;
}

#[actix_web::test]
async fn bodies_and_answers_pass_whole_and_a_body_over_the_limit_does_not() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let post = || app.post("/api/v1/things").bearer_auth(token(&place));
    let (_, echo) = said(post().body("x".repeat(60_000))).await;
    assert_eq!(
        (&echo["bytes"], &echo["method"]),
        (&json!(60_000), &json!("POST"))
    );
    let (_, echo) = said(post()).await;
    assert_eq!(echo["bytes"], 0);
    let long = post().body("x".repeat(65_537));
    assert_eq!(refused(long).await, (413, "BODY_TOO_LARGE".to_owned()));
    let answer = app
        .get("/api/v1/long")
        .bearer_auth(token(&place))
        .send()
        .await;
    assert_eq!(answer.unwrap().bytes().await.unwrap().len(), 1024 * 1024);
    let answer = app
        .get("/api/v1/seats")
        .bearer_auth(token(&place))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-own"], "kept");
    let kept = app
        .get("/api/v1/kept")
        .bearer_auth(token(&place))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (kept.status().as_u16(), &kept.headers()["etag"]),
        (304, &"\"1\"".parse().unwrap())
    );
    let head = app.client.head(format!("{}/api/v1/seats", app.url));
    let head = head.bearer_auth(token(&place)).send().await.unwrap();
    assert_eq!(head.status(), 200);
    app.close().await;
}

#[actix_web::test]
async fn an_answer_can_end_the_visit_and_the_next_one_is_in_before_it_arrives() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let buyer = app.join().await;
    let next = app.join().await;
    let answer = app
        .post("/api/v1/sold")
        .bearer_auth(token(&buyer))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert!(!answer.headers().contains_key("x-admission"));
    assert_eq!(app.poll(&next).await.1["state"], "active");
    let over = app.visit(&buyer, "/api/v1/seats").await;
    assert_eq!(
        (over.0.as_u16(), &over.1["code"]),
        (410, &json!("TOKEN_EXPIRED"))
    );
    app.close().await;
}

#[actix_web::test]
async fn own_things_are_reached_in_every_state_of_a_visit_and_seats_only_from_inside() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let buyer = app.join().await;
    let next = app.join().await;
    let own = "/api/v1/users/1/balance";
    let state = async |place: &Value, path: &str| {
        let (status, echo) = app.visit(place, path).await;
        assert_eq!(status, 200, "{echo}");
        pass_of(&echo)["state"].clone()
    };
    assert_eq!(state(&buyer, own).await, "active");
    assert_eq!(state(&next, own).await, "waiting");
    let sold = app.post("/api/v1/sold").bearer_auth(token(&buyer));
    assert_eq!(said(sold).await.0, 201);
    for path in [own, "/api/v1/reservations", "/api/v1/payments/1"] {
        assert_eq!(state(&buyer, path).await, "over", "{path}");
    }
    let hold = || app.post("/api/v1/reservations").bearer_auth(token(&buyer));
    assert_eq!(refused(hold()).await, (410, "TOKEN_EXPIRED".to_owned()));
    assert_eq!(state(&next, "/api/v1/seats").await, "active");
    assert_eq!(
        said(
            app.client
                .delete(format!("{}/api/v1/queues/main", app.url))
                .bearer_auth(OPERATOR_KEY)
        )
        .await
        .0,
        204
    );
    assert_eq!(
        state(&buyer, own).await,
        "over",
        "also when the queue is gone"
    );
    app.clock.advance(std::time::Duration::from_secs(86_401));
    let refusal = app.visit(&buyer, own).await;
    assert_eq!(
        (refusal.0.as_u16(), &refusal.1["code"]),
        (410, &json!("TOKEN_EXPIRED"))
    );
    app.close().await;
}

#[actix_web::test]
async fn own_things_of_who_is_not_inside_have_a_small_bucket() {
    let app = TestApp::with(&[("GATEWAY_OWN_BURST", "3"), ("GATEWAY_OWN_PER_S", "1")]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let (waiting, other) = (app.join().await, app.join().await);
    let own = "/api/v1/users/1/balance";
    let frozen = 3 + 2;
    let mut refusals = 0;
    for _ in 0..frozen {
        let (status, said) = app.visit(&waiting, own).await;
        refusals += usize::from(status == 429 && said["code"] == "RATE_LIMITED");
        assert_eq!(
            app.visit(&inside, own).await.0,
            200,
            "who is inside has none"
        );
    }
    assert!(refusals > 0, "the bucket is small");
    assert_eq!(
        app.visit(&other, own).await.0,
        200,
        "others are not touched"
    );
    app.close().await;
}

#[actix_web::test]
async fn an_answer_that_was_given_before_ends_no_visit() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let again = app.post("/api/v1/sold/before").bearer_auth(token(&place));
    let answer = again.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert!(!answer.headers().contains_key("x-admission"));
    assert_eq!(
        app.visit(&place, "/api/v1/seats").await.0,
        200,
        "still inside"
    );
    app.close().await;
}

#[actix_web::test]
async fn who_waits_gives_nothing_back_by_an_answer() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let _inside = app.join().await;
    let waiting = app.join().await;
    let paid = app
        .post("/api/v1/payments/sold")
        .bearer_auth(token(&waiting));
    assert_eq!(said(paid).await.0, 201);
    let (status, place) = app.poll(&waiting).await;
    assert_eq!(
        (status.as_u16(), &place["position"]),
        (200, &json!(1)),
        "the place is kept"
    );
    app.close().await;
}

#[actix_web::test]
async fn the_authorization_of_the_service_behind_passes_beside_the_cookie() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let cookie = format!("usher_token_main={}", token(&place));
    for theirs in ["Basic dTpw", "Bearer opaque", "Bearer a.b.c", "Digest x=1"] {
        let request = app.get("/api/v1/seats").header("Cookie", &cookie);
        let (status, echo) = said(request.header("Authorization", theirs)).await;
        assert_eq!(
            (status.as_u16(), &echo["headers"]["authorization"]),
            (200, &json!([theirs]))
        );
        assert_eq!(echo["headers"]["cookie"], Value::Null);
    }
    for ours in [token(&place), OPERATOR_KEY] {
        let request = app.get("/api/v1/seats").header("Cookie", &cookie);
        let (status, echo) = said(request.bearer_auth(ours)).await;
        assert_eq!(
            (status.as_u16(), &echo["headers"]["authorization"]),
            (200, &Value::Null)
        );
    }
    let alone = app.get("/api/v1/seats").bearer_auth("opaque");
    assert_eq!(refused(alone).await, (401, "TOKEN_INVALID".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn an_upstream_that_is_gone_or_slow_is_told_and_the_place_is_kept() {
    let slow = TestApp::with(&[("GATEWAY_UPSTREAM_TIMEOUT_MS", "100")]).await;
    let place = slow.join().await;
    let request = slow.get("/api/v1/never").bearer_auth(token(&place));
    assert_eq!(refused(request).await, (504, "UPSTREAM_TIMEOUT".to_owned()));
    assert_eq!(slow.poll(&place).await.1["state"], "active");
    slow.close().await;
    let port = testbed::free_port();
    let nobody = format!("http://127.0.0.1:{port}");
    let gone = TestApp::with(&[("GATEWAY_UPSTREAM", &nobody)]).await;
    let place = gone.join().await;
    let request = gone.get("/api/v1/seats").bearer_auth(token(&place));
    assert_eq!(
        refused(request).await,
        (502, "UPSTREAM_UNREACHABLE".to_owned())
    );
    assert_eq!(gone.poll(&place).await.1["state"], "active");
    gone.close().await;
}

#[actix_web::test]
async fn a_page_of_a_configured_origin_may_call_and_another_may_not() {
    let app = TestApp::with(&[("GATEWAY_CORS_ORIGINS", "https://shop.example")]).await;
    let ask = |origin: &str| app.get("/api/v1/queues").header("Origin", origin);
    let answer = ask("https://shop.example").send().await.unwrap();
    let allowed = &answer.headers()["access-control-allow-origin"];
    assert_eq!(allowed, "https://shop.example");
    let answer = ask("https://evil.example").send().await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    let refusal = app
        .get("/api/v1/seats")
        .header("Origin", "https://shop.example");
    let refusal = refusal.send().await.unwrap();
    assert_eq!(refusal.status(), 401);
    assert!(
        refusal
            .headers()
            .contains_key("access-control-allow-origin")
    );
    app.close().await;
}

#[actix_web::test]
async fn a_stop_finishes_what_runs() {
    let app = TestApp::with(&[
        ("GATEWAY_GRACE_S", "10"),
        ("GATEWAY_UPSTREAM_TIMEOUT_MS", "1000"),
    ])
    .await;
    let place = app.join().await;
    let request = app.get("/api/v1/never").bearer_auth(token(&place));
    let running = tokio::spawn(request.send());
    app.arrived.notified().await;
    app.close().await;
    let answer = running.await.unwrap().unwrap();
    assert_eq!(
        answer.status(),
        504,
        "it had its answer, not a broken connection"
    );
}
