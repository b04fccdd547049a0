//! Owns the request metrics of every service and how metrics are shown.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};

use crate::problem::Problem;

/// Seconds; from a poll answered out of memory to a request that waited for a lock.
const BUCKETS_S: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// How long requests took, by method, route pattern and status.
#[derive(Clone)]
pub struct HttpMetrics {
    duration: HistogramVec,
}

impl HttpMetrics {
    /// Registers the histogram.
    ///
    /// # Panics
    /// When the registry already has it: that is a mistake in the program.
    pub fn register(registry: &Registry) -> Self {
        let options = HistogramOpts::new(
            "http_request_duration_seconds",
            "Time from the first byte of a request to its answer's head",
        )
        .buckets(BUCKETS_S.to_vec());
        let duration = HistogramVec::new(options, &["method", "route", "status"])
            .expect("the options are constant");
        registry
            .register(Box::new(duration.clone()))
            .expect("registered once");
        Self { duration }
    }

    /// Counts one request.
    pub fn observe(&self, method: &str, route: &str, status: &str, took: Duration) {
        self.duration
            .with_label_values(&[method, route, status])
            .observe(took.as_secs_f64());
    }
}

/// The handler of `GET /metrics`: Prometheus text.
pub async fn show(registry: web::Data<Registry>) -> Result<HttpResponse, Problem> {
    let text = TextEncoder::new()
        .encode_to_string(&registry.gather())
        .map_err(Problem::internal)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{Registry, TextEncoder};

    #[test]
    fn a_request_is_counted_by_route_and_status() {
        let registry = Registry::new();
        let metrics = super::HttpMetrics::register(&registry);
        metrics.observe("GET", "/things/{id}", "200", Duration::from_millis(3));
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        assert!(text.contains(
            r#"http_request_duration_seconds_count{method="GET",route="/things/{id}",status="200"} 1"#
        ));
    }
}
