//! A line that an older gateway left in Redis: one that knew neither who is present nor a lottery.

use gateway::queue::policy::{Order, Policy};
use gateway::queue::{AuditPage, Defined, Standing, Ticket, UserId};

use crate::fixture::{Fixture, id, is_active, redis, user};

/// One visitor inside who has not shown up yet and two in line, as such a gateway wrote them.
async fn write_older(name: &str, now_us: i64, users: [UserId; 3]) -> [Ticket; 3] {
    let epoch = u64::try_from(now_us).unwrap() - 10_000_000;
    let tickets = [1, 2, 3].map(|number| Ticket {
        user: users[number - 1],
        number: epoch + number as u64,
        epoch,
    });
    let [inside, first, second] = tickets;
    let key = |part: &str| format!("q:{{{name}}}:{part}");
    let bytes = |ticket: &Ticket| ticket.user.0.as_bytes().to_vec();
    let policy = [
        ("state", "open"),
        ("max_active", "1"),
        ("admit_milli", "100000000"),
        ("lease_seconds", "420"),
        ("claim_seconds", "60"),
        ("max_waiting", "1000"),
    ];
    let meta = [
        ("version", 1),
        ("epoch", epoch),
        ("born", epoch),
        ("last", second.number),
        ("joined", 3),
        ("admitted", 1),
        ("bucket", 0),
        ("bucket_at", epoch),
    ];
    let entry = format!(
        r#"{{"version":1,"atUs":{epoch},"by":"ann","before":null,"after":{{"maxActive":1}}}}"#
    );
    let mut write = redis::pipe();
    write.sadd("usher:queues", name).ignore();
    write.hset_multiple(key("policy"), &policy).ignore();
    write.hset_multiple(key("meta"), &meta).ignore();
    for waiting in [first, second] {
        let line = key("waiting");
        write.zadd(line, bytes(&waiting), waiting.number).ignore();
    }
    let claim_end = now_us + 60_000_000;
    write
        .zadd(key("active"), bytes(&inside), claim_end)
        .ignore();
    write.sadd(key("unclaimed"), bytes(&inside)).ignore();
    write
        .hset(key("tickets"), bytes(&inside), inside.number)
        .ignore();
    // The count of each second, without what is counted today.
    for second in now_us / 1_000_000 - 59..=now_us / 1_000_000 {
        let counted = format!("{second}:1");
        write.hset(key("admitted"), second % 64, counted).ignore();
    }
    write.lpush(key("audit"), entry).ignore();
    write.exec_async(&mut redis().await).await.unwrap();
    tickets
}

#[tokio::test]
async fn a_line_of_an_older_gateway_goes_on_where_it_was() {
    let fixture = Fixture::new();
    let now_us = fixture.clock.now().timestamp_micros();
    let users = [user(), user(), user()];
    let [inside, first, second] = write_older("older", now_us, users).await;

    let name = id("older");
    let defined = fixture
        .queues
        .define(&name, Policy::default(), "start")
        .await;
    assert_eq!(defined.unwrap(), Defined::Present);
    fixture.queues.refresh().await.unwrap();
    let queue = fixture.open("older").await;
    let snapshot = queue.snapshot();
    assert_eq!((snapshot.waiting, snapshot.active), (2, 1));
    assert_eq!(snapshot.policy.order, Order::Fifo);
    assert_eq!(snapshot.admitted_last_minute, 0, "it is not known");

    assert!(is_active(&queue.touch(&inside).await));
    let waiting = |ahead| Standing::Waiting { ahead };
    assert_eq!(queue.rank(&second).await.unwrap(), waiting(1));
    let new = queue.join(user()).await.unwrap();
    assert_eq!(new.standing, waiting(2));
    assert!(new.ticket.number > second.number);
    queue.leave(&inside).await.unwrap();
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&first).await));
    assert_eq!(queue.rank(&second).await.unwrap(), waiting(0));
    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().admitted_last_minute, 1);

    let page = AuditPage {
        older_than: None,
        limit: 10,
    };
    let audit = fixture.queues.audit(queue.id(), page).await.unwrap();
    assert_eq!(audit[0].by, "ann");
}
