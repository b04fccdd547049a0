//! The demo shop: what a real shop's front end would be, and the living example of how one stands behind the gateway.
//!
//! It serves pages and their scripts, which ask the services through the gateway. It knows no visitor,
//! no queue and no seat, and keeps nothing.

use std::net::SocketAddr;

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chassis::health::Health;
use chassis::server::{self, Listening, StartError};
use chassis::{logging, problem, request_id, routes};
use sha2::{Digest as _, Sha256};

/// Nothing runs here but our own files.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// A file of the shop.
struct File {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const HOME: File = page("home.html", include_str!("../web/home.html"));
const CONCERT: File = page("concert.html", include_str!("../web/concert.html"));
const MINE: File = page("mine.html", include_str!("../web/mine.html"));

const FILES: [File; 8] = [
    script("shop.js", include_str!("../web/shop.js")),
    script("home.js", include_str!("../web/home.js")),
    script("concert.js", include_str!("../web/concert.js")),
    script("mine.js", include_str!("../web/mine.js")),
    script("barcode.js", include_str!("../web/barcode.js")),
    script("seatmap.js", include_str!("../web/seatmap.js")),
    File {
        name: "shop.css",
        media_type: "text/css; charset=utf-8",
        content: include_str!("../web/shop.css"),
    },
    File {
        name: "mark.svg",
        media_type: "image/svg+xml",
        content: include_str!("../web/mark.svg"),
    },
];

const fn page(name: &'static str, content: &'static str) -> File {
    File {
        name,
        media_type: HTML,
        content,
    }
}

const fn script(name: &'static str, content: &'static str) -> File {
    File {
        name,
        media_type: SCRIPT,
        content,
    }
}

/// Serves until it is stopped.
pub fn start(listen: SocketAddr) -> Result<Listening, StartError> {
    let listener = server::bind("the shop", listen)?;
    let address = listener.local_addr()?;
    let health = Data::new(Health::default());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(health.clone())
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(logging::access))
            .wrap(from_fn(request_id::assign))
            .configure(server::health_routes)
            .configure(pages)
    });
    let server = server.workers(1).disable_signals().listen(listener)?;
    Ok(Listening::spawn(server.run(), address))
}

/// Every page of the shop.
fn pages(app: &mut web::ServiceConfig) {
    app.service(routes::at("/shop/").get(home).done())
        .service(routes::at("/shop/mine").get(mine).done())
        .service(routes::at("/shop/concerts/{concert}").get(concert).done())
        .service(routes::at("/shop/files/{name}").get(file).done())
        .service(web::redirect("/", "/shop/"))
        .service(web::redirect("/shop", "/shop/"))
        .default_service(web::to(routes::not_found));
}

/// The concerts; for everybody.
async fn home(request: HttpRequest) -> HttpResponse {
    sent(&HOME, &request)
}

/// Dates, seats, payment; for those who are inside.
async fn concert(request: HttpRequest) -> HttpResponse {
    sent(&CONCERT, &request)
}

/// The visitor's own tickets; the page is everybody's, what it asks for is not.
async fn mine(request: HttpRequest) -> HttpResponse {
    sent(&MINE, &request)
}

async fn file(name: Path<String>, request: HttpRequest) -> HttpResponse {
    match FILES.iter().find(|file| file.name == *name) {
        Some(file) => sent(file, &request),
        None => HttpResponse::NotFound().finish(),
    }
}

/// A file, or 304 for whoever has this very one.
fn sent(file: &File, request: &HttpRequest) -> HttpResponse {
    let digest = Sha256::digest(file.content);
    let tag = format!(
        "\"{:02x}{:02x}{:02x}{:02x}\"",
        digest[0], digest[1], digest[2], digest[3]
    );
    let known = request.headers().get(header::IF_NONE_MATCH);
    let has_it = known.is_some_and(|it| it.as_bytes() == tag.as_bytes());
    let mut answer = if has_it {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    answer
        .insert_header((header::ETAG, tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_TYPE, file.media_type));
    if has_it {
        return answer.finish();
    }
    answer.body(file.content)
}
