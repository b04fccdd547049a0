//! Who leaves is still who they were: what they keep, what they see, and how they join again.

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::test_app::{TestApp, TestGateway, payload, refused, said, token, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const ME: &str = "/api/v1/queues/main/tokens/me";
const LEAVE: &str = "/api/v1/queues/main/tokens/me/leave?to=/api/v1/seats";
const AGAIN: &str = "/usher/join?queue=main&to=/api/v1/seats";
const OWN: &str = "/api/v1/users/me/balance";
const GATED: &str = "/api/v1/seats";
const ANONYMOUS: (&str, &str) = ("GATEWAY_IDENTITY", "anonymous");

fn browser(gateway: &TestGateway, method: Method, path: &str) -> RequestBuilder {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let request = client.request(method, format!("{}{path}", gateway.url));
    request.header("Accept", "text/html,*/*;q=0.8")
}

/// The token that an answer sets as the cookie of `main`, as the next request carries it.
fn cookie(answer: &Response) -> String {
    let all = answer.headers().get_all("set-cookie").iter();
    let mut all = all.map(|it| it.to_str().unwrap());
    let token = all.find(|it| it.starts_with("usher_token_main=")).unwrap();
    token.split(';').next().unwrap().to_owned()
}

#[actix_web::test]
async fn who_leaves_keeps_the_only_proof_of_who_they_are() {
    let app = TestApp::with(&[ANONYMOUS]).await;
    let (_, place) = said(app.post(TOKENS).json(&json!({}))).await;
    let mut shown = format!("usher_token_main={}", token(&place));
    // The second time is fine, and by a form too.
    let ways = [
        app.delete(ME),
        app.delete(ME),
        browser(&app, Method::POST, LEAVE),
    ];
    for leave in ways {
        let left = leave.header("Cookie", &shown).send().await.unwrap();
        assert!(left.status().as_u16() < 400, "{}", left.status());
        let set = left.headers()["set-cookie"].to_str().unwrap();
        assert!(set.contains("Max-Age=86400"), "{set}");
        let told = left.headers()["x-usher-token"].to_str().unwrap();
        assert!(left.headers().contains_key("x-usher-token-expires"));
        shown = cookie(&left);
        assert_eq!(shown, format!("usher_token_main={told}"));
        let says = payload(told);
        assert_eq!(
            (&says["sub"], &says["over"]),
            (&place["userId"], &json!(true))
        );
    }
    let own = app.get(OWN).header("Cookie", &shown).send().await.unwrap();
    assert_eq!(own.status(), 200);
    let renewed = payload(&cookie(&own));
    assert_eq!(renewed["left"], true, "also after it was used");
    let sent: Value = own.json().await.unwrap();
    let pass = payload(sent["headers"]["x-usher-pass"][0].as_str().unwrap());
    assert_eq!(
        (&pass["sub"], &pass["state"]),
        (&place["userId"], &json!("over"))
    );
    let over = refused(app.get(ME).header("Cookie", &shown)).await;
    assert_eq!(over, (410, "TOKEN_EXPIRED".to_owned()));
    let again = app.post(TOKENS).json(&json!({})).header("Cookie", &shown);
    let (status, next) = said(again).await;
    assert_eq!((status.as_u16(), &next["userId"]), (201, &place["userId"]));
    assert_ne!(next["ticketNumber"], place["ticketNumber"]);
    assert_eq!(app.poll(&next).await.0, 200, "a token of a place again");
    app.close().await;
}

#[actix_web::test]
async fn who_left_is_told_so_wherever_they_look_and_joins_again_by_a_button() {
    let app = TestApp::with(&[ANONYMOUS]).await;
    app.rule(json!({ "state": "paused" })).await;
    let working = app.twin_with(&[("GATEWAY_POW_BITS", "8")]).await;
    let first = browser(&app, Method::GET, GATED).send().await.unwrap();
    let place = cookie(&first);
    let left = browser(&app, Method::POST, LEAVE).header("Cookie", &place);
    let left = left.send().await.unwrap();
    let to = left.headers()["location"].to_str().unwrap().to_owned();
    let left = cookie(&left);
    for address in [to.as_str(), GATED, GATED] {
        let page = browser(&app, Method::GET, address).header("Cookie", &left);
        let page = page.send().await.unwrap();
        assert_eq!(page.status(), 200);
        let headers = page.headers();
        assert!(
            !headers.contains_key("set-cookie"),
            "nobody joins by looking"
        );
        assert!(
            !headers.contains_key("retry-after"),
            "it does not load itself again"
        );
        let page = page.text().await.unwrap();
        assert!(page.contains("data-state=\"left\"") && page.contains("/usher/join?queue=main"));
    }
    until(async || said(app.get("/api/v1/queues/main")).await.1["waiting"] == 0).await;
    // Where a place costs work the script works for one; it does not look for the one that was given up.
    let work = browser(&working, Method::POST, AGAIN).header("Cookie", &left);
    let work = work.send().await.unwrap().text().await.unwrap();
    assert!(
        work.contains("data-state=\"work\"") && work.contains("data-kind=\"\""),
        "{work}"
    );
    let again = browser(&app, Method::POST, AGAIN).header("Cookie", &left);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 303);
    assert_eq!(again.headers()["location"], GATED);
    let again = cookie(&again);
    assert_eq!(
        payload(&again)["sub"],
        payload(&place)["sub"],
        "the same visitor"
    );
    let page = browser(&app, Method::GET, GATED).header("Cookie", &again);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("data-state=\"paused\""),
        "in line again: {page}"
    );
    working.close().await;
    app.close().await;
}
