//! The whole way of events, on real processes: paid at the gateway, told at the receiver.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use e2e::{Sale, Visitor};
use testbed::Brokers;

const SOON: Duration = Duration::from_secs(60);

/// An event as the receiver has printed it.
#[derive(Debug)]
struct Received {
    event_type: String,
    subject: String,
    id: String,
}

fn received(sale: &Sale) -> Vec<Received> {
    let log = sale.stack.events.as_ref().unwrap().receiver.log();
    let text = fs::read_to_string(log).unwrap();
    let event = |line: &str| {
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        Some(Received {
            event_type: words.next()?,
            subject: words.next()?,
            id: words.next()?,
        })
    };
    text.lines().filter_map(event).collect()
}

fn until_received(sale: &Sale, count: usize) -> Vec<Received> {
    testbed::wait_for("events to arrive", SOON, || {
        let received = received(sale);
        (received.len() >= count).then_some(received)
    })
    .unwrap()
}

/// Charges, holds and pays one seat; the reservation.
async fn buy(visitor: &mut Visitor, seat: u16) -> String {
    visitor.enter().await;
    assert_eq!(visitor.charge(5_000, "charge").await.status, 201);
    let held = visitor.reserve(&[seat], "hold").await;
    assert_eq!(held.status, 201, "{held:?}");
    let reservation = held.body["id"].as_str().unwrap().to_owned();
    let paid = visitor.pay(&reservation, "pay").await;
    assert_eq!(paid.status, 201, "{paid:?}");
    reservation
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_is_told_once_and_in_order_also_after_the_broker_hung_and_the_forwarder_died()
{
    let mut sale = Sale::with(1, 50, Brokers::StandIn).await;
    let mut reservations = vec![buy(&mut sale.visitor(0), 1).await];
    until_received(&sale, 3);

    let events = sale.stack.events.as_mut().unwrap();
    events.kafka.as_ref().unwrap().freeze();
    reservations.push(buy(&mut sale.visitor(1), 2).await);
    let events = sale.stack.events.as_mut().unwrap();
    events.forwarders[0].kill();
    events.kafka.as_ref().unwrap().thaw();
    events.forwarders[0].restart().unwrap();
    reservations.push(buy(&mut sale.visitor(2), 3).await);

    let received = until_received(&sale, 9);
    let ids: BTreeSet<_> = received.iter().map(|it| &it.id).collect();
    assert_eq!((ids.len(), received.len()), (9, 9), "{received:?}");
    for reservation in reservations {
        let subject = format!("reservation/{reservation}");
        let types = received.iter().filter(|it| it.subject == subject);
        let types: Vec<_> = types.map(|it| it.event_type.as_str()).collect();
        assert_eq!(types, ["reservation.held", "payment.captured"]);
    }
    sale.stack.stop().unwrap();
}
