//! What goes where: routes, queues, hosts, origins of pages, and proxies beside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use testbed::Scratch;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::http_proxy::pass_of;
use crate::raw::{Player, Wire};
use crate::test_app::{OPERATOR_KEY, TestApp, refused, said, token, until};

/// A file of routes before one upstream, at its path.
fn routes(scratch: &Scratch, upstream: &str, rest: &str) -> PathBuf {
    let path = scratch.path().join("routes.toml");
    write(&path, upstream, rest);
    path
}

fn write(path: &Path, upstream: &str, rest: &str) {
    let text = format!("[upstreams.shop]\naddresses = [\"{upstream}\"]\n{rest}");
    std::fs::write(path, text).unwrap();
}

/// A service that answers with the head of what it was sent.
async fn mirror() -> Player {
    Player::start(|mut wire: Wire, _| async move {
        loop {
            let head = wire.head().await;
            if head.is_empty() {
                return;
            }
            let length = head.len();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}"
            ))
            .await;
        }
    })
    .await
}

/// A service that answers everything with this.
async fn answering(answer: &'static str) -> Player {
    Player::start(move |mut wire: Wire, _| async move {
        while !wire.head().await.is_empty() {
            wire.send(answer).await;
        }
    })
    .await
}

async fn text(request: reqwest::RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

#[actix_web::test]
async fn a_path_goes_to_its_service_without_what_the_route_takes_off() {
    let (shop, files) = (mirror().await, mirror().await);
    let scratch = Scratch::new().unwrap();
    let rest = format!(
        "host = \"upstream\"\n[upstreams.files]\naddresses = [\"{}\"]\nhost = \"files.example\"\n\
         [[routes]]\npath = \"/files/**\"\nlevel = \"public\"\nupstream = \"files\"\nstripPrefix = \"/files\"\n\
         [[routes]]\npath = \"/shop/**\"\nlevel = \"public\"\nupstream = \"shop\"",
        files.url
    );
    let file = routes(&scratch, &shop.url, &rest);
    let app = TestApp::with(&[("GATEWAY_ROUTES", file.to_str().unwrap())]).await;
    let got = text(app.get("/files/a%2Fb?c=d")).await;
    assert!(got.starts_with("GET /a%2Fb?c=d HTTP/1.1\r\n"), "{got}");
    assert!(got.contains("host: files.example\r\n"), "{got}");
    let got = text(app.get("/shop/a")).await;
    assert!(got.starts_with("GET /shop/a HTTP/1.1\r\n"), "{got}");
    let own = shop.url.replace("http://", "host: ");
    assert!(got.contains(&own), "{got}");
    assert_eq!(
        refused(app.get("/other")).await,
        (404, "NOT_FOUND".to_owned())
    );
    app.close().await;
}

#[actix_web::test]
async fn a_hangup_reads_the_routes_again_and_a_bad_file_changes_nothing() {
    let shop = mirror().await;
    let scratch = Scratch::new().unwrap();
    let route = |level: &str| format!("[[routes]]\npath = \"/**\"\nlevel = \"{level}\"");
    let file = routes(&scratch, &shop.url, &route("public"));
    let app = TestApp::with(&[("GATEWAY_ROUTES", file.to_str().unwrap())]).await;
    let status = async || said(app.get("/x")).await.0.as_u16();
    let hangup = || {
        let me = std::process::id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &me])
                .status()
                .unwrap()
                .success()
        );
    };
    assert_eq!(status().await, 200);
    write(&file, &shop.url, &route("active"));
    hangup();
    until(async || status().await == 401).await;
    write(
        &file,
        &shop.url,
        "[[routes]]\npath = \"x\"\nlevel = \"public\"",
    );
    hangup();
    for _ in 0..10 {
        assert_eq!(status().await, 401, "a bad file changes nothing");
    }
    write(&file, &shop.url, &route("public"));
    hangup();
    until(async || status().await == 200).await;
    app.close().await;
}

#[actix_web::test]
async fn a_route_may_be_one_queues_alone() {
    let shop = mirror().await;
    let scratch = Scratch::new().unwrap();
    let rest = "[[routes]]\npath = \"/own/**\"\nlevel = \"token\"\n\
                [[routes]]\npath = \"/vip/**\"\nlevel = \"active\"\nqueue = \"vip\"\n\
                [[routes]]\npath = \"/sale/{queue}/**\"\nlevel = \"active\"";
    let file = routes(&scratch, &shop.url, rest);
    let app = TestApp::with(&[("GATEWAY_ROUTES", file.to_str().unwrap())]).await;
    assert_eq!(said(app.put("/api/v1/queues/vip", &json!({}))).await.0, 201);
    let place = app.join().await;
    for path in ["/vip/seats", "/sale/vip/seats"] {
        let (status, refusal) = app.visit(&place, path).await;
        assert_eq!(
            (status.as_u16(), &refusal["code"]),
            (403, &json!("QUEUE_MISMATCH")),
            "{path}"
        );
        assert_eq!(refusal["queue"], "vip");
    }
    for path in ["/sale/main/seats", "/other", "/own/x"] {
        assert_eq!(app.visit(&place, path).await.0, 200, "{path}");
    }
    let (status, refusal) = app.visit(&place, "/sale/nowhere/seats").await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (404, &json!("QUEUE_UNKNOWN"))
    );
    app.close().await;
}

