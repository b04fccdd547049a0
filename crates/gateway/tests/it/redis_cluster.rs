//! A Redis Cluster: queues on several masters, one of which dies, or gives a slot away.

use std::time::Duration;

use chassis::redis::RedisUrl;
use chassis::time::Clock;
use gateway::admitted_cache::AdmittedCache;
use gateway::queue::policy::{Order, PolicyChange, State};
use gateway::queue::{AuditPage, Defined, DrawnPage, QueueError, Standing, Ticket};
use serde_json::json;
use testbed::{RedisCluster, RedisOptions, Scratch};
use uuid::Uuid;

use crate::fixture::{Fixture, RECOVERY, crowd, id, is_active, is_over, places, user};
use crate::store::until_answered;
use crate::store_url::{tls_files, trusting};
use crate::test_app::{TestApp, refused, said, token, until};

const NAMES: &str = "usher:queues";

/// A name for each master, of a queue that lies there.
fn names(cluster: &RedisCluster, of: &str) -> [String; 3] {
    [0, 1, 2].map(|master| {
        let mut names = (0..).map(|number| format!("{of}-{number}"));
        let lies_there =
            |name: &String| cluster.master_of(&format!("q:{{{name}}}:meta")).unwrap() == master;
        names.find(lies_there).unwrap()
    })
}

#[tokio::test]
async fn queues_on_three_masters_do_all_that_a_queue_does() {
    let cluster = testbed::redis_cluster();
    let clock = Clock::system();
    let fixture = Fixture::at(&cluster.url(), clock.clone());
    let other = Fixture::at(&cluster.url(), clock.clone());
    for (master, name) in names(cluster, "verbs").iter().enumerate() {
        // It never heard of a script, or forgot all.
        cluster.masters[master].ask("SCRIPT FLUSH").unwrap();
        let queue = fixture.queue(name, places(1)).await;
        let tickets = crowd(&queue, 4).await;
        assert!(is_active(&queue.touch(&tickets[0]).await));
        let at_other = other.open(name).await;
        assert_eq!(
            at_other.poll(&tickets[2]).await.unwrap().0,
            Standing::Waiting { ahead: 1 }
        );
        let seen = at_other.ranks(&tickets).await.unwrap();
        assert_eq!(seen[3], Some(Standing::Waiting { ahead: 2 }));
        assert_eq!(queue.present(&tickets[1..]).await.unwrap(), 3);
        assert!(at_other.leave(&tickets[0]).await.unwrap().freed);
        assert!(is_active(&queue.rank(&tickets[1]).await));
        assert!(is_over(&queue.rank(&tickets[0]).await));

        fixture.change(name, places(7)).await;
        other.queues.refresh().await.unwrap();
        assert_eq!(at_other.snapshot().policy.max_active, 7);
        let page = AuditPage {
            older_than: None,
            limit: 10,
        };
        assert_eq!(
            fixture.queues.audit(&id(name), page).await.unwrap().len(),
            2
        );
        assert_eq!(
            fixture
                .queues
                .define(&id(name), Default::default(), "a test")
                .await
                .unwrap(),
            Defined::Present
        );
        assert_eq!(queue.admit().await.unwrap().users.len(), 2);
        fixture.queues.remove(&id(name), "a test").await.unwrap();
        assert!(matches!(
            at_other.touch(&tickets[1]).await,
            Err(QueueError::Unknown)
        ));
    }
}

#[tokio::test]
async fn a_lottery_is_drawn_and_the_absent_are_parked_on_each_master() {
    let cluster = testbed::redis_cluster();
    let clock = Clock::system();
    let fixture = Fixture::at(&cluster.url(), clock.clone());
    for name in &names(cluster, "lot") {
        let lottery = PolicyChange {
            state: Some(State::Scheduled),
            order: Some(Order::Lottery),
            opens_at: Some(Some(clock.now() + Duration::from_secs(60))),
            ..places(1)
        };
        let queue = fixture.queue(name, lottery).await;
        let tickets = crowd(&queue, 5).await;
        let hidden = queue.rank(&tickets[0]).await.unwrap();
        assert!(
            matches!(hidden, Standing::Scheduled { ahead: None, .. }),
            "{hidden:?}"
        );
        fixture.pass(Duration::from_secs(61));
        fixture.queues.refresh().await.unwrap();
        let mut first = queue.admit().await.unwrap();
        while first.users.is_empty() && first.more {
            first = queue.admit().await.unwrap();
        }
        let first = first.users;
        fixture.queues.refresh().await.unwrap();
        assert_eq!(first.len(), 1);
        let page = DrawnPage {
            after_lot: None,
            limit: 10,
        };
        let drawn = queue.drawn(page).await.unwrap();
        assert_eq!(drawn.len(), 4, "those in line");

        // Nobody asks again but the last of the line, who is let in before those who are absent.
        let last = drawn.last().unwrap().ticket;
        let last: Vec<Ticket> = tickets.into_iter().filter(|it| it.number == last).collect();
        let mut parked = 0;
        until(async || {
            fixture.pass(Duration::from_secs(4));
            queue.present(&last).await.unwrap();
            parked += queue.admit().await.unwrap().parked;
            parked >= 2
        })
        .await;
    }
}

