//! A Redis behind sentinels, whose master dies or hangs.

use chassis::time::Clock;
use gateway::queue::Standing;
use serde_json::{Value, json};
use testbed::{RedisSentinels, Scratch, eventually};
use uuid::Uuid;

use crate::fixture::{Fixture, RECOVERY, crowd, is_active, places, user};
use crate::store::until_answered;
use crate::test_app::{PATIENCE, TestApp, TestGateway, said, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";

/// Where a visitor stands, after as many refusals as it takes.
async fn stands(gateway: &TestGateway, place: &Value) -> (String, u64) {
    eventually(PATIENCE, "a new master", async || {
        let (status, said) = gateway.poll(place).await;
        if status == 200 {
            let state = said["state"].as_str().unwrap().to_owned();
            return Some((state, said["position"].as_u64().unwrap()));
        }
        let refused = (503, &"STORE_UNAVAILABLE".into());
        assert_eq!((status.as_u16(), &said["code"]), refused);
        None
    })
    .await
}

#[actix_web::test]
async fn after_a_failover_everybody_stands_where_they_stood_also_whom_the_new_master_never_heard_of()
 {
    let scratch = Scratch::new().unwrap();
    let mut store = RedisSentinels::start(scratch.path(), "hunter2").unwrap();
    let (url, unlimited) = (store.url(), ("GATEWAY_VISIT_POLLS_PER_S", "0"));
    let app = TestApp::with(&[("GATEWAY_REDIS_URL", &url), unlimited]).await;
    let twin = app.twin().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    assert_eq!(inside["state"], "active");
    let mut line = Vec::new();
    for _ in 0..3 {
        line.push(app.join().await);
    }
    until(async || twin.poll(&line[2]).await.0 == 200).await;
    store.wait_replicated().unwrap();

    // From here on the replica hears nothing more.
    store.replica.ask("CONFIG SET masterauth wrong").unwrap();
    store.master.ask("CLIENT KILL TYPE replica").unwrap();
    line.push(app.join().await);
    line.push(twin.join().await);
    store.master.kill();

    let gateways: [&TestGateway; 2] = [&app, &twin];
    for gateway in gateways {
        assert_eq!(stands(gateway, &line[0]).await, ("waiting".to_owned(), 1));
    }
    let role = store.replica.ask("ROLE").unwrap();
    assert!(role.contains("master"), "{role}");
    for (index, place) in line.iter().enumerate() {
        let position = u64::try_from(index).unwrap() + 1;
        let stands = stands(gateways[index % 2], place).await;
        assert_eq!(stands, ("waiting".to_owned(), position));
    }
    assert_eq!(stands(&twin, &inside).await, ("active".to_owned(), 0));
    let next = app.join().await;
    assert_eq!(next["position"], 6, "behind all who were there before");

    // What was lost is a loss: when all could come back, a place that is free is filled on the new master.
    app.clock.advance(RECOVERY);
    app.persist_leave(&inside).await;
    assert_eq!(stands(&app, &line[0]).await.0, "active");
    let join = app.post(TOKENS).json(&json!({ "userId": Uuid::new_v4() }));
    assert_eq!(said(join).await.0, 201);
    twin.close().await;
    app.close().await;
}

#[tokio::test]
async fn a_master_that_hangs_is_left_for_the_replica_that_took_its_place() {
    let scratch = Scratch::new().unwrap();
    let store = RedisSentinels::start(scratch.path(), "hunter2").unwrap();
    let fixture = Fixture::at(&store.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    store.wait_replicated().unwrap();
    store.master.freeze();
    let place = until_answered(|| queue.rank(&tickets[2])).await;
    assert_eq!(place, Standing::Waiting { ahead: 1 });
    until(async || fixture.queues.refresh().await.is_ok()).await;
    // The old one still takes itself for the master, and nobody asks it any more.
    store.master.thaw();
    assert!(queue.leave(&tickets[0]).await.unwrap().freed);
    assert!(is_active(&queue.rank(&tickets[1]).await));
    let role = store.replica.ask("ROLE").unwrap();
    assert!(role.contains("master"), "{role}");
}

#[tokio::test]
async fn a_master_that_became_a_replica_refuses_to_write_and_the_call_is_made_at_the_new_one() {
    let scratch = Scratch::new().unwrap();
    let store = RedisSentinels::start(scratch.path(), "hunter2").unwrap();
    let fixture = Fixture::at(&store.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let before = crowd(&queue, 2).await;
    store.wait_replicated().unwrap();
    store.swap().unwrap();
    // The connection to the old one holds, so nothing but its refusal says that there is a new one.
    let user = user();
    let ticket = until_answered(|| queue.join(user)).await.ticket;
    assert!(ticket.number > before[1].number);
    let place = until_answered(|| queue.rank(&ticket)).await;
    assert_eq!(place, Standing::Waiting { ahead: 1 });
    let role = store.replica.ask("ROLE").unwrap();
    assert!(role.contains("master"), "{role}");
}
