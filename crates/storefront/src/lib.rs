//! The demo shop: what a real shop's front end would be, and the living example of how one stands behind the gateway.
//!
//! It serves pages and their scripts, which ask the services through the gateway. It knows no visitor,
//! no queue and no seat, and keeps nothing.

pub mod gateway_path;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use chassis::asset::{ASK_AGAIN, Asset, FOR_EVER, digest};
use chassis::health::Health;
use chassis::problem::Problem;
use chassis::server::{self, Listening, StartError};
use chassis::{logging, problem, request_id, routes};

use gateway_path::GatewayPath;

/// Nothing runs here but our own files.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// What every page has around its own content.
const FRAME: &str = include_str!("../web/frame.html");

/// The content of each page, whose script has the same name.
const PAGES: [(&str, &str); 4] = [
    ("home.html", include_str!("../web/home.html")),
    ("concert.html", include_str!("../web/concert.html")),
    ("order.html", include_str!("../web/order.html")),
    ("mine.html", include_str!("../web/mine.html")),
];

const FILES: [(&str, &str); 11] = [
    ("shop.js", include_str!("../web/shop.js")),
    ("texts.js", include_str!("../web/texts.js")),
    ("home.js", include_str!("../web/home.js")),
    ("concert.js", include_str!("../web/concert.js")),
    ("feed.js", include_str!("../web/feed.js")),
    ("seatmap.js", include_str!("../web/seatmap.js")),
    ("order.js", include_str!("../web/order.js")),
    ("mine.js", include_str!("../web/mine.js")),
    ("barcode.js", include_str!("../web/barcode.js")),
    ("shop.css", include_str!("../web/shop.css")),
    ("mark.svg", include_str!("../web/mark.svg")),
];

/// Everything that is served, ready to be sent.
struct Shop {
    pages: BTreeMap<&'static str, Asset>,
    files: BTreeMap<&'static str, Asset>,
    /// Of all files; part of their address.
    digest: String,
}

impl Shop {
    /// The shop behind a gateway whose own routes stand under `gateway`.
    fn new(gateway: &GatewayPath) -> Self {
        let asset = |(name, text): (&'static str, &str), files: &str| {
            let text = text
                .replace("{{gateway}}", gateway.as_str())
                .replace("{{files}}", files);
            (name, Asset::of(name, text.into_bytes()))
        };
        let files = BTreeMap::from(FILES.map(|file| asset(file, "")));
        let parts = files.values().map(|it| it.plain.as_ref());
        let digest = digest(parts);
        let address = format!("/shop/files/{digest}");
        let page = |(name, content): (&'static str, &str)| {
            let text = FRAME.replace("{{script}}", &name.replace(".html", ".js"));
            let text = text.replace("{{content}}", content);
            asset((name, text.as_str()), &address)
        };
        Self {
            pages: BTreeMap::from(PAGES.map(page)),
            files,
            digest,
        }
    }

    fn page(&self, name: &str, request: &HttpRequest) -> HttpResponse {
        let mut answer = self.pages[name].sent(request, "no-cache");
        let policy = HeaderValue::from_static(POLICY);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        answer
    }
}

/// Serves until it is stopped.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(listen: SocketAddr, gateway: &GatewayPath) -> Result<Listening, StartError> {
    let listener = server::bind("the shop", listen)?;
    let address = listener.local_addr()?;
    let health = Data::new(Health::default());
    let shop = Data::new(Shop::new(gateway));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(health.clone())
            .app_data(shop.clone())
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
        .service(
            routes::at("/shop/queues/{queue}/concerts/{concert}")
                .get(concert)
                .done(),
        )
        .service(
            routes::at("/shop/queues/{queue}/orders/{reservation}")
                .get(order)
                .done(),
        )
        .service(routes::at("/shop/files/{digest}/{name}").get(file).done())
        .service(web::redirect("/", "/shop/"))
        .service(web::redirect("/shop", "/shop/"))
        .default_service(web::to(routes::not_found));
}

/// The concerts; for everybody.
async fn home(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    shop.page("home.html", &request)
}

/// Dates and seats; for those who are inside.
async fn concert(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    shop.page("concert.html", &request)
}

/// What is held, paid, given back. The page is everybody's, what it asks for is not; so it opens whatever became of a visit.
async fn order(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    shop.page("order.html", &request)
}

/// The visitor's own orders.
async fn mine(shop: Data<Shop>, request: HttpRequest) -> HttpResponse {
    shop.page("mine.html", &request)
}

/// A file of a page. The digest of another release gets what there is now.
async fn file(
    shop: Data<Shop>,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (digest, name) = path.into_inner();
    let file = shop.files.get(name.as_str());
    let file = file.ok_or_else(|| routes::missing(&request))?;
    let kept = if digest == shop.digest {
        FOR_EVER
    } else {
        ASK_AGAIN
    };
    Ok(file.sent(&request, kept))
}

#[cfg(test)]
mod tests {
    use super::Shop;

    #[test]
    fn nothing_is_left_to_be_filled_in_and_every_file_that_is_named_is_there() {
        let gateway = "/usher".parse().expect("a path");
        let shop = Shop::new(&gateway);
        let all = shop.pages.values().chain(shop.files.values());
        for asset in all {
            let text = String::from_utf8(asset.plain.to_vec()).expect("text");
            assert!(!text.contains("{{"), "{text}");
            let here = format!("/shop/files/{}/", shop.digest);
            for rest in text.split(&here).skip(1) {
                let name = rest.split('"').next().expect("a name");
                assert!(shop.files.contains_key(name), "{name}");
            }
            for rest in text.split("from \"./").skip(1) {
                let name = rest.split('"').next().expect("a name");
                assert!(shop.files.contains_key(name), "{name}");
            }
        }
    }
}
