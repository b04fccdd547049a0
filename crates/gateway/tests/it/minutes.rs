//! What is kept of each minute of a queue.

use chrono::TimeDelta;
use serde_json::Value;

use crate::fixture::{Fixture, crowd, places};
use crate::test_app::{OPERATOR_KEY, TestApp, refused, said};

#[tokio::test]
async fn a_minute_is_kept_once_by_whichever_gateway_is_first() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes", places(1)).await;
    crowd(&queue, 3).await;
    fixture.queues.refresh().await.unwrap();
    let now = fixture.clock.now();
    assert!(queue.keep_minute(now).await.unwrap());
    let twin = fixture.twin();
    let other = twin.open("minutes").await;
    assert!(!other.keep_minute(now).await.unwrap(), "it is kept already");
    assert!(
        other
            .keep_minute(now + TimeDelta::minutes(2))
            .await
            .unwrap()
    );
    let kept = other.minutes(now, 5).await.unwrap();
    assert_eq!(kept.len(), 2, "the minute between was nobody's");
    let (at, minute) = kept[0];
    assert!(at <= now && now < at + TimeDelta::minutes(1));
    assert_eq!((minute.waiting, minute.active), (2, 1));
    assert_eq!((minute.joined, minute.admitted), (3, 1));
}

#[tokio::test]
async fn minutes_are_dropped_after_thirty_days() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes-old", places(1)).await;
    let long_ago = fixture.clock.now();
    queue.keep_minute(long_ago).await.unwrap();
    // The minute itself was missed when its time came; the one after it finds it.
    let later = long_ago + TimeDelta::days(30) + TimeDelta::minutes(1);
    queue.keep_minute(later).await.unwrap();
    assert_eq!(queue.minutes(long_ago, 1).await.unwrap(), []);
}

#[actix_web::test]
async fn only_operators_see_minutes_as_json_or_as_a_table() {
    let app = TestApp::open().await;
    let path = "/api/v1/queues/main/minutes";
    let refusal = refused(app.get(path)).await;
    assert_eq!(refusal, (401, "OPERATOR_KEY_INVALID".to_owned()));
    let (status, page) = said(app.get(path).bearer_auth(OPERATOR_KEY)).await;
    assert_eq!((status.as_u16(), &page["nextCursor"]), (200, &Value::Null));
    let table = app
        .get(path)
        .bearer_auth(OPERATOR_KEY)
        .header("Accept", "text/csv");
    let table = table.send().await.unwrap().text().await.unwrap();
    assert!(table.starts_with("at,epoch,waiting,active,parked,joined,admitted,noShows"));
    app.close().await;
}
