//! Owns the log: log4rs from an embedded default or the operator's own file, and one access line
//! per request.
//!
//! An access line has method, route pattern, status, milliseconds, request id and trace id. It never has a
//! token, a key, a query or a body, and the pattern in place of the path keeps ids out too.

mod gathered;
mod line;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, web};
use log::{Level, LevelFilter};
use log4rs::config::{Appender, Config, Deserializers, Logger, Root};

use crate::env::Env;
use crate::metrics::HttpMetrics;
use crate::request_id;
use crate::trace::{self, TraceContext};
use gathered::{Gathered, GatheredDeserializer};
use line::Line;

/// The target of access lines, so that a log file can send them elsewhere.
const ACCESS: &str = "access";

/// Routes that ask only whether the process is well.
pub(crate) const PROBES: [&str; 3] = ["/live", "/ready", "/metrics"];

/// Libraries whose everyday words nobody reads.
const QUIET: [&str; 3] = ["actix_server", "tokio_cron_scheduler", "actix_http"];

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogInvalid {
    /// The file cannot be read or is not a log4rs configuration.
    #[error("the log configuration {path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// Why.
        cause: String,
    },
    /// The embedded default did not fit.
    #[error("the log cannot be set up: {0}")]
    Default(String),
}

/// Where the log of a program goes, and how much of it.
#[derive(Debug, Clone)]
pub struct LogRules {
    /// `LOG_CONFIG`: a log4rs file.
    pub file: Option<PathBuf>,
    /// `LOG_LEVEL`: of the log to standard output; info.
    pub level: LevelFilter,
}

impl LogRules {
    /// Reads both variables.
    pub fn read(env: &mut Env<'_>) -> Self {
        Self {
            file: env.optional("LOG_CONFIG", LOG_CONFIG),
            level: env.or("LOG_LEVEL", "info", LOG_LEVEL),
        }
    }

    /// Sets up the log of this process.
    pub fn init(&self) -> Result<(), LogInvalid> {
        init(self.file.as_deref(), self.level)
    }
}

const LOG_CONFIG: &str = "A log4rs file. Without it the log goes to standard output.";
const LOG_LEVEL: &str = "off, error, warn, info, debug or trace; ignored when LOG_CONFIG is set.";

fn init(file: Option<&Path>, level: LevelFilter) -> Result<(), LogInvalid> {
    if let Some(path) = file {
        return log4rs::init_file(path, deserializers()).map_err(|cause| LogInvalid::File {
            path: path.display().to_string(),
            cause: cause.to_string(),
        });
    }
    let stdout =
        Gathered::stdout(Box::new(Line)).map_err(|cause| LogInvalid::Default(cause.to_string()))?;
    let config = Config::builder()
        .appender(Appender::builder().build("stdout", Box::new(stdout)))
        .loggers(QUIET.map(|name| Logger::builder().build(name, level.min(LevelFilter::Warn))))
        .build(Root::builder().appender("stdout").build(level))
        .map_err(|cause| LogInvalid::Default(cause.to_string()))?;
    match log4rs::init_config(config) {
        Ok(_) => Ok(()),
        Err(cause) => Err(LogInvalid::Default(cause.to_string())),
    }
}

/// What a log4rs file may use: all that log4rs has, and `gathered`.
fn deserializers() -> Deserializers {
    let mut kinds = Deserializers::default();
    kinds.insert("gathered", GatheredDeserializer);
    kinds
}

/// A pattern that a handler sets for its requests where the route table has none, as a proxy does.
#[derive(Clone)]
pub struct RoutePattern(pub Rc<str>);

/// Middleware: writes the access line and counts the request.
pub async fn access<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let began = Instant::now();
    let answer = next.call(request).await?;
    let took = began.elapsed();
    let request = answer.request();
    let route = pattern(request);
    let status = answer.status();
    // Probes come every few seconds for ever; only one that fails is news.
    let level = match PROBES.contains(&&*route) && status.is_success() {
        true => Level::Debug,
        false => Level::Info,
    };
    log::log!(
        target: ACCESS,
        level,
        "{} {route} {} {:.1} ms [{}]{}",
        request.method(),
        status.as_u16(),
        took.as_secs_f64() * 1000.0,
        &*request_id::of(request),
        Traced(trace::current()),
    );
    if let Some(metrics) = request.app_data::<web::Data<HttpMetrics>>() {
        metrics.observe(request.method().as_str(), &route, status.as_str(), took);
    }
    Ok(answer)
}

/// The trace of an access line, where there is one.
struct Traced(Option<TraceContext>);

impl fmt::Display for Traced {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(context) => write!(to, " trace {}", context.trace_id()),
            None => Ok(()),
        }
    }
}

/// The pattern of the route that a request took.
pub(crate) fn pattern(request: &HttpRequest) -> Rc<str> {
    if let Some(pattern) = request.extensions().get::<RoutePattern>() {
        return pattern.0.clone();
    }
    request.match_pattern().map_or("unmatched".into(), Rc::from)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use actix_web::middleware::from_fn;
    use actix_web::{App, test, web};
    use log::LevelFilter;
    use prometheus::{Registry, TextEncoder};

    use crate::metrics::HttpMetrics;

    #[::core::prelude::v1::test]
    fn a_log_file_that_is_missing_is_named() {
        let refused = super::init(Some(Path::new("/nowhere/log.yaml")), LevelFilter::Info);
        let told = refused.expect_err("no such file").to_string();
        assert!(told.contains("/nowhere/log.yaml"), "{told}");
    }

    #[actix_web::test]
    async fn a_request_is_counted_by_its_pattern_and_not_by_its_path() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry);
        let app = test::init_service(
            App::new()
                .app_data(web::Data::new(metrics))
                .wrap(from_fn(super::access))
                .service(crate::routes::at("/things/{id}").get(async || "one").done())
                .default_service(web::to(crate::routes::not_found)),
        )
        .await;
        for path in ["/things/secret-1", "/elsewhere/secret-2"] {
            let request = test::TestRequest::get().uri(path).to_request();
            test::call_service(&app, request).await;
        }
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        assert!(
            text.contains(r#"route="/things/{id}",status="200""#),
            "{text}"
        );
        assert!(text.contains(r#"route="unmatched",status="404""#));
        assert!(!text.contains("secret"));
    }
}
