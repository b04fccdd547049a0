//! A sale on the shape of a venue that has outgrown one machine: three Galera nodes, a Redis Cluster with replicas, a real
//! Kafka, two of each service. One of each kind is killed, one after the other, and the crowd loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Sale, reached};
use serde_json::json;
use testbed::Brokers;
use tokio::task::JoinSet;

const STORIES: u16 = 160;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_kind_is_killed_during_a_sale_and_nobody_loses_anything() {
    let mut sale = Sale::on(STORIES, |options| {
        options.cluster = true;
        options.gateways = 2;
        options.bookings = 2;
        options.forwarders = 2;
        options.brokers = Brokers::Real;
    })
    .await;
    sale.rule(
        json!({ "maxActive": 20, "admitPerSecond": 1_000, "leaseSeconds": 60, "claimSeconds": 15 }),
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut stories = JoinSet::new();
    for number in 0..STORIES {
        let mut visitor = sale.visitor(usize::from(number));
        let done = Arc::clone(&done);
        stories.spawn(async move {
            let reservation = visitor.buy(number + 1).await;
            done.fetch_add(1, Ordering::SeqCst);
            reservation
        });
    }

    reached(&done, 10).await;
    sale.stack.gateways[0].kill();
    sale.stack.gateways[0].restart().unwrap();
    reached(&done, 30).await;
    sale.stack.bookings[0].kill();
    reached(&done, 50).await;
    sale.stack.bookings[0].restart().unwrap();
    sale.stack.galera().nodes[0].kill();
    reached(&done, 70).await;
    sale.stack.galera().restart(0).unwrap();
    let (cluster, _) = sale.stack.redis_cluster();
    cluster.masters[1].kill();
    reached(&done, 90).await;
    sale.stack.redis_cluster().0.masters[1].restart().unwrap();
    let events = sale.stack.events.as_mut().unwrap();
    events.forwarders[0].kill();
    events.kafka.as_mut().unwrap().kill();
    reached(&done, 120).await;
    let events = sale.stack.events.as_mut().unwrap();
    events.kafka.as_mut().unwrap().restart().unwrap();
    events.forwarders[0].restart().unwrap();

    let reservations = stories.join_all().await;
    let different: BTreeSet<_> = reservations.iter().collect();
    assert_eq!(different.len(), usize::from(STORIES));
    sale.assert_books_agree().await;
    let received = sale.until_told(3 * usize::from(STORIES)).await;
    Sale::assert_told(&received, &reservations);
}
