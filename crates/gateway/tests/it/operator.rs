//! What operators do, and who is told.

use gateway::queue::policy::{Policy, PolicyChange, State};
use gateway::queue::{AuditPage, Defined, QueueError};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, id, places};

const ALL: AuditPage = AuditPage {
    older_than: None,
    limit: 100,
};

#[tokio::test]
async fn a_change_at_one_gateway_is_seen_by_another_after_its_next_refresh() {
    let fixture = Fixture::new();
    let here = fixture.queue("operator-seen", places(1)).await;
    let twin = fixture.twin();
    let there = twin.open("operator-seen").await;
    let change = PolicyChange {
        state: Some(State::Paused),
        message: Some(Some("Back at noon".into())),
        ..places(9)
    };
    fixture.change("operator-seen", change).await;
    assert_eq!(here.snapshot().policy.max_active, 9);
    assert_eq!(there.snapshot().policy.max_active, 1);
    twin.queues.refresh().await.unwrap();
    let seen = there.snapshot();
    assert_eq!((seen.policy.max_active, seen.state), (9, State::Paused));
    assert_eq!(seen.policy.message.as_deref(), Some("Back at noon"));
    assert_eq!(seen.policy, here.snapshot().policy);
}

#[tokio::test]
async fn a_queue_that_another_gateway_made_is_found_and_listed() {
    let fixture = Fixture::new();
    let twin = fixture.twin();
    let unknown = twin.queues.open(&id("operator-found")).await;
    assert!(matches!(unknown, Err(QueueError::Unknown)));
    fixture.queue("operator-found", places(1)).await;
    let still = twin.queues.open(&id("operator-found")).await;
    assert!(
        matches!(still, Err(QueueError::Unknown)),
        "remembered until the next refresh"
    );
    twin.queues.refresh().await.unwrap();
    assert_eq!(
        twin.open("operator-found")
            .await
            .snapshot()
            .policy
            .max_active,
        1
    );
    assert!(
        twin.queues
            .list()
            .iter()
            .any(|queue| queue.id().as_str() == "operator-found")
    );
    fixture.queue("operator-asked", places(1)).await;
    twin.open("operator-asked").await;
}

#[tokio::test]
async fn a_definition_never_overrides_what_an_operator_changed_or_removed() {
    let fixture = Fixture::new();
    let name = id("operator-define");
    let define = || {
        fixture
            .queues
            .define(&name, Policy::default(), "configuration")
    };
    assert_eq!(define().await.unwrap(), Defined::Created);
    fixture.change("operator-define", places(5)).await;
    assert_eq!(define().await.unwrap(), Defined::Present);
    assert_eq!(
        fixture
            .open("operator-define")
            .await
            .snapshot()
            .policy
            .max_active,
        5
    );
    fixture.queues.remove(&name, "a test").await.unwrap();
    assert_eq!(define().await.unwrap(), Defined::Removed);
    assert!(matches!(
        fixture.queues.open(&name).await,
        Err(QueueError::Unknown)
    ));
}

#[tokio::test]
async fn of_many_gateways_that_define_a_queue_at_once_one_makes_it() {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(async {
            let fixture = Fixture::new();
            let name = id("operator-race");
            fixture
                .queues
                .define(&name, Policy::default(), "configuration")
                .await
                .unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let created = outcomes
        .iter()
        .filter(|outcome| **outcome == Defined::Created);
    assert_eq!(created.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_who_change_different_rules_at_once_undo_nothing() {
    let fixture = Fixture::new();
    fixture.queue("operator-merge", places(1)).await;
    let lease = PolicyChange {
        lease_seconds: Some(77),
        ..PolicyChange::default()
    };
    let claim = PolicyChange {
        claim_seconds: Some(33),
        ..PolicyChange::default()
    };
    let message = PolicyChange {
        message: Some(Some("soon".into())),
        ..PolicyChange::default()
    };
    let mut tasks = JoinSet::new();
    for change in [lease, claim, message, places(8)] {
        let twin = fixture.twin();
        tasks.spawn(async move { twin.change("operator-merge", change).await });
    }
    tasks.join_all().await;
    fixture.queues.refresh().await.unwrap();
    let policy = fixture
        .open("operator-merge")
        .await
        .snapshot()
        .policy
        .clone();
    let seen = (
        policy.lease_seconds,
        policy.claim_seconds,
        policy.max_active,
    );
    assert_eq!(seen, (77, 33, 8));
    assert_eq!(policy.message.as_deref(), Some("soon"));
    let entries = fixture
        .queues
        .audit(&id("operator-merge"), ALL)
        .await
        .unwrap();
    assert_eq!(entries.len(), 5);
    for pair in entries.windows(2) {
        assert_eq!(
            pair[0].before, pair[1].after,
            "each change follows the one before"
        );
    }
}

#[tokio::test]
async fn the_record_says_who_changed_what_and_when_newest_first() {
    let fixture = Fixture::new();
    let name = id("operator-audit");
    fixture.queue("operator-audit", places(1)).await;
    for max_active in 2..6 {
        let by = format!("operator \"{max_active}\"");
        fixture
            .queues
            .change(&name, &places(max_active), &by)
            .await
            .unwrap();
    }
    fixture
        .queues
        .change(&name, &places(5), "nobody")
        .await
        .unwrap();
    fixture.queues.remove(&name, "the last").await.unwrap();
    let entries = fixture.queues.audit(&name, ALL).await.unwrap();
    let by: Vec<_> = entries.iter().map(|entry| entry.by.as_str()).collect();
    let last = [
        "the last",
        "operator \"5\"",
        "operator \"4\"",
        "operator \"3\"",
        "operator \"2\"",
    ];
    assert_eq!(
        by[..5],
        last,
        "a change that changes nothing is not recorded"
    );
    assert_eq!(entries[0].after, None);
    assert_eq!(entries[1].before.as_ref().unwrap().max_active, 4);
    assert_eq!(entries[1].after.as_ref().unwrap().max_active, 5);
    assert_eq!(entries[5].before, None);
    assert!(entries.windows(2).all(|pair| pair[0].at >= pair[1].at));

    let mut page = AuditPage {
        older_than: None,
        limit: 2,
    };
    let mut paged = Vec::new();
    loop {
        let entries = fixture.queues.audit(&name, page).await.unwrap();
        let Some(last) = entries.last() else { break };
        page.older_than = Some(last.mark());
        paged.extend(entries);
    }
    assert_eq!(paged, entries);
}

#[tokio::test]
async fn a_queue_that_never_was_has_no_record_and_cannot_be_removed() {
    let fixture = Fixture::new();
    let name = id("operator-never");
    assert!(matches!(
        fixture.queues.audit(&name, ALL).await,
        Err(QueueError::Unknown)
    ));
    assert!(matches!(
        fixture.queues.remove(&name, "x").await,
        Err(QueueError::Unknown)
    ));
}

#[tokio::test]
async fn a_rule_out_of_range_is_refused_by_name_and_changes_nothing() {
    let fixture = Fixture::new();
    let queue = fixture.queue("operator-refused", places(3)).await;
    let before = queue.snapshot().policy.clone();
    let change = PolicyChange {
        message: Some(Some("never seen".into())),
        lease_seconds: Some(0),
        ..PolicyChange::default()
    };
    match fixture.queues.change(queue.id(), &change, "a test").await {
        Err(QueueError::Refused(cause)) => assert_eq!(cause.field, "leaseSeconds"),
        _ => panic!("not refused"),
    }
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().policy, before);
}
