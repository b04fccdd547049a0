//! Every route of the gateway, and the OpenAPI document.

mod authorize;
mod document;
mod errors;
mod events;
mod fairness;
mod join_checks;
mod lottery;
mod minutes;
pub mod navigation;
mod origin;
mod pages;
pub mod place;
mod policy;
mod problems;
mod queues;
mod tokens;
pub mod waiting;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use chassis::problem::Problem;
use chassis::routes::{self, at};
use chassis::server;
use document::Complete;
use utoipa::{IntoParams, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

use crate::codes;
use crate::{admission, proxy};

pub use origin::from_known_pages;

/// The document of the service behind in the default set-up, shown beside our own.
const BOOKING: &str = include_str!("../../../docs/openapi/booking.json");

/// The whole gateway on one screen; its own routes stand under `base`. What is not its own goes to
/// the services behind, through the gate.
pub fn routes(app: &mut ServiceConfig, base: &str) {
    let own = |path: &str| format!("{base}{path}");
    let docs = own("/docs/");
    app.configure(chassis::json::configure)
        .service(at(&own("/console/")).get(pages::console).done())
        .service(web::redirect(own("/console"), "console/"))
        .service(at(&own("/usher.js")).get(pages::client).done())
        .service(at(&own("/usher.d.ts")).get(pages::client_types).done())
        .service(
            web::scope(&own("/usher"))
                .service(at("/language").get(pages::language).done())
                .service(at("/left").get(pages::left).done())
                .service(at("/join").post(pages::again).done())
                .service(at("/accent/{name}").get(pages::accent).done())
                .service(at("/{digest}/{name:.*}").get(pages::file).done())
                .default_service(web::to(routes::not_found)),
        )
        .service(at(&own("/problems/{slug}")).get(problems::explain).done())
        .service(
            SwaggerUi::new(format!("{docs}{{_:.*}}")).url(own("/openapi.json"), document(base)),
        )
        .service(web::redirect(own("/docs"), docs))
        .service(at(&own("/api/v1/authorize")).get(authorize::ask).done())
        .service(
            at(&own("/api/v1/authorize/release"))
                .post(authorize::release)
                .done(),
        )
        .service(
            at(&own("/api/v1/authorize/feedback"))
                .post(authorize::feedback)
                .done(),
        )
        .service(at(&own("/api/v1/queues")).get(queues::list).done())
        .service(
            web::scope(&own("/api/v1/queues/{queue}"))
                .service(
                    at("")
                        .get(queues::status)
                        .put(policy::change)
                        .delete(policy::remove)
                        .done(),
                )
                .service(at("/audit").get(policy::audit).done())
                .service(at("/policy").get(policy::policy).done())
                .service(at("/fairness").get(fairness::fairness).done())
                .service(at("/minutes").get(minutes::minutes).done())
                .service(at("/lottery").get(lottery::drawn).done())
                .service(at("/lottery/entrants").get(lottery::entrants).done())
                .service(at("/lottery/proof").get(lottery::proof).done())
                .service(at("/lottery/reveal").post(lottery::reveal).done())
                .service(at("/tokens").post(tokens::issue).done())
                .service(
                    at("/tokens/me")
                        .get(tokens::poll)
                        .delete(tokens::leave)
                        .done(),
                )
                .service(at("/tokens/me/events").get(events::watch).done())
                .service(at("/tokens/me/leave").post(pages::leave).done())
                .default_service(web::to(routes::not_found)),
        )
        .configure(|app| rest_of_own(app, base))
        .service(
            web::scope("")
                .wrap(from_fn(admission::gate))
                .default_service(web::to(proxy::forward)),
        );
}

/// Health, and under a base path of its own everything else that does not exist.
fn rest_of_own(app: &mut ServiceConfig, base: &str) {
    if base.is_empty() {
        app.configure(server::health_routes);
    } else {
        let not_found = web::to(routes::not_found);
        let rest = web::scope(base).configure(server::health_routes);
        app.service(rest.default_service(not_found));
    }
}

/// The gateway's own document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Usher",
        description = "A waiting room that lets visitors in at the rate that the service behind it \
            can serve, in the order in which they came, and seat booking behind it. Errors are \
            RFC 9457 problems; their `code` is the same everywhere.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        tokens::issue, tokens::poll, tokens::leave, pages::leave, events::watch,
        authorize::ask, authorize::release, authorize::feedback,
        queues::list, queues::status, fairness::fairness, lottery::drawn,
        lottery::entrants, lottery::proof, lottery::reveal,
        policy::policy, policy::change, policy::remove, policy::audit,
        minutes::minutes, problems::explain,
    ),
    tags(
        (name = "visitor", description = "Join the line, look at one's place, leave."),
        (name = "status", description = "What everybody sees of the queues."),
        (name = "neighbour", description = "For a proxy that stands there already."),
        (name = "operator", description = "Steer the queues."),
    ),
    components(schemas(document::GatewayProblem)),
    modifiers(&Complete)
)]
pub struct GatewayApi;

/// The document of the gateway, whose paths stand under `base`, and of the service behind it together.
pub fn document(base: &str) -> utoipa::openapi::OpenApi {
    let mut document = GatewayApi::openapi();
    let own = std::mem::take(&mut document.paths.paths);
    let under = own
        .into_iter()
        .map(|(path, item)| (format!("{base}{path}"), item));
    document.paths.paths = under.collect();
    match serde_json::from_str(BOOKING) {
        Ok(booking) => document.merge(booking),
        Err(cause) => log::error!("the document of booking cannot be shown: {cause}"),
    }
    document
}

/// The queue that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes a parameter")]
struct QueueName {
    /// 1 to 32 of `a-z`, `0-9` and `-`.
    #[param(example = "main")]
    queue: String,
}

fn cursor_invalid() -> Problem {
    codes::QUERY_INVALID.because("cursor is not the nextCursor of an earlier page.")
}
