//! Beside a proxy that stands there already: nginx, Caddy and HAProxy, run for real with the
//! configurations of `docker/beside`.

use std::path::{Path, PathBuf};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use testbed::{Neighbour, NeighbourKind, Scratch};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use uuid::Uuid;

use crate::raw::{Player, Wire};
use crate::test_app::{PATIENCE, TestApp, said, token};

/// A neighbour, a gateway beside it and an application behind both.
struct Street {
    neighbour: Neighbour,
    app: TestApp,
    application: Player,
    client: Client,
    _scratch: Scratch,
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docker/beside")
        .join(name)
}

/// An application that tells the head of each request, and speaks back over a WebSocket.
async fn application() -> Player {
    Player::start(|mut wire: Wire, _| async move {
        let mut seen = [0; 4096];
        let length = wire.stream.peek(&mut seen).await.unwrap_or(0);
        let head = String::from_utf8_lossy(&seen[..length]).to_lowercase();
        if head.contains("upgrade: websocket") {
            let mut socket = accept_async(wire.stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
            return;
        }
        // A connection serves one request, so that an upgrade is always the first on its own.
        let head = wire.head().await;
        if !head.is_empty() {
            let body = format!("the application heard:\n{}", head.to_lowercase());
            let length = body.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        }
    })
    .await
}

impl Street {
    async fn of(kind: NeighbourKind) -> Self {
        let application = application().await;
        let app = TestApp::with(&[
            ("GATEWAY_BASE_PATH", "/usher"),
            ("GATEWAY_TRUSTED_HOPS", "1"),
            ("GATEWAY_UPSTREAM", &application.url),
            (
                "GATEWAY_ACCESS",
                "public /open/**; token /own/**; active /**",
            ),
        ])
        .await;
        let rule = json!({ "maxActive": 1 });
        let ruled = app.put("/usher/api/v1/queues/main", &rule);
        assert_eq!(said(ruled).await.0, 200);
        let scratch = Scratch::new().unwrap();
        let template = beside(match kind {
            NeighbourKind::Nginx => "nginx.conf",
            NeighbourKind::Caddy => "Caddyfile",
            NeighbourKind::Haproxy => "haproxy.cfg",
        });
        let script = beside("usher.lua").display().to_string();
        let host = |url: &str| url.replace("http://", "");
        let replacements = [
            ("127.0.0.1:8080", host(&app.url)),
            ("127.0.0.1:3000", host(&application.url)),
            ("/etc/haproxy/usher.lua", script),
        ];
        let replacements: Vec<_> = replacements
            .iter()
            .map(|(from, to)| (*from, to.as_str()))
            .collect();
        let neighbour = Neighbour::start(kind, scratch.path(), &template, &replacements).unwrap();
        Self {
            neighbour,
            app,
            application,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            _scratch: scratch,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.neighbour.url()))
    }

    /// A place, asked for through the neighbour.
    async fn join(&self) -> Value {
        let tokens = format!("{}/usher/api/v1/queues/main/tokens", self.neighbour.url());
        let body = json!({ "userId": Uuid::new_v4() });
        let (status, place) = said(self.client.post(tokens).json(&body)).await;
        assert_eq!(status, 201, "{place}");
        place
    }

    async fn connect(&self, place: Option<&Value>) -> Result<WebSocketStream<TcpStream>, Error> {
        let address = self.neighbour.url().replace("http://", "");
        let mut request = format!("ws://{address}/live")
            .into_client_request()
            .unwrap();
        if let Some(place) = place {
            let cookie = cookie(place).parse().unwrap();
            request.headers_mut().insert("cookie", cookie);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(request, stream)
            .await
            .map(|(socket, _)| socket)
    }
}

fn cookie(place: &Value) -> String {
    format!("usher_token_main={}", token(place))
}

async fn text(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Who may pass does, as who they are; nobody else reaches the application, with any kind of client.
async fn guards(kind: NeighbourKind) {
    let street = Street::of(kind).await;
    let inside = street.join().await;
    let waiting = street.join().await;
    let heard = "the application heard";
    let as_browser = |request: RequestBuilder| request.header("Accept", "text/html,*/*;q=0.1");
    let forged = |request: RequestBuilder| request.header("X-Usher-Pass", "forged");

    let (status, got) =
        text(forged(street.get("/shop?x=1")).header("Cookie", cookie(&inside))).await;
    assert!(
        status == 200 && got.contains("get /shop?x=1 http/1.1"),
        "{kind:?} {status} {got}"
    );
    let user = format!("x-usher-user: {}", inside["userId"].as_str().unwrap());
    assert!(
        got.contains(&user) && got.contains("x-usher-pass: ey"),
        "{kind:?} {got}"
    );
    assert!(!got.contains("forged"), "{kind:?} {got}");

    let (status, got) = text(forged(street.get("/open/a"))).await;
    assert!(
        status == 200 && !got.contains("x-usher-pass: f"),
        "{kind:?} {got}"
    );

    who_looks_at_their_own_things_keeps_the_way_to_them(&street, kind).await;
    let connections = street.application.connections();
    for who in [None, Some(&waiting)] {
        let with = |request: RequestBuilder| match who {
            Some(place) => request.header("Cookie", cookie(place)),
            None => request,
        };
        let (status, got) = text(with(street.get("/shop"))).await;
        assert!(
            matches!(status, 401 | 403) && got.contains("\"code\""),
            "{kind:?} {status} {got}"
        );
        let (_, got) = text(with(as_browser(street.get("/shop")))).await;
        assert!(
            got.contains("<html") && !got.contains(heard),
            "{kind:?} {got}"
        );
        let post = street
            .client
            .post(format!("{}/shop", street.neighbour.url()));
        let (status, got) = text(with(post)).await;
        assert!(
            matches!(status, 401 | 403) && !got.contains(heard),
            "{kind:?} {status} {got}"
        );
        assert!(street.connect(who).await.is_err(), "{kind:?}");
    }
    assert_eq!(
        street.application.connections(),
        connections,
        "{kind:?}: nobody reached it"
    );

    who_is_inside_may_talk_until_the_gateway_is_gone(street, kind, &inside).await;
}

/// A token of a visit that is over is renewed, whoever carries the request, and only its client hears it.
async fn who_looks_at_their_own_things_keeps_the_way_to_them(street: &Street, kind: NeighbourKind) {
    let left = street.join().await;
    let own = format!(
        "{}/usher/api/v1/queues/main/tokens/me",
        street.neighbour.url()
    );
    let mut cookies = vec![cookie(&left)];
    let waits = street.get("/own/ticket").header("Cookie", &cookies[0]);
    let waits = waits.send().await.unwrap();
    let told = |name: &str, answer: &Response| {
        let value = answer.headers().get(name)?.to_str().unwrap();
        Some(value.to_owned())
    };
    let expires = told("x-usher-token-expires", &waits);
    assert_eq!(
        expires.as_deref(),
        left["tokenExpiresAt"].as_str(),
        "{kind:?}"
    );
    assert_eq!(told("x-usher-token", &waits), None, "{kind:?}: not needed");
    let leave = street.client.delete(own).header("Cookie", &cookies[0]);
    assert_eq!(said(leave).await.0, 204);
    for _ in 0..2 {
        let shown = cookies.last().unwrap();
        let asked = street.get("/own/ticket").header("Cookie", shown);
        let answer = asked.send().await.unwrap();
        let token = told("x-usher-token", &answer).expect("it is renewed");
        assert!(told("x-usher-token-expires", &answer).is_some(), "{kind:?}");
        let set = told("set-cookie", &answer).unwrap();
        let renewed = format!("usher_token_main={token}");
        assert!(set.starts_with(&format!("{renewed};")), "{kind:?} {set}");
        let got = answer.text().await.unwrap();
        assert!(got.contains("the application heard"), "{kind:?} {got}");
        let is_for_it = |name| got.contains(name);
        assert!(!is_for_it("x-usher-token") && !is_for_it("x-usher-cookie"));
        cookies.push(renewed);
    }
    let public = street.get("/open/a").send().await.unwrap();
    assert_eq!(told("x-usher-token-expires", &public), None, "{kind:?}");
}

async fn who_is_inside_may_talk_until_the_gateway_is_gone(
    street: Street,
    kind: NeighbourKind,
    inside: &Value,
) {
    let mut socket = street.connect(Some(inside)).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::text("hello")
    );

    // It ends with the visit, whoever carries it.
    let own = format!(
        "{}/usher/api/v1/queues/main/tokens/me",
        street.neighbour.url()
    );
    let leave = street.client.delete(own).header("Cookie", cookie(inside));
    assert_eq!(said(leave).await.0, 204);
    let last = timeout(PATIENCE, socket.next()).await.expect("in time");
    let Some(Ok(Message::Close(Some(frame)))) = last else {
        panic!("{kind:?} {last:?}");
    };
    assert_eq!(frame.code, CloseCode::Policy, "{kind:?}");

    // A gateway that is gone is no leave to pass.
    let asking = street.get("/shop").header("Cookie", cookie(inside));
    street.app.close().await;
    let (status, got) = text(asking).await;
    assert!(
        status >= 500 && !got.contains("the application heard"),
        "{kind:?} {status} {got}"
    );
}

#[actix_web::test]
async fn beside_nginx() {
    guards(NeighbourKind::Nginx).await;
}

#[actix_web::test]
async fn beside_caddy() {
    guards(NeighbourKind::Caddy).await;
}

#[actix_web::test]
async fn beside_haproxy() {
    guards(NeighbourKind::Haproxy).await;
}
