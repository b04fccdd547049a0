//! One trace leads from a request to whoever hears of the sale.

use booking::outbox::{self, Event, EventType};
use chassis::trace::{TraceContext, within};
use serde_json::json;
use uuid::Uuid;

use crate::forward_inbox::{Inbox, deliver, deliverer, message};
use crate::publish_post::{Post, TOPIC};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_carries_the_trace_of_the_request_that_it_was_written_for() {
    let post = Post::open().await;
    let (context, now) = (TraceContext::begin(), post.clock.now());
    let event = Event {
        event_type: EventType::ReservationHeld,
        aggregate_id: Uuid::new_v4(),
        payload: json!({ "number": 1 }),
    };
    let db = post.db(0);
    let recorded = db.transaction(move |tx| {
        within(Some(context), || {
            outbox::record(tx, std::slice::from_ref(&event), now)
        })
    });
    recorded.await.expect("recorded");
    post.record(Uuid::new_v4(), 2..3).await;
    post.drain(&post.publisher(0)).await;
    let arrived = post.arrived(TOPIC, 2).await;
    let traced = |number: i64| {
        let of = |payload: &str| payload.contains(&format!("\"number\":{number}"));
        let event = arrived.iter().find(|event| of(&event.payload));
        event
            .expect("arrived")
            .headers
            .get("ce_traceparent")
            .cloned()
    };
    assert_eq!(traced(1), Some(context.to_string()));
    assert_eq!(traced(2), None, "what no request caused has no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_on_with_the_trace_of_its_event() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let context = TraceContext::begin();
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    let mut traced = message(Uuid::new_v4(), 1);
    let header = ("ce_traceparent".to_owned(), context.to_string());
    traced.headers.push(header);
    deliver(&deliverer, traced).await;
    deliver(&deliverer, message(Uuid::new_v4(), 2)).await;
    let [first, second] = &inbox.posted()[..] else {
        panic!("two requests");
    };
    let told = first.traceparent.as_deref().expect("a traceparent");
    assert_eq!(told[..36], context.to_string()[..36], "the same trace");
    assert_ne!(told, context.to_string(), "a span of its own");
    assert_eq!(second.traceparent, None);
}
