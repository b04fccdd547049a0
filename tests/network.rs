//! Gateways and store on hosts of their own, between which packets are dropped: nothing is closed, nobody is told.
//!
//! Left out, with the reason in one line, where the kernel or the user does not allow network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::{Duration, Instant};

use e2e::{Said, ask};
use futures_util::future::join_all;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;
use testbed::{
    Hosts, Profile, Program, ProgramOptions, Scratch, binary, eventually, find_program, within,
};
use uuid::Uuid;

/// How long packets are dropped.
const CUT: Duration = Duration::from_secs(20);
/// By then everybody is answered, whatever is cut.
const ANSWERED: Duration = Duration::from_secs(1);
/// By then the line is back after the healing.
const BACK: Duration = Duration::from_secs(2);
/// Far longer than a start takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hosts.
const STORE: u8 = 0;
const SHOP: u8 = 1;
const GATEWAYS: [u8; 2] = [2, 3];
/// Each host has all its ports for itself.
const PORT: u16 = 8_000;
const REDIS_PORT: u16 = 6_379;

const OPERATOR_KEY: &str = "an-operator-key-for-tests";
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
const PASS_SECRET: &str = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY";
const TOKENS: &str = "/api/v1/queues/main/tokens";

/// A store, a service and two gateways, each on a host of its own; one visitor is inside and four wait.
struct Site {
    client: Client,
    inside: String,
    line: Vec<String>,
    // Dropped in this order: first who serves.
    _programs: Vec<Program>,
    hosts: Hosts,
    _scratch: Scratch,
}

impl Site {
    /// `None` where it cannot be, and then it is told why.
    async fn open() -> Option<Self> {
        if let Err(why) = Hosts::are_possible() {
            eprintln!("left out: {why}");
            return None;
        }
        let scratch = Scratch::new().unwrap();
        let hosts = Hosts::open(4).unwrap();
        let site = Self {
            client: Client::new(),
            inside: String::new(),
            line: Vec::new(),
            _programs: start(&hosts, &scratch),
            hosts,
            _scratch: scratch,
        };
        for gateway in GATEWAYS {
            eventually(PATIENCE, "a gateway", async || {
                let said = ask(site.request(gateway, Method::GET, "/ready")).await;
                (said.status == 200).then_some(())
            })
            .await;
        }
        Some(site.with_visitors().await)
    }

    async fn with_visitors(mut self) -> Self {
        let rules = json!({ "maxActive": 1, "admitPerSecond": 1_000, "state": "open" });
        let rule = self.request(GATEWAYS[0], Method::PUT, "/api/v1/queues/main");
        let said = ask(rule.bearer_auth(OPERATOR_KEY).json(&rules)).await;
        assert_eq!(said.status, 200, "{}", said.body);
        let mut tokens = Vec::new();
        for number in 0..5 {
            let said = ask(self.joining(GATEWAYS[number % 2])).await;
            assert_eq!(said.status, 201, "{}", said.body);
            tokens.push(said.body["token"].as_str().unwrap().to_owned());
        }
        self.line = tokens.split_off(1);
        self.inside = tokens.remove(0);
        for gateway in GATEWAYS {
            assert_eq!(ask(self.visiting(gateway)).await.status, 200);
        }
        self
    }

    fn request(&self, gateway: u8, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}:{PORT}{path}", self.hosts.address(gateway));
        self.client.request(method, url)
    }

    fn joining(&self, gateway: u8) -> RequestBuilder {
        let body = json!({ "userId": Uuid::new_v4() });
        self.request(gateway, Method::POST, TOKENS).json(&body)
    }

    fn polling(&self, gateway: u8, token: &str) -> RequestBuilder {
        let request = self.request(gateway, Method::GET, &format!("{TOKENS}/me"));
        request.bearer_auth(token)
    }

    fn visiting(&self, gateway: u8) -> RequestBuilder {
        let request = self.request(gateway, Method::GET, "/shop/");
        request.bearer_auth(&self.inside)
    }

    /// While nothing arrives all who ask are refused in time, and who was seen inside goes on.
    async fn assert_cut(&self, gateway: u8) {
        let polls = self.line.iter().map(|token| self.polling(gateway, token));
        let refused = join_all(polls.chain([self.joining(gateway)]).map(in_time));
        let (refused, visit) = tokio::join!(refused, in_time(self.visiting(gateway)));
        for said in refused {
            assert_eq!((said.status, said.code()), (503, "STORE_UNAVAILABLE"));
        }
        assert_eq!(visit.status, 200, "{}", visit.body);
    }

    async fn assert_whole(&self, gateway: u8) {
        for (token, position) in self.line.iter().zip(1..) {
            let said = in_time(self.polling(gateway, token)).await;
            assert_eq!(said.body["position"], position, "{}", said.body);
        }
    }

    /// Everybody is answered again, on time.
    async fn assert_back(&self, gateway: u8) {
        eventually(BACK, "the line", async || {
            let polls = self.line.iter().map(|token| self.polling(gateway, token));
            let all = join_all(polls.chain([self.joining(gateway)]).map(ask)).await;
            all.iter()
                .all(|said| matches!(said.status, 200 | 201))
                .then_some(())
        })
        .await;
        self.assert_whole(gateway).await;
    }

    /// The next is let in, and by whom the turn comes is not lost.
    async fn assert_goes_on(&self) {
        let leave = self.request(GATEWAYS[0], Method::DELETE, &format!("{TOKENS}/me"));
        let said = in_time(leave.bearer_auth(&self.inside)).await;
        assert_eq!(said.status, 204, "{}", said.body);
        eventually(BACK, "the next to be inside", async || {
            let said = ask(self.polling(GATEWAYS[1], &self.line[0])).await;
            (said.body["state"] == "active").then_some(())
        })
        .await;
    }
}