#[tokio::test]
async fn a_slot_that_was_given_to_another_master_is_found_there() {
    let cluster = testbed::redis_cluster();
    let fixture = Fixture::at(&cluster.url(), Clock::system());
    let [first, ..] = names(cluster, "moved");
    let line = format!("q:{{{first}}}:waiting");
    let mut plain = chassis::redis::connection(&cluster.url().parse().unwrap()).unwrap();
    // From here on both know where the slot is.
    assert!(fixture.queues.open(&id(&first)).await.is_err());
    let mut asks = redis::cmd("EXISTS");
    let exists: bool = asks.arg(&line).query_async(&mut plain).await.unwrap();
    assert!(!exists);
    cluster.give(&line, 2).unwrap();
    let queue = fixture.queue(&first, places(1)).await;
    let tickets = crowd(&queue, 2).await;
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    let mut pipe = redis::pipe();
    pipe.cmd("ZCARD").arg(&line).cmd("EXISTS").arg(&line);
    let told: (u64, bool) = pipe.query_async(&mut plain).await.unwrap();
    assert_eq!(told, (1, true));
    fixture.queues.remove(&id(&first), "a test").await.unwrap();
}

/// A cluster that speaks TLS and wants a password, and its place.
fn protected(scratch: &Scratch) -> (RedisCluster, RedisUrl) {
    let files = tls_files(scratch);
    let options = RedisOptions {
        password: Some("hunter2".to_owned()),
        tls: Some(files.clone()),
        ..RedisOptions::default()
    };
    let cluster = RedisCluster::start(scratch.path(), &options).unwrap();
    let url = trusting(&cluster.url(), &files);
    (cluster, url)
}

#[tokio::test]
async fn when_a_master_dies_only_its_queues_wait_and_all_come_back_with_it() {
    let scratch = Scratch::new().unwrap();
    let (mut cluster, url) = protected(&scratch);
    let clock = Clock::system();
    let fixture = Fixture::behind(&url, clock.clone());
    let operator = Fixture::behind(&url, clock.clone());
    // The hardest: with it goes the set of names.
    let dying = cluster.master_of(NAMES).unwrap();
    let names = names(&cluster, "line");
    let mut queues = Vec::new();
    for name in &names {
        let queue = fixture.queue(name, places(1)).await;
        let tickets = crowd(&queue, 3).await;
        queues.push((queue, tickets));
    }
    for name in &names {
        operator.open(name).await;
    }
    cluster.masters[dying].kill();
    for (master, (queue, tickets)) in queues.iter().enumerate() {
        let asked = queue.rank(&tickets[2]).await;
        if master == dying {
            assert!(
                matches!(asked, Err(QueueError::StoreUnavailable(_))),
                "{asked:?}"
            );
            assert!(queue.join(user()).await.is_err() && queue.admit().await.is_err());
            continue;
        }
        assert_eq!(asked.unwrap(), Standing::Waiting { ahead: 1 });
        assert!(queue.join(user()).await.unwrap().created);
        assert!(queue.leave(&tickets[0]).await.unwrap().freed);
        assert!(is_active(&queue.rank(&tickets[1]).await));
        // The names are away, but what is known is changed and read all the same.
        until(async || {
            let name = id(&names[master]);
            let _ = operator.queues.change(&name, &places(5), "a test").await;
            let refreshed = fixture.queues.refresh().await;
            assert!(refreshed.is_err(), "the names are away");
            queue.snapshot().policy.max_active == 5
        })
        .await;
    }

    cluster.masters[dying].restart().unwrap();
    until(async || fixture.queues.refresh().await.is_ok()).await;
    let (queue, tickets) = &queues[dying];
    for ticket in tickets.iter().rev() {
        let place = until_answered(|| queue.rank(ticket)).await;
        assert_eq!(place, Standing::Waiting { ahead: 0 });
    }
    fixture.pass(RECOVERY);
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&tickets[0]).await));
    let again = Fixture::behind(&url, clock);
    again.queues.refresh().await.unwrap();
    let known: Vec<_> = again
        .queues
        .list()
        .iter()
        .map(|it| it.id().to_string())
        .collect();
    assert!(names.iter().all(|name| known.contains(name)), "{known:?}");
}

