//! Owns how a service keeps its metrics, the metrics of requests, and how all of them are shown.
//!
//! A service names each metric once, in a [`catalogue!`](crate::catalogue): the doc comment of a
//! field is the help text of its metric. Every label has a bounded number of values, and those that
//! are known beforehand are shown before anything has happened.

mod kind;
mod looked_up;
mod process;

use std::time::Duration;

use actix_web::{HttpResponse, web};
use prometheus::{Registry, TextEncoder};

pub use kind::Kind;
pub use looked_up::look_up;
pub use process::ProcessMetrics;
pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::problem::Problem;

/// Seconds; from a poll answered out of memory to a request that waits for a service behind as long
/// as it may. Each time that is promised to somebody is a boundary, so that it can be told exactly.
const REQUEST_S: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Seconds; from a store on the same machine to one that is given up.
pub const STORE_S: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0,
];

/// Methods that are told apart. Any word can be a method, and a client may send a new one each time.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Declares metrics: a struct with a field for each, `new` to make them, `enrol` to show them.
///
/// A field is `name: Kind = "metric_name"`, then `by "label" ["value", …]` where there is a label,
/// with the values that are known beforehand, then `in BUCKETS` where there are buckets.
#[macro_export]
macro_rules! catalogue {
    ($(#[doc = $about:literal])+ $all:ident;
     $($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal
        $(by $label:literal $values:tt)? $(in $buckets:ident)?,)+) => {
        $(#[doc = $about])+
        #[derive(Clone)]
        pub struct $all {
            $($(#[doc = $help])+ pub $field: $crate::metrics::$kind,)+
        }

        impl $all {
            /// All of them, at nothing, not shown yet.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self {
                    $($field: {
                        #[allow(unused_mut, unused_assignments)]
                        let mut labels: Option<(&str, &[&str])> = None;
                        $(labels = Some(($label, &$values));)?
                        #[allow(unused_mut, unused_assignments)]
                        let mut buckets: &[f64] = &[];
                        $(buckets = $buckets;)?
                        $crate::metrics::Kind::of($name, concat!($($help),+).trim(), labels, buckets)
                    },)+
                }
            }

            /// Shows all of them from now on.
            ///
            /// # Panics
            /// When the registry already has one of them: that is a mistake in the program.
            pub fn enrol(&self, registry: &prometheus::Registry) {
                $(registry.register(Box::new(self.$field.clone())).expect("registered once");)+
            }

            /// All of them, shown from now on.
            ///
            /// # Panics
            /// As `enrol`.
            pub fn register(registry: &prometheus::Registry) -> Self {
                let all = Self::new();
                all.enrol(registry);
                all
            }
        }
    };
}

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
        let options = prometheus::HistogramOpts::new(
            "http_request_duration_seconds",
            "Time from the first byte of a request to its answer's head",
        )
        .buckets(REQUEST_S.to_vec());
        let duration = HistogramVec::new(options, &["method", "route", "status"])
            .expect("the options are constant");
        registry
            .register(Box::new(duration.clone()))
            .expect("registered once");
        let metrics = Self { duration };
        // The first request of any process is that of its starter, who waits for it.
        metrics
            .duration
            .with_label_values(&["GET", "/ready", "200"]);
        metrics
    }

    /// Counts one request.
    pub fn observe(&self, method: &str, route: &str, status: &str, took: Duration) {
        let known = METHODS.into_iter().find(|known| *known == method);
        self.duration
            .with_label_values(&[known.unwrap_or("other"), route, status])
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

    use super::STORE_S;

    crate::catalogue! {
        /// One of each kind.
        Things;
        /// Things that were made,
        /// of any sort
        made: IntCounter = "things_made_total",
        /// Things that were lost
        lost: IntCounterVec = "things_lost_total" by "where" ["here", "there"],
        /// How long it took
        took: HistogramVec = "things_duration_seconds" by "step" ["first"] in STORE_S,
    }

    fn text(registry: &Registry) -> String {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        text.expect("text")
    }

    #[test]
    fn a_request_is_counted_by_route_and_status() {
        let registry = Registry::new();
        let metrics = super::HttpMetrics::register(&registry);
        metrics.observe("GET", "/things/{id}", "200", Duration::from_millis(3));
        assert!(text(&registry).contains(
            r#"http_request_duration_seconds_count{method="GET",route="/things/{id}",status="200"} 1"#
        ));
    }

    #[test]
    fn methods_that_nobody_knows_are_counted_together() {
        let registry = Registry::new();
        let metrics = super::HttpMetrics::register(&registry);
        for method in ["BREW", "PROPFIND", "get"] {
            metrics.observe(method, "unmatched", "404", Duration::from_millis(3));
        }
        let text = text(&registry);
        assert!(text.contains(r#"_count{method="other",route="unmatched",status="404"} 3"#));
        assert!(!text.contains("BREW"), "{text}");
    }

    #[test]
    fn what_is_known_beforehand_is_shown_before_it_happens() {
        let registry = Registry::new();
        let things = Things::register(&registry);
        let before = text(&registry);
        for line in [
            "# HELP things_made_total Things that were made, of any sort",
            "things_made_total 0",
            r#"things_lost_total{where="here"} 0"#,
            r#"things_lost_total{where="there"} 0"#,
            r#"things_duration_seconds_count{step="first"} 0"#,
            r#"things_duration_seconds_bucket{step="first",le="0.0001"} 0"#,
        ] {
            assert!(before.contains(line), "{line} in {before}");
        }
        things.made.inc();
        assert!(text(&registry).contains("things_made_total 1"));
    }
}
