//! Before real services: PHP's own server, and nginx with files.

use std::fs;
use std::path::Path;

use reqwest::header::{HeaderMap, RANGE};
use serde_json::{Value, json};
use testbed::{Neighbour, NeighbourKind, Php, Scratch};

use crate::test_app::{TestApp, said};

const SCRIPT: &str = r#"<?php
$path = parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
if ($path === "/long") {
    for ($i = 0; $i < 64; $i++) { echo str_repeat("x", 16384); flush(); }
} elseif ($path === "/moved") {
    header("Location: /told", true, 302);
} elseif ($path === "/cookies") {
    setcookie("a", "1"); setcookie("b", "2"); echo "set";
} elseif ($path === "/gone") {
    http_response_code(410); echo "gone";
} elseif ($path === "/dies") {
    header("Content-Length: 1000"); echo "part"; flush(); exit;
} else {
    header("Content-Type: application/json");
    echo json_encode(["method" => $_SERVER["REQUEST_METHOD"], "uri" => $_SERVER["REQUEST_URI"],
        "host" => $_SERVER["HTTP_HOST"], "sha1" => sha1(file_get_contents("php://input")),
        "pass" => isset($_SERVER["HTTP_X_USHER_PASS"]), "post" => $_POST, "cookie" => $_COOKIE]);
}
"#;

/// Everybody passes to this service.
async fn before(url: &str) -> TestApp {
    let limit = ("GATEWAY_MAX_BODY_BYTES", "none");
    let access = ("GATEWAY_ACCESS", "active /vip/**; public /**");
    TestApp::with(&[("GATEWAY_UPSTREAM", url), access, limit]).await
}

fn sha1(bytes: &[u8]) -> String {
    sha1_smol::Sha1::from(bytes).digest().to_string()
}

#[actix_web::test]
async fn an_application_of_php_is_served_whole() {
    let scratch = Scratch::new().unwrap();
    let php = Php::start(scratch.path(), SCRIPT).unwrap();
    let app = before(&php.url()).await;
    // Twice, since this server closes every connection.
    for _ in 0..2 {
        let long = app.get("/long").send().await.unwrap();
        assert_eq!(long.status(), 200);
        assert_eq!(long.bytes().await.unwrap().len(), 1 << 20);
    }
    let (status, told) = said(app.get("/told?a=%2Fb&c[]=1")).await;
    assert_eq!(
        (status.as_u16(), &told["uri"]),
        (200, &json!("/told?a=%2Fb&c[]=1"))
    );
    assert_eq!(told["host"], app.url.replace("http://", ""));
    let body: Vec<u8> = (0..300_000_u32).map(|it| it as u8).collect();
    let (_, told) = said(app.post("/told").body(body.clone())).await;
    assert_eq!(told["sha1"], sha1(&body));
    let form = [("name", "Jos\u{e9}")];
    let encoded = app
        .post("/told")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Cookie", "own=1; usher_token_main=t")
        .body(format!("{}=Jos%C3%A9", form[0].0));
    let (_, told) = said(encoded).await;
    assert_eq!(
        (&told["post"]["name"], &told["cookie"]),
        (&json!(form[0].1), &json!({ "own": "1" }))
    );
    let moved = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let moved = moved.build().unwrap().get(format!("{}/moved", app.url));
    let moved = moved.send().await.unwrap();
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (302, &"/told".parse().unwrap())
    );
    let cookies = app.get("/cookies").send().await.unwrap();
    assert_eq!(cookies.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        said(app.get("/gone")).await,
        (410.try_into().unwrap(), json!("gone"))
    );
    assert_eq!(
        app.get("/dies").send().await.unwrap().bytes().await.ok(),
        None,
        "it breaks"
    );
    let place = app.join().await;
    let (_, told) = app.visit(&place, "/vip/told").await;
    assert_eq!(told["pass"], Value::Bool(true));
    app.close().await;
}

/// nginx as a service: a folder of files.
fn files(folder: &Path) -> Neighbour {
    let root = folder.join("files");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("page.html"), "<p>hello</p>".repeat(10_000)).unwrap();
    let template = folder.join("files.conf");
    let text = format!(
        "user root;\nworker_processes 1;\nevents {{}}\nhttp {{\n access_log off;\n gzip on;\n gzip_min_length 1;\n gzip_proxied any;\n \
         types {{ text/html html; }}\n client_body_temp_path {0}/body;\n proxy_temp_path {0}/proxy;\n \
         fastcgi_temp_path {0}/f;\n uwsgi_temp_path {0}/u;\n scgi_temp_path {0}/s;\n \
         server {{ listen 127.0.0.1:8000; root {1}; client_max_body_size 1k; }}\n}}\n",
        folder.display(),
        root.display()
    );
    fs::write(&template, text).unwrap();
    Neighbour::start(NeighbourKind::Nginx, &folder.join("run"), &template, &[]).unwrap()
}

#[actix_web::test]
async fn files_of_nginx_are_served_as_nginx_serves_them() {
    let scratch = Scratch::new().unwrap();
    let nginx = files(scratch.path());
    let app = before(&nginx.url()).await;
    let client = reqwest::Client::new();
    let whole = "<p>hello</p>".repeat(10_000);
    let names = [
        "etag",
        "last-modified",
        "content-length",
        "content-range",
        "content-type",
        "content-encoding",
        "accept-ranges",
    ];
    let kept = |headers: &HeaderMap| names.map(|name| headers.get(name).cloned());
    let etag = client
        .get(format!("{}/page.html", nginx.url()))
        .send()
        .await
        .unwrap();
    let etag = etag.headers()["etag"].clone();
    for case in 0..7 {
        let ask = |base: &str| {
            let page = format!("{base}/page.html");
            match case {
                0 => client.get(page),
                1 => client.head(page),
                2 => client.get(page).header(RANGE, "bytes=5-104"),
                3 => client.get(page).header("If-None-Match", etag.clone()),
                4 => client.get(page).header("Accept-Encoding", "gzip"),
                5 => client.get(format!("{base}/nothing")),
                _ => client.post(page).body("x".repeat(5_000)),
            }
        };
        let direct = ask(&nginx.url()).send().await.unwrap();
        let through = ask(&app.url).send().await.unwrap();
        assert_eq!(through.status(), direct.status(), "{case}");
        assert_eq!(kept(through.headers()), kept(direct.headers()), "{case}");
        let (direct, through) = (
            direct.bytes().await.unwrap(),
            through.bytes().await.unwrap(),
        );
        assert_eq!(through, direct, "{case}");
        match case {
            0 => assert_eq!(through, whole.as_bytes()),
            2 => assert_eq!(through, &whole.as_bytes()[5..=104]),
            _ => {}
        }
    }
    app.close().await;
}