#[tokio::test]
async fn the_replica_that_takes_over_from_a_dead_master_is_found_with_all_places() {
    let scratch = Scratch::new().unwrap();
    let mut cluster = RedisCluster::start(scratch.path(), &RedisOptions::default()).unwrap();
    let replica = cluster.replica_of(0, &scratch.path().join("replica"));
    let replica = replica.unwrap();
    let fixture = Fixture::at(&cluster.url(), Clock::system());
    let [name, ..] = names(&cluster, "failover");
    let queue = fixture.queue(&name, places(1)).await;
    let tickets = crowd(&queue, 3).await;
    cluster.masters[0].wait_replicated(&replica).unwrap();
    cluster.masters[0].kill();
    let place = until_answered(|| queue.rank(&tickets[2])).await;
    assert_eq!(place, Standing::Waiting { ahead: 1 });
    assert!(queue.leave(&tickets[0]).await.unwrap().freed);
    assert!(is_active(&queue.rank(&tickets[1]).await));
    until(async || fixture.queues.refresh().await.is_ok()).await;
    let role = replica.ask("ROLE").unwrap();
    assert!(role.contains("master"), "{role}");
}

#[tokio::test]
async fn visits_that_ended_while_two_masters_hung_are_told_to_the_one_that_is_back() {
    let scratch = Scratch::new().unwrap();
    let cluster = RedisCluster::start(scratch.path(), &RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&cluster.url(), Clock::system());
    let [away, back, _] = names(&cluster, "told");
    let (away, back) = (
        fixture.queue(&away, places(8)).await,
        fixture.queue(&back, places(8)).await,
    );
    let (unheard, heard) = (crowd(&away, 8).await, crowd(&back, 1).await[0]);
    cluster.masters[0].freeze();
    cluster.masters[1].freeze();
    let inside = AdmittedCache::default();
    inside.release(&back, &heard).await;
    for ticket in &unheard {
        inside.release(&away, ticket).await;
    }
    cluster.masters[1].thaw();
    until(async || {
        assert!(inside.settle().await.is_err(), "one is away");
        is_over(&back.rank(&heard).await)
    })
    .await;
}

#[actix_web::test]
async fn a_gateway_on_a_cluster_lets_in_while_one_master_hangs() {
    let scratch = Scratch::new().unwrap();
    let cluster = RedisCluster::start(scratch.path(), &RedisOptions::default()).unwrap();
    let url = cluster.url();
    let unlimited = ("GATEWAY_VISIT_POLLS_PER_S", "0");
    let app = TestApp::with(&[("GATEWAY_REDIS_URL", &url), unlimited]).await;
    let names = names(&cluster, "sale");
    let hanging = (cluster.master_of(NAMES).unwrap() + 1) % 3;
    let going = (hanging + 1) % 3;
    let path = |master: usize| format!("/api/v1/queues/{}/tokens", names[master]);
    let mut places = Vec::new();
    for master in [hanging, going] {
        let queue = format!("/api/v1/queues/{}", names[master]);
        let rules = json!({ "maxActive": 100, "admitPerSecond": 1 });
        assert_eq!(said(app.put(&queue, &rules)).await.0, 201);
        for _ in 0..3 {
            let join = app
                .post(&path(master))
                .json(&json!({ "userId": Uuid::new_v4() }));
            places.push(said(join).await.1);
        }
    }
    cluster.masters[hanging].freeze();
    let poll = |master: usize, place: usize| {
        let request = app.get(&format!("{}/me", path(master)));
        request.bearer_auth(token(&places[place]))
    };
    let refusal = refused(poll(hanging, 2)).await;
    assert_eq!(refusal, (503, "STORE_UNAVAILABLE".to_owned()));
    // Nobody joins or leaves, so it is the scheduler who lets in.
    until(async || {
        let (status, place) = said(poll(going, 5)).await;
        assert_eq!(status, 200, "{place}");
        place["state"] == "active"
    })
    .await;
    let ready = app.get("/ready").send().await.unwrap();
    assert_eq!(ready.status(), 200, "most of the sale goes on");
    cluster.masters[hanging].thaw();
    until(async || said(poll(hanging, 2)).await.0 == 200).await;
    app.close().await;
}