#[actix_web::test]
async fn a_queue_that_lets_everybody_pass_does_so_with_and_without_a_token() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let _inside = app.join().await;
    let waiting = app.join().await;
    assert_eq!(app.visit(&waiting, "/api/v1/seats").await.0, 403);
    app.rule(json!({ "state": "bypass" })).await;
    until(async || said(app.get("/api/v1/seats")).await.0 == 200).await;
    let (_, echo) = said(app.get("/api/v1/seats")).await;
    assert_eq!(
        echo["headers"]["x-usher-pass"],
        Value::Null,
        "nobody is known"
    );
    let (status, echo) = app.visit(&waiting, "/api/v1/seats").await;
    assert_eq!(status, 200);
    let pass = pass_of(&echo);
    assert_eq!(
        (&pass["level"], &pass["state"]),
        (&json!("active"), &json!("active"))
    );
    let admin = app.get("/api/v1/admin/x");
    assert_eq!(said(admin).await.0, 401, "operators' paths stay theirs");
    app.close().await;
}

#[actix_web::test]
async fn an_address_of_the_service_in_location_becomes_the_visitors() {
    let player = answering(
        "HTTP/1.1 302 Found\r\nlocation: http://shop.internal:81/login?a=b\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let access = ("GATEWAY_ACCESS", "public /**");
    let host = ("GATEWAY_UPSTREAM_HOST", "shop.internal:81");
    let app = TestApp::with(&[access, host, ("GATEWAY_UPSTREAM", &player.url)]).await;
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap();
    let answer = client.get(format!("{}/x", app.url)).send().await.unwrap();
    let wanted = format!("{}/login?a=b", app.url);
    assert_eq!(answer.headers()["location"], wanted.as_str());
    app.close().await;
}

#[actix_web::test]
async fn pages_of_other_origins_read_each_header_once_and_ask_without_a_token() {
    const SHOP: &str = "https://shop.example";
    let player = answering(
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\n\
         access-control-expose-headers: X-Total\r\nvary: accept\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let origins = ("GATEWAY_CORS_ORIGINS", SHOP);
    let app = TestApp::with(&[origins, ("GATEWAY_UPSTREAM", &player.url)]).await;
    let place = app.join().await;
    let ask = |origin: &str, method: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = app
            .client
            .request(method, format!("{}/api/v1/seats", app.url));
        request.header("Origin", origin)
    };
    let preflight = |origin: &str| {
        ask(origin, "OPTIONS")
            .header("Access-Control-Request-Method", "PATCH")
            .header("Access-Control-Request-Headers", "x-own, authorization")
    };
    let answer = preflight(SHOP).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-methods"], "PATCH");
    assert_eq!(
        answer.headers()["access-control-allow-headers"],
        "x-own, authorization"
    );
    let passed = preflight("https://other.example").send().await.unwrap();
    assert_eq!(
        passed.status(),
        200,
        "another origin is the service's business"
    );
    let answer = ask(SHOP, "GET")
        .bearer_auth(token(&place))
        .send()
        .await
        .unwrap();
    let all = |name: &str| {
        let values = answer.headers().get_all(name).iter();
        values.map(|it| it.to_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(all("access-control-allow-origin"), [SHOP]);
    assert_eq!(all("vary"), ["accept, origin"]);
    let exposed = all("access-control-expose-headers");
    assert!(
        exposed.len() == 1
            && exposed[0].starts_with("X-Total, ")
            && exposed[0].contains("retry-after")
    );
    let refusal = ask(SHOP, "GET").send().await.unwrap();
    assert_eq!(refusal.status(), 401);
    assert_eq!(refusal.headers()["access-control-allow-origin"], SHOP);
    app.close().await;
}

#[actix_web::test]
async fn under_a_base_path_the_paths_of_the_service_stay_its_own() {
    let player = mirror().await;
    let app = TestApp::with(&[
        ("GATEWAY_BASE_PATH", "/usher"),
        ("GATEWAY_ACCESS", "public /**"),
        ("GATEWAY_UPSTREAM", &player.url),
    ])
    .await;
    for path in [
        "/docs/",
        "/live",
        "/api/v1/queues",
        "/openapi.json",
        "/usherx",
    ] {
        let got = text(app.get(path)).await;
        assert!(
            got.starts_with(&format!("GET {path} HTTP/1.1")),
            "{path}: {got}"
        );
    }
    let body = json!({ "userId": uuid::Uuid::new_v4() });
    let join = app.post("/usher/api/v1/queues/main/tokens").json(&body);
    assert_eq!(said(join).await.0, 201);
    assert_eq!(said(app.get("/usher/live")).await.0, 200);
    let (status, document) = said(app.get("/usher/openapi.json")).await;
    assert_eq!(status, 200);
    assert!(document["paths"]["/usher/api/v1/queues"].is_object());
    assert_eq!(
        refused(app.get("/usher/nothing")).await,
        (404, "NOT_FOUND".to_owned())
    );
    app.close().await;
}

/// A service that says back what it hears over a WebSocket.
async fn echo() -> Player {
    Player::start(|wire: Wire, _| async move {
        let mut socket = accept_async(wire.stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await
}

async fn connect(
    app: &TestApp,
    place: Option<&Value>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let address = app.url.replace("http://", "");
    let mut request = format!("ws://{address}/api/v1/live")
        .into_client_request()
        .unwrap();
    if let Some(place) = place {
        let cookie = format!("usher_token_main={}", token(place));
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    client_async(request, stream)
        .await
        .map(|(socket, _)| socket)
}

fn refused_with(outcome: Result<WebSocketStream<TcpStream>, Error>) -> u16 {
    match outcome {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it stands"),
    }
}

#[actix_web::test]
async fn a_websocket_passes_for_whoever_is_inside_and_ends_with_the_visit() {
    let player = echo().await;
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url)]).await;
    app.rule(json!({ "maxActive": 1, "leaseSeconds": 3, "claimSeconds": 3 }))
        .await;
    let inside = app.join().await;
    let waiting = app.join().await;
    assert_eq!(refused_with(connect(&app, None).await), 401);
    assert_eq!(refused_with(connect(&app, Some(&waiting)).await), 403);
    let mut socket = connect(&app, Some(&inside)).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![7_u8; 200_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    let last = socket.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = last else {
        panic!("{last}");
    };
    assert_eq!(frame.code, CloseCode::Policy);
    app.close().await;
}

#[actix_web::test]
async fn a_websocket_on_which_nobody_speaks_ends() {
    let player = echo().await;
    let idle = ("GATEWAY_UPSTREAM_IDLE_TIMEOUT_MS", "200");
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url), idle]).await;
    let inside = app.join().await;
    let mut socket = connect(&app, Some(&inside)).await.unwrap();
    let end = tokio::time::timeout(Duration::from_secs(30), socket.next())
        .await
        .unwrap();
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
    app.close().await;
}

#[actix_web::test]
async fn a_proxy_beside_hears_who_may_pass_and_nobody_else_gets_a_2xx() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let waiting = app.join().await;
    let ask = |uri: &str| app.get("/api/v1/authorize").header("X-Forwarded-Uri", uri);
    let answer = ask("/api/v1/seats?x=1")
        .bearer_auth(token(&inside))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 204);
    let user = inside["userId"].as_str().unwrap();
    assert_eq!(answer.headers()["x-usher-user"], user);
    let pass = answer.headers()["x-usher-pass"].clone();
    let nginx = app
        .get("/api/v1/authorize")
        .header("X-Original-URI", "/api/v1/seats");
    let nginx = nginx.header("Cookie", format!("usher_token_main={}", token(&inside)));
    assert_eq!(nginx.send().await.unwrap().status(), 204);
    let public = ask("/api/v1/concerts").send().await.unwrap();
    assert_eq!(public.status(), 204);
    assert!(!public.headers().contains_key("x-usher-pass"));
    let post = ask("/api/v1/concerts").header("X-Forwarded-Method", "POST");
    assert_eq!(refused(post).await, (401, "TOKEN_MISSING".to_owned()));
    let early = ask("/api/v1/seats").bearer_auth(token(&waiting));
    assert_eq!(refused(early).await, (403, "NOT_ADMITTED".to_owned()));
    let dots = ask("/api/v1/..;/seats").bearer_auth(token(&inside));
    assert_eq!(refused(dots).await, (400, "PATH_INVALID".to_owned()));
    assert_eq!(
        refused(app.get("/api/v1/authorize")).await,
        (400, "REQUEST_UNTOLD".to_owned())
    );
    let release = |pass: &str| {
        let request = app.post("/api/v1/authorize/release");
        request.header("X-Usher-Pass", pass)
    };
    assert_eq!(
        refused(release("forged")).await,
        (401, "PASS_INVALID".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(said(release(pass.to_str().unwrap())).await.0, 204);
    }
    let over = ask("/api/v1/seats").bearer_auth(token(&inside));
    assert_eq!(refused(over).await, (401, "TOKEN_EXPIRED".to_owned()));
    assert_eq!(app.poll(&waiting).await.1["state"], "active");
    let admin = ask("/api/v1/admin/x").bearer_auth(OPERATOR_KEY);
    assert_eq!(
        admin.send().await.unwrap().headers()["x-usher-user"],
        "operator:ann"
    );
    app.close().await;
}
