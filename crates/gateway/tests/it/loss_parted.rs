//! A master is cut off together with one gateway, while its replica is promoted: two histories, of which one is given
//! up. The same behind sentinels and in a cluster.

use chassis::time::Clock;
use gateway::queue::{Standing, Ticket};
use testbed::{PartedCluster, Redis, RedisSentinels, Scratch, eventually};

use crate::fixture::{Fixture, assert_line, crowd, crowd_at_once, user};
use crate::loss_older::paused;
use crate::store::until_answered;
use crate::test_app::PATIENCE;

const CUT_OFF: usize = 30;
/// Who stays with the master that is cut off logs in so.
const MAROONED: &str = "marooned";
const LOGIN: &str = "marooned:side@";

/// The two servers that have the line, each for a while.
struct Line<'a> {
    master: &'a Redis,
    replica: &'a Redis,
}

impl Line<'_> {
    /// A gateway that stays with the master, and one that does not; nobody is let in.
    async fn part(&self, [left, right]: [Fixture; 2], name: &str, cut: impl Fn(), heal: impl Fn()) {
        let queue = right.queue(name, paused()).await;
        let at_left = left.open(name).await;
        let mut all = crowd(&queue, 5).await;
        all.extend(crowd(&at_left, 5).await);
        self.master.wait_replicated(self.replica).unwrap();

        cut();
        all.extend(crowd_at_once(&at_left, CUT_OFF).await);
        for _ in 0..CUT_OFF {
            let user = user();
            all.push(until_answered(|| queue.join(user)).await.ticket);
        }
        all.extend(crowd(&at_left, 1).await);
        let role = self.replica.ask("ROLE").unwrap();
        assert!(role.contains("master"), "{role}");

        heal();
        eventually(PATIENCE, "the old master to follow", async || {
            let role = self.master.ask("INFO replication").ok()?;
            role.contains("master_link_status:up").then_some(())
        })
        .await;
        // What the scheduler of each gateway does every second.
        until_answered(|| left.queues.refresh()).await;
        until_answered(|| right.queues.refresh()).await;
        assert_eq!(at_left.snapshot().epoch, queue.snapshot().epoch);
        let gateways = [&queue, &at_left];
        for (index, ticket) in all.iter().enumerate().rev() {
            let place = until_answered(|| gateways[index % 2].rank(ticket)).await;
            assert!(matches!(place, Standing::Waiting { .. }), "{place:?}");
        }
        all.sort_by_key(|ticket: &Ticket| ticket.number);
        assert_line(&queue, &all).await;
        let newcomer = at_left.join(user()).await.unwrap();
        let ahead = u64::try_from(all.len()).unwrap();
        assert_eq!(newcomer.standing, Standing::Waiting { ahead });
    }
}

fn know_marooned<'a>(servers: impl IntoIterator<Item = &'a Redis>) {
    for server in servers {
        let login = format!("ACL SETUSER {MAROONED} on >side ~* &* +@all");
        server.ask(&login).unwrap();
    }
}

#[tokio::test]
async fn who_joined_on_the_side_that_sentinels_gave_up_comes_back_in_the_order_of_tickets() {
    let scratch = Scratch::new().unwrap();
    let (store, network) = RedisSentinels::start_behind_network(scratch.path(), "hunter2").unwrap();
    know_marooned([&store.master, &store.replica]);
    let line = Line {
        master: &store.master,
        replica: &store.replica,
    };
    let (url, clock) = (store.url(), Clock::system());
    let left = Fixture::at(&url.replace(":hunter2@", LOGIN), clock.clone());
    let right = Fixture::at(&url, clock);
    let cut = || network.cut_all_but(MAROONED);
    line.part([left, right], "main", cut, || network.heal())
        .await;
}

#[tokio::test]
async fn who_joined_on_the_side_that_a_cluster_gave_up_comes_back_in_the_order_of_tickets() {
    let scratch = Scratch::new().unwrap();
    let store = PartedCluster::start(scratch.path()).unwrap();
    let masters = &store.cluster.masters;
    know_marooned(masters.iter().chain([&store.replica]));
    let line = Line {
        master: &masters[0],
        replica: &store.replica,
    };
    let mut names = (0..).map(|number| format!("parted-{number}"));
    let lies_there = |name: &String| {
        let key = format!("q:{{{name}}}:meta");
        store.cluster.master_of(&key).unwrap() == 0
    };
    let name = names.find(lies_there).unwrap();
    let clock = Clock::system();
    let left = Fixture::at(&store.url(LOGIN), clock.clone());
    let right = Fixture::at(&store.url(""), clock);
    let cut = || store.cut_off_with(MAROONED).unwrap();
    line.part([left, right], &name, cut, || store.heal()).await;
}
