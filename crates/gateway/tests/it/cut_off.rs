//! A network between gateway and Redis that loses packets and tells nobody.

use serde_json::{Value, json};
use testbed::{Network, Redis, RedisOptions, Scratch};
use uuid::Uuid;

use crate::test_app::{TestApp, refused, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";

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
