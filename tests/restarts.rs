//! Both bookings and both gateways are restarted, one after the other, while a crowd goes on: no connection breaks, and
//! every answer is the one that was wanted.
//!
//! The crowd keeps its connections, and comes through a balancer as a proxy would be: it sends nobody to a gateway that says
//! it is not ready, and sends again only what was never sent.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{Sale, Visitor, ask, reached};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::json;
use testbed::{Program, within};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

const CALLERS: usize = 8;
/// Answers of the whole crowd, at least, and between two restarts.
const ANSWERS: usize = 2_000;
const BETWEEN: usize = 200;
/// How often the balancer asks, far more often than a gateway drains.
const LOOK: Duration = Duration::from_millis(100);
const GATEWAY: [(&str, &str); 2] = [
    ("GATEWAY_DRAIN_S", "2"),
    ("GATEWAY_UPSTREAM_CHECK", "/ready"),
];
/// Gateways ask every two seconds, and notice within that time.
const BOOKING: [(&str, &str); 1] = [("BOOKING_DRAIN_S", "5")];
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands before the gateways.
struct Balancer {
    gateways: Vec<String>,
    ready: watch::Sender<Vec<bool>>,
}

impl Balancer {
    fn before(gateways: Vec<String>) -> Self {
        let (ready, _) = watch::channel(vec![true; gateways.len()]);
        Self { gateways, ready }
    }

    /// Asks each gateway again and again whether it is ready.
    async fn look_on(self: Arc<Self>) {
        let client = Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE);
        let client = client.build().unwrap();
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            for (number, url) in self.gateways.iter().enumerate() {
                let said = client.get(format!("{url}/ready")).send().await;
                let is_ready = said.is_ok_and(|it| it.status() == 200);
                self.ready.send_modify(|all| all[number] = is_ready);
            }
        }
    }

    /// Waits until this gateway is sent visitors again.
    async fn until_ready(&self, number: usize) {
        let mut ready = self.ready.subscribe();
        let is_ready = ready.wait_for(|all| all[number]);
        within(PATIENCE, "a gateway that is ready", is_ready)
            .await
            .unwrap();
    }

    /// The address of a gateway that is ready: they take turns.
    async fn gateway(&self, turn: usize) -> &str {
        let mut ready = self.ready.subscribe();
        let all = ready
            .wait_for(|all| all.contains(&true))
            .await
            .unwrap()
            .clone();
        let mut numbers = (0..all.len()).map(|it| (turn + it) % all.len());
        let number = numbers.find(|it| all[*it]).expect("one is ready");
        &self.gateways[number]
    }

    /// Sends a request, and to another gateway only where it was never sent.
    async fn send(
        &self,
        mut turn: usize,
        wish: impl Fn(&str) -> RequestBuilder,
    ) -> reqwest::Result<Response> {
        loop {
            match wish(self.gateway(turn).await).send().await {
                Err(cause) if cause.is_connect() => turn += 1,
                said => return said,
            }
        }
    }
}

/// What the crowd has met with.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    is_over: AtomicBool,
    faults: Mutex<Vec<String>>,
}

impl Seen {
    /// Waits for so many more answers.
    async fn more(&self, answers: usize) {
        reached(
            &self.answered,
            self.answered.load(Ordering::SeqCst) + answers,
        )
        .await;
    }
}

/// One of the crowd, with connections of its own.
struct Caller {
    visitor: Visitor,
    client: Client,
}

impl Caller {
    fn new(visitor: Visitor) -> Self {
        let client = Client::builder()
            .pool_max_idle_per_host(1)
            .timeout(PATIENCE);
        let client = client.build().unwrap();
        Self { visitor, client }
    }

    /// What is asked for in this turn, and how it is answered: a look at the seats, money into the wallet, a look at it.
    fn wish(&self, turn: usize, base: &str) -> RequestBuilder {
        let balance = format!("{base}/api/v1/users/{}/balance", self.visitor.user);
        let schedule = self.visitor.schedule();
        let request = match turn % 3 {
            0 => self
                .client
                .get(format!("{base}/api/v1/schedules/{schedule}/seats")),
            1 => {
                let charge = self.client.post(format!("{balance}/charges"));
                let charge = charge.header("Idempotency-Key", turn.to_string());
                charge.json(&json!({ "amount": 1 }))
            }
            _ => self.client.get(balance),
        };
        request.bearer_auth(&self.visitor.token)
    }

    /// Asks until it is over; who it was, and how often money came in.
    async fn go_on(self, balancer: Arc<Balancer>, seen: Arc<Seen>) -> (Visitor, usize) {
        let mut charges = 0;
        for turn in 0.. {
            if seen.is_over.load(Ordering::SeqCst) {
                break;
            }
            let wanted = if turn % 3 == 1 { 201 } else { 200 };
            let said = match balancer.send(turn, |base| self.wish(turn, base)).await {
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    answer.text().await.map(|text| (status, text))
                }
                Err(cause) => Err(cause),
            };
            match said {
                Ok((status, _)) if status == wanted => charges += usize::from(status == 201),
                other => seen
                    .faults
                    .lock()
                    .unwrap()
                    .push(format!("turn {turn}: {other:?}")),
            }
            seen.answered.fetch_add(1, Ordering::SeqCst);
        }
        (self.visitor, charges)
    }
}

fn restart(program: &mut Program) {
    let code = program.terminate().unwrap();
    assert_eq!(code, 0, "{}: {}", program.name(), program.log_tail());
    program.restart().unwrap();
}

fn told(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let variables = variables.iter();
    let told = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_each_process_after_the_other_breaks_no_connection_of_a_crowd() {
    let mut sale = Sale::on(50, |options| {
        (options.gateways, options.bookings) = (2, 2);
        options.gateway_environment = told(&GATEWAY);
        options.booking_environment = told(&BOOKING);
    })
    .await;
    let visitors = sale.inside(CALLERS).await;
    let balancer = Arc::new(Balancer::before(sale.stack.gateway_urls()));
    let looking = tokio::spawn(balancer.clone().look_on());
    let (seen, mut crowd) = (Arc::new(Seen::default()), JoinSet::new());
    for visitor in visitors {
        crowd.spawn(Caller::new(visitor).go_on(balancer.clone(), seen.clone()));
    }
    for booking in &mut sale.stack.bookings {
        seen.more(BETWEEN).await;
        restart(booking);
    }
    for (number, gateway) in sale.stack.gateways.iter_mut().enumerate() {
        seen.more(BETWEEN).await;
        restart(gateway);
        balancer.until_ready(number).await;
    }
    seen.more(BETWEEN).await;
    reached(&seen.answered, ANSWERS).await;
    seen.is_over.store(true, Ordering::SeqCst);
    let callers = crowd.join_all().await;
    looking.abort();

    let faults = seen.faults.lock().unwrap().clone();
    let answered = seen.answered.load(Ordering::SeqCst);
    assert!(
        faults.is_empty(),
        "{} of {answered}: {faults:#?}",
        faults.len()
    );
    for (visitor, charges) in callers {
        let path = format!("/api/v1/users/{}/balance", visitor.user);
        let balance = ask(visitor.request(reqwest::Method::GET, &path)).await;
        assert_eq!(
            balance.body["balance"], charges,
            "each charge is there once"
        );
    }
    sale.assert_books_agree().await;
}