/// An answer within a second.
async fn in_time(request: RequestBuilder) -> Said {
    within(ANSWERED, "an answer", ask(request)).await
}

/// Works through the whole of the cut.
async fn while_cut(round: impl AsyncFn()) {
    let end = Instant::now() + CUT;
    eventually(PATIENCE, "the end of the cut", async || {
        round().await;
        (Instant::now() >= end).then_some(())
    })
    .await;
}

fn start(hosts: &Hosts, scratch: &Scratch) -> Vec<Program> {
    let run = |host, name: &str, program, own: &[&str], environment: &[(&str, String)]| {
        let (binary, mut arguments) = hosts.run(host, program);
        arguments.extend(own.iter().map(|it| (*it).to_owned()));
        let environment = environment.iter();
        let options = ProgramOptions {
            binary,
            arguments,
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            port: PORT,
            log: scratch.path().join(format!("{name}.log")),
        };
        Program::start(name, options).unwrap()
    };
    let redis = find_program("redis-server").unwrap();
    let own = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];
    let listen = format!("0.0.0.0:{PORT}");
    let shop = binary("storefront", Profile::Debug).unwrap();
    let mut programs = vec![
        run(STORE, "redis", &redis, &own, &[]),
        run(
            SHOP,
            "shop",
            &shop,
            &[],
            &[("STOREFRONT_LISTEN", listen.clone())],
        ),
    ];
    let gateway = binary("gateway", Profile::Debug).unwrap();
    let environment = [
        ("GATEWAY_LISTEN", listen),
        ("GATEWAY_ADMIN_LISTEN", format!("127.0.0.1:{}", PORT + 1)),
        (
            "GATEWAY_REDIS_URL",
            format!("redis://{}:{REDIS_PORT}/0", hosts.address(STORE)),
        ),
        (
            "GATEWAY_UPSTREAM",
            format!("http://{}:{PORT}", hosts.address(SHOP)),
        ),
        ("GATEWAY_TOKEN_KEYS", format!("k1:{SECRET}")),
        ("GATEWAY_PASS_KEY", PASS_SECRET.to_owned()),
        ("GATEWAY_OPERATOR_KEYS", format!("ann:{OPERATOR_KEY}")),
        ("GATEWAY_IDENTITY", "open".to_owned()),
        ("GATEWAY_VISIT_POLLS_PER_S", "0".to_owned()),
    ];
    for host in GATEWAYS {
        let name = format!("gateway-{host}");
        programs.push(run(host, &name, &gateway, &[], &environment));
    }
    programs
}

#[tokio::test(flavor = "multi_thread")]
async fn while_packets_are_dropped_all_are_refused_within_a_second_and_soon_after_the_line_is_back()
{
    let Some(site) = Site::open().await else {
        return;
    };
    for gateway in GATEWAYS {
        site.assert_whole(gateway).await;
        site.hosts.cut(STORE, gateway).unwrap();
    }
    while_cut(async || {
        tokio::join!(site.assert_cut(GATEWAYS[0]), site.assert_cut(GATEWAYS[1]));
    })
    .await;
    for gateway in GATEWAYS {
        site.hosts.heal(STORE, gateway).unwrap();
    }
    tokio::join!(site.assert_back(GATEWAYS[0]), site.assert_back(GATEWAYS[1]));
    site.assert_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_alone_is_refused_alone_and_is_back_soon_after() {
    let Some(site) = Site::open().await else {
        return;
    };
    let [cut, other] = GATEWAYS;
    site.hosts.cut(STORE, cut).unwrap();
    while_cut(async || {
        tokio::join!(site.assert_cut(cut), site.assert_whole(other));
    })
    .await;
    site.hosts.heal(STORE, cut).unwrap();
    site.assert_back(cut).await;
    site.assert_whole(other).await;
    site.assert_goes_on().await;
}
