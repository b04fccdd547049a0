//! What one visit, one source of wrong keys and one browser full of cookies may do.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;

use crate::log_lines;
use crate::test_app::{OPERATOR_KEY, TestApp, refused, said, token};

const ME: &str = "/api/v1/queues/main/tokens/me";
const POLICY: &str = "/api/v1/queues/main/policy";

/// How many of these were answered so.
async fn counted(requests: Vec<RequestBuilder>, status: u16) -> usize {
    let sent = requests.into_iter().map(|request| async {
        let answer = request.send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
        }
        answer.status().as_u16()
    });
    let answers = join_all(sent).await;
    answers.into_iter().filter(|it| *it == status).count()
}

#[actix_web::test]
async fn one_token_may_be_polled_so_often_and_not_more() {
    let app = TestApp::with(&[("GATEWAY_VISIT_POLLS_PER_S", "1")]).await;
    let (greedy, other) = (app.join().await, app.join().await);
    let poll = |place| app.get(ME).bearer_auth(token(place));
    let polls = (0..60).map(|_| poll(&greedy)).collect();
    assert!(counted(polls, 429).await > 0);
    assert_eq!(
        said(poll(&other)).await.0,
        200,
        "another visit is another one"
    );
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(said(poll(&greedy)).await.0, 200);
    app.close().await;
}

#[actix_web::test]
async fn who_is_inside_may_send_as_much_as_they_like_unless_it_is_said() {
    for (limit, refusals) in [("0", false), ("1", true)] {
        let app = TestApp::with(&[("GATEWAY_VISIT_REQUESTS_PER_S", limit)]).await;
        let place = app.join().await;
        let request = |_| app.get("/api/v1/seats").bearer_auth(token(&place));
        let refused = counted((0..60).map(request).collect(), 429).await;
        assert_eq!(refused > 0, refusals, "{refused} of 60 with {limit}");
        app.close().await;
    }
}

#[actix_web::test]
async fn a_source_of_wrong_keys_is_not_listened_to_for_a_while() {
    log_lines::listen();
    let app = TestApp::with(&[("GATEWAY_TRUSTED_HOPS", "1")]).await;
    let from = |source: &str, key: &str| {
        let request = app.get(POLICY).bearer_auth(key);
        request.header("X-Forwarded-For", source)
    };
    let guess = |number: usize| from("10.0.0.1", &format!("a-guess-of-somebody-{number}"));
    let guesses = counted((0..100).map(guess).collect(), 429).await;
    assert!(guesses > 0);
    let right = refused(from("10.0.0.1", OPERATOR_KEY)).await;
    assert_eq!(right, (429, "RATE_LIMITED".to_owned()), "right or wrong");
    assert_eq!(said(from("10.0.0.2", OPERATOR_KEY)).await.0, 200);
    let metrics = app.metrics().await;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("usher_operator_keys_refused_total "));
    assert!(counted.unwrap().parse::<f64>().unwrap() >= 20.0);
    let logged = log_lines::count("a wrong operator key came from Some(10.0.0.1)");
    assert!(logged >= 20, "{logged} lines say from where");
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(said(from("10.0.0.1", OPERATOR_KEY)).await.0, 200);
    app.close().await;
}

/// The cookies that an answer takes back.
async fn taken_back(request: RequestBuilder) -> (u16, Vec<String>) {
    let answer = request.send().await.unwrap();
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookies = cookies.map(|it| it.to_str().unwrap().to_owned());
    let removed = cookies.filter(|it| it.contains("Max-Age=0"));
    let names = removed.map(|it| it.split('=').next().unwrap().to_owned());
    (answer.status().as_u16(), names.collect())
}

#[actix_web::test]
async fn a_cookie_that_is_of_no_use_is_taken_back_and_one_of_a_visit_that_is_over_is_not() {
    let app = TestApp::open().await;
    let main = vec!["usher_token_main".to_owned()];
    let poll = |value: &str| {
        app.get(ME)
            .header("Cookie", format!("usher_token_main={value}"))
    };
    assert_eq!(taken_back(poll("forged")).await, (401, main.clone()));
    let place = app.join().await;
    let leave = app.delete(ME).bearer_auth(token(&place));
    assert_eq!(said(leave).await.0, 204);
    let over = taken_back(poll(token(&place))).await;
    assert_eq!(over, (410, vec![]), "it still proves who one is");
    app.clock.advance(Duration::from_secs(86_401));
    assert_eq!(taken_back(poll(token(&place))).await, (410, main));
    let vip = "/api/v1/queues/vip";
    assert_eq!(said(app.put(vip, &json!({}))).await.0, 201);
    let body = json!({ "userId": uuid::Uuid::new_v4() });
    let (_, guest) = said(app.post("/api/v1/queues/vip/tokens").json(&body)).await;
    let removal = app.delete(vip).bearer_auth(OPERATOR_KEY);
    assert_eq!(said(removal).await.0, 204);
    let cookie = format!("usher_token_vip={}", token(&guest));
    let poll = app.get("/api/v1/queues/vip/tokens/me");
    let gone = taken_back(poll.header("Cookie", cookie)).await;
    assert_eq!(gone, (404, vec!["usher_token_vip".to_owned()]));
    app.close().await;
}

#[actix_web::test]
async fn fifty_cookies_are_not_too_many() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let others = (0..50).map(|number| format!("usher_token_a-sale-of-{number}={}", token(&place)));
    let own = std::iter::once(format!("usher_token_main={}", token(&place)));
    let cookies: Vec<_> = others.chain(own).collect();
    let poll = app.get(ME).header("Cookie", cookies.join("; "));
    assert_eq!(said(poll).await.0, 200);
    app.close().await;
}
