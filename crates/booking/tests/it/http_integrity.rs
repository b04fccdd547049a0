//! What the API says of the chain of the books: to anybody its end, to operators whether it holds.

use std::time::Duration;

use serde_json::json;

use crate::test_app::TestApp;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_sealed_soon_and_operators_see_whether_the_chain_holds() {
    let app = TestApp::open().await;
    app.fixture.paid(&[1]).await;
    let path = "/api/v1/admin/integrity";
    let unsealed = "SELECT COUNT(*) FROM audit_log WHERE seal IS NULL";
    testbed::eventually(SOON, "seals", async || {
        (app.fixture.number(unsealed).await == 0).then_some(())
    })
    .await;
    let clerk = app.clerk(&["desk"]);
    assert_eq!(clerk.get(path).await.refusal(), (403, "RIGHT_MISSING"));
    let seen = app.operator().get(path).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!(
        (
            &seen.body["clean"],
            &seen.body["breaks"],
            &seen.body["nextCursor"]
        ),
        (&json!(true), &json!([]), &json!(null))
    );
    assert_eq!(seen.body["verifiedThrough"], seen.body["head"]["seal"]);
    let forged = "UPDATE audit_log SET detail = '{}' WHERE action = 'charged'";
    app.fixture.raw(forged).await.unwrap();
    let seen = app.operator().get(path).await;
    assert_eq!(seen.body["clean"], json!(false));
    assert_eq!(
        seen.body["breaks"][0]["subject"],
        "a seal, and the rows under it"
    );
    let books = app.operator().get("/api/v1/admin/reconciliation").await;
    assert_eq!(books.body["clean"], json!(false));
    assert_eq!(
        books.body["differences"][0]["seal"],
        seen.body["breaks"][0]["seal"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_sees_the_end_of_the_chain_at_the_end_of_a_day_that_is_over() {
    let app = TestApp::open().await;
    let head = app.get("/api/v1/integrity").await;
    assert_eq!(
        (head.status, &head.body["seal"]),
        (200, &json!(0)),
        "{head:?}"
    );
    assert_eq!(head.body["hash"], json!("0".repeat(64)));
    assert_eq!(head.headers["cache-control"], "public, max-age=1");
    let past = app.get("/api/v1/integrity?day=2026-05-01").await;
    assert_eq!(past.body["day"], json!("2026-05-01"));
    for (odd, refusal) in [
        ("?day=2999-01-01", (404, "HEAD_NOT_FOUND")),
        ("?day=today", (400, "QUERY_INVALID")),
    ] {
        let refused = app.get(&format!("/api/v1/integrity{odd}")).await;
        assert_eq!(refused.refusal(), refusal, "{odd}");
    }
}
