//! A network between gateway and Redis that loses packets and tells nobody.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use testbed::{Network, Redis, RedisOptions, Scratch, eventually, eventually_every};
use uuid::Uuid;

use crate::test_app::{Said, TestApp, refused, said, token, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const ME: &str = "/api/v1/queues/main/tokens/me";
/// For how long packets are lost.
const CUT: Duration = Duration::from_secs(20);
/// Between two rounds of questions meanwhile.
const PACE: Duration = Duration::from_millis(100);
/// Everybody is answered within this time.
const ANSWERED: Duration = Duration::from_secs(1);
/// So long after the network is whole the line is back.
const BACK: Duration = Duration::from_secs(2);
/// Of so many answers one may be late where others use the machine at the same time.
const ONE_LATE_OF: usize = 20;

struct Sale {
    app: TestApp,
    network: Network,
    redis: Redis,
    inside: Value,
    line: Vec<Value>,
    _scratch: Scratch,
}

/// One inside, who has shown up, and three who wait; the way to Redis leads through a network.
async fn sale() -> Sale {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let network = Network::to(redis.port()).unwrap();
    let url = format!("redis://127.0.0.1:{}/0", network.port());
    let unlimited = ("GATEWAY_VISIT_POLLS_PER_S", "0");
    let app = TestApp::with(&[("GATEWAY_REDIS_URL", &url), unlimited]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    assert_eq!(app.visit(&inside, "/api/v1/seats").await.0, 200);
    let mut line = Vec::new();
    for _ in 0..3 {
        line.push(app.join().await);
    }
    Sale {
        app,
        network,
        redis,
        inside,
        line,
        _scratch: scratch,
    }
}

impl Sale {
    /// While nothing arrives all who ask are refused, and who was seen inside goes on.
    async fn assert_cut(&self) {
        for place in &self.line {
            let (status, said) = self.app.poll(place).await;
            assert_eq!(
                (status.as_u16(), &said["code"]),
                (503, &"STORE_UNAVAILABLE".into())
            );
        }
        let join = self
            .app
            .post(TOKENS)
            .json(&json!({ "userId": Uuid::new_v4() }));
        assert_eq!(refused(join).await, (503, "STORE_UNAVAILABLE".to_owned()));
        let (status, echo) = self.app.visit(&self.inside, "/api/v1/seats").await;
        assert_eq!(status, 200, "{echo}");
    }

    /// All who wait and a newcomer are refused, and who was seen inside goes on: how many were asked, and how many of
    /// the answers were late.
    async fn ask_while_cut(&self) -> (usize, usize) {
        let poll = |place| self.app.get(ME).bearer_auth(token(place));
        let body = json!({ "userId": Uuid::new_v4() });
        let refusals = self.line.iter().map(poll);
        let refusals = refusals.chain([self.app.post(TOKENS).json(&body)]);
        let refusals = join_all(refusals.map(timed));
        let visit = self
            .app
            .get("/api/v1/seats")
            .bearer_auth(token(&self.inside));
        let (refusals, visit) = tokio::join!(refusals, timed(visit));
        for (_, (status, said)) in &refusals {
            assert_eq!(
                (status.as_u16(), &said["code"]),
                (503, &"STORE_UNAVAILABLE".into())
            );
        }
        let (_, (status, echo)) = &visit;
        assert_eq!(*status, 200, "{echo}");
        let took = refusals.iter().chain([&visit]).map(|(took, _)| *took);
        (
            refusals.len() + 1,
            took.filter(|took| *took > ANSWERED).count(),
        )
    }

    /// All who wait are told their place and a newcomer gets one, who leaves again.
    async fn assert_back(&self) {
        let body = json!({ "userId": Uuid::new_v4(), "secret": "correct horse" });
        let newcomer = eventually(BACK, "the line", async || {
            let polls = join_all(self.line.iter().map(|place| self.app.poll(place))).await;
            if polls.iter().any(|(status, _)| *status != 200) {
                return None;
            }
            let (status, place) = said(self.app.post(TOKENS).json(&body)).await;
            status.is_success().then_some(place)
        })
        .await;
        self.app.persist_leave(&newcomer).await;
    }

    /// Everything goes on, although no old connection will ever speak again.
    async fn assert_whole(self) {
        until(async || self.app.poll(&self.line[2]).await.0 == 200).await;
        assert_eq!(self.app.poll(&self.line[2]).await.1["position"], 3);
        assert_eq!(self.app.join().await["position"], 4);
        self.app.persist_leave(&self.inside).await;
        until(async || self.app.poll(&self.line[0]).await.1["state"] == "active").await;
        until(async || self.app.get("/ready").send().await.unwrap().status() == 200).await;
        self.app.close().await;
    }
}

#[actix_web::test]
async fn while_packets_are_lost_all_are_refused_and_afterwards_a_fresh_connection_serves() {
    let sale = sale().await;
    sale.network.cut();
    sale.assert_cut().await;
    until(async || sale.app.metric("usher_redis_breaker_open").await == Some(1.0)).await;
    sale.assert_cut().await;
    sale.network.heal();
    sale.assert_whole().await;
}

/// How long the answer took, and what it was.
async fn timed(request: RequestBuilder) -> (Duration, Said) {
    let sent = Instant::now();
    let said = said(request).await;
    (sent.elapsed(), said)
}

#[actix_web::test]
async fn for_twenty_seconds_of_lost_packets_all_are_refused_within_one_and_the_line_is_back_within_two()
 {
    let sale = sale().await;
    sale.network.cut();
    let end = Instant::now() + CUT;
    let (mut all, mut late) = (0, 0);
    eventually_every(PACE, CUT * 3, "the end of the cut", async || {
        let (asked, came_late) = sale.ask_while_cut().await;
        (all, late) = (all + asked, late + came_late);
        (Instant::now() >= end).then_some(())
    })
    .await;
    sale.network.heal();
    sale.assert_back().await;
    assert!(late * ONE_LATE_OF <= all, "{late} late answers of {all}");
    if testbed::judges_time() {
        assert_eq!(late, 0, "late answers of {all}");
    }
    sale.assert_whole().await;
}

#[actix_web::test]
async fn a_gateway_that_is_cut_off_alone_is_refused_alone_and_finds_back() {
    let sale = sale().await;
    let url = sale.redis.url();
    let twin = sale.app.twin_with(&[("GATEWAY_REDIS_URL", &url)]).await;
    sale.network.cut();
    sale.assert_cut().await;
    assert_eq!(twin.poll(&sale.line[1]).await.1["position"], 2);
    sale.network.heal();
    sale.assert_whole().await;
    twin.close().await;
}
