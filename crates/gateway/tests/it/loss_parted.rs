//! A master is cut off together with one gateway, while the sentinels promote its replica: two histories, of
//! which one is given up.

use chassis::time::Clock;
use gateway::queue::Standing;
use testbed::{RedisSentinels, Scratch, eventually};

use crate::fixture::{Fixture, crowd, user};
use crate::loss_older::paused;
use crate::store::until_answered;
use crate::test_app::PATIENCE;

const CUT_OFF: usize = 30;

#[tokio::test]
async fn who_joined_on_the_side_that_was_given_up_comes_back_in_the_order_of_tickets() {
    let scratch = Scratch::new().unwrap();
    let (store, network) = RedisSentinels::start_behind_network(scratch.path(), "hunter2").unwrap();
    for server in [&store.master, &store.replica] {
        server
            .ask("ACL SETUSER marooned on >side ~* &* +@all")
            .unwrap();
    }
    let clock = Clock::system();
    let right = Fixture::at(&store.url(), clock.clone());
    let left = Fixture::at(&store.url().replace(":hunter2@", "marooned:side@"), clock);
    let queue = right.queue("main", paused()).await;
    let at_left = left.open("main").await;
    let mut all = crowd(&queue, 5).await;
    all.extend(crowd(&at_left, 5).await);
    store.wait_replicated().unwrap();

    network.cut_all_but("marooned");
    all.extend(crowd(&at_left, CUT_OFF).await);
    for _ in 0..CUT_OFF {
        let user = user();
        all.push(until_answered(|| queue.join(user)).await.ticket);
    }
    all.extend(crowd(&at_left, 1).await);
    let role = store.replica.ask("ROLE").unwrap();
    assert!(role.contains("master"), "{role}");

    network.heal();
    eventually(PATIENCE, "the old master to follow", async || {
        let role = store.master.ask("INFO replication").ok()?;
        role.contains("master_link_status:up").then_some(())
    })
    .await;
    // What the scheduler of each gateway does every second.
    until_answered(|| left.queues.refresh()).await;
    until_answered(|| right.queues.refresh()).await;
    assert_eq!(at_left.snapshot().epoch, queue.snapshot().epoch);
    for (index, ticket) in all.iter().enumerate().rev() {
        let queue = [&queue, &at_left][index % 2];
        let place = until_answered(|| queue.rank(ticket)).await;
        assert!(matches!(place, Standing::Waiting { .. }), "{place:?}");
    }
    all.sort_by_key(|ticket| ticket.number);
    for (ahead, ticket) in (0..).zip(&all) {
        let place = queue.rank(ticket).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead });
    }
    let newcomer = at_left.join(user()).await.unwrap();
    let ahead = u64::try_from(all.len()).unwrap();
    assert_eq!(newcomer.standing, Standing::Waiting { ahead });
}
