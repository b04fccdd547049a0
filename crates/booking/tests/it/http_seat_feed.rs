//! The seats of a date as a stream of changes.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::test_app::{Caller, TestApp, answer};

const DEADLINE: Duration = Duration::from_secs(60);

/// A client that adds up what it is told.
struct Plan {
    response: Response,
    text: String,
    id: String,
    states: Vec<String>,
}

impl Plan {
    async fn watch(visitor: &Caller<'_>, last: Option<&str>) -> Self {
        let path = format!("{}/events", visitor.app.seats_path());
        let mut request = visitor.request(Method::GET, &path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self {
            response,
            text: String::new(),
            id: String::new(),
            states: vec!["?".to_owned(); 50],
        }
    }

    /// The next event: its name and data. Pings and `retry` are passed over.
    async fn event(&mut self) -> (String, Value) {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(name));
                    found.map(str::to_owned)
                };
                let read = field("event: ").zip(field("data: "));
                let id = field("id: ");
                self.text = rest.to_owned();
                if let Some((name, data)) = read {
                    self.id = id.expect("an id");
                    let data: Value = serde_json::from_str(&data).expect("JSON");
                    self.add(&data);
                    return (name, data);
                }
                continue;
            }
            let piece = timeout(DEADLINE, self.response.chunk()).await;
            let piece = piece.expect("in time").expect("sound").expect("more");
            self.text
                .push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    fn add(&mut self, data: &Value) {
        for seat in data["items"].as_array().into_iter().flatten() {
            let number = seat["number"].as_u64().expect("a number") as usize;
            self.states[number - 1] = seat["state"].as_str().expect("a state").to_owned();
        }
    }

    /// Reads on until the seat is in this state.
    async fn until(&mut self, number: usize, state: &str) {
        while self.states[number - 1] != state {
            self.event().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_adds_up_the_feed_is_the_list_and_goes_on_where_it_stopped() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let mut plan = Plan::watch(&visitor, None).await;
    let (name, first) = plan.event().await;
    assert_eq!(
        (name.as_str(), first["items"].as_array().map(Vec::len)),
        ("seats", Some(50))
    );
    let listed = visitor.get(&app.seats_path()).await.body;
    assert_eq!(
        (&first["version"], plan.id.as_str()),
        (&listed["version"], listed["version"].as_str().unwrap())
    );

    let hold = visitor.hold(&[7]).await;
    let (name, delta) = plan.event().await;
    assert_eq!(
        (name.as_str(), &delta["from"]),
        ("delta", &first["version"])
    );
    assert_eq!(
        delta["items"],
        json!([{ "number": 7, "grade": "VIP", "price": 150_000, "state": "held" }])
    );
    let seen = plan.id.clone();
    visitor
        .delete(&format!("/api/v1/reservations/{hold}"))
        .await;
    app.visitor().buy(&[9]).await;
    plan.until(9, "sold").await;
    plan.until(7, "available").await;

    // Who comes back with an id is told what changed since, also what happened while they were away.
    let mut back = Plan::watch(&visitor, Some(&seen)).await;
    let (name, delta) = back.event().await;
    assert_eq!((name.as_str(), &delta["from"]), ("delta", &json!(seen)));
    back.until(9, "sold").await;
    back.until(7, "available").await;
    assert_eq!(back.states[0], "?", "only what changed is told");
    // An id that nobody remembers gets everything.
    let mut stranger = Plan::watch(&visitor, Some("of-another-week")).await;
    assert_eq!(stranger.event().await.0, "seats");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_ends_and_a_date_that_is_hidden_are_told_without_anybody_doing_anything_there()
{
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.hold(&[1]).await;
    let mut plan = Plan::watch(&visitor, None).await;
    plan.until(1, "held").await;
    app.clock.advance(Duration::from_secs(301));
    plan.until(1, "available").await;
    let path = format!("/api/v1/admin/schedules/{}", app.fixture.schedule_id);
    let hide = app
        .operator()
        .request(Method::PATCH, &path)
        .json(&json!({ "hidden": true }));
    assert_eq!(answer(hide).await.status, 200);
    while plan.event().await.0 != "gone" {}
    let end = timeout(DEADLINE, plan.response.chunk()).await;
    assert_eq!(end.expect("in time").expect("sound"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_listeners_costs_one_read_a_tick() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let mut plans = Vec::new();
    for _ in 0..40 {
        plans.push(Plan::watch(&visitor, None).await);
    }
    for plan in &mut plans {
        plan.event().await;
    }
    let before = app.reads().await;
    visitor.hold(&[1]).await;
    for plan in &mut plans {
        plan.until(1, "held").await;
    }
    visitor.hold(&[2]).await;
    for plan in &mut plans {
        plan.until(2, "held").await;
    }
    let reads = app.reads().await - before;
    // Two ticks or some more on a machine that is busy; forty listeners with reads of their own would make eighty.
    assert!((1..30).contains(&reads), "{reads} reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_for_those_whose_turn_it_is_in_this_queue() {
    let app = TestApp::open().await;
    let path = format!("{}/events", app.seats_path());
    let visitor = app.visitor();
    assert_eq!(app.get(&path).await.refusal(), (401, "PASS_INVALID"));
    assert_eq!(
        visitor.waiting().get(&path).await.refusal(),
        (403, "NOT_ADMITTED")
    );
    assert_eq!(
        visitor.through("other").get(&path).await.refusal(),
        (403, "QUEUE_MISMATCH")
    );
    let nowhere = path.replace(
        &app.fixture.schedule_id.to_string(),
        "00000000-0000-7000-8000-000000000000",
    );
    assert_eq!(
        visitor.get(&nowhere).await.refusal(),
        (404, "SCHEDULE_NOT_FOUND")
    );
}
