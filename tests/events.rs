//! The whole way of events, on real processes: paid at the gateway, told at the receiver.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use e2e::Sale;
use testbed::Brokers;

/// The broker hangs while somebody pays, and a forwarder is killed meanwhile.
async fn hang(sale: &mut Sale, seat: u16) -> String {
    let events = sale.stack.events.as_mut().unwrap();
    events.kafka.as_ref().unwrap().freeze();
    let reservation = sale.visitor(0).buy(seat).await;
    let events = sale.stack.events.as_mut().unwrap();
    events.forwarders[0].kill();
    events.kafka.as_ref().unwrap().thaw();
    events.forwarders[0].restart().unwrap();
    reservation
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_is_told_once_and_in_order_also_after_the_broker_hung_and_the_forwarder_died()
{
    let mut sale = Sale::with(1, 50, Brokers::StandIn).await;
    let mut reservations = vec![sale.visitor(0).buy(1).await];
    sale.until_received(3).await;
    reservations.push(hang(&mut sale, 2).await);
    reservations.push(sale.visitor(0).buy(3).await);
    let received = sale.until_received(9).await;
    assert_eq!(received.len(), 9, "{received:?}");
    Sale::assert_told(&received, &reservations);
    sale.stack.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_kafka_two_publishers_and_two_forwarders_tell_all_once_over_a_kill_of_the_broker()
{
    let mut sale = Sale::on(50, |options| {
        options.brokers = Brokers::Real;
        options.bookings = 2;
        options.forwarders = 2;
    })
    .await;
    let mut reservations = Vec::new();
    for seat in 1..=4 {
        reservations.push(sale.visitor(0).buy(seat).await);
    }
    sale.until_received(12).await;
    reservations.push(hang(&mut sale, 5).await);
    let kafka = sale.stack.events.as_mut().unwrap().kafka.as_mut().unwrap();
    kafka.kill();
    reservations.push(sale.visitor(0).buy(6).await);
    let kafka = sale.stack.events.as_mut().unwrap().kafka.as_mut().unwrap();
    kafka.restart().unwrap();
    reservations.push(sale.visitor(0).buy(7).await);
    let received = sale.until_received(21).await;
    assert_eq!(received.len(), 21, "{received:?}");
    Sale::assert_told(&received, &reservations);
    sale.stack.stop().unwrap();
}
