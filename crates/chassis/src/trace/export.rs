//! Owns the way of spans to their receiver.
//!
//! A span that ended goes onto a bounded channel, and from there to the receiver together with others. Where that is full, or the
//! receiver does not take them, spans are dropped and counted: nothing ever waits for the receiver, and nothing grows.
//! Must not know what spans are about.

use std::mem;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::settings::{Exporting, Sampling};

/// Spans in one request to the receiver.
const BATCH: usize = 512;
/// How long a stop waits for the last spans: with drain and grace less than the 20 s that a container has to stop.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

crate::catalogue! {
    /// What became of spans.
    SpanMetrics;
    /// Spans that the receiver has taken
    sent: IntCounter = "trace_spans_sent_total",
    /// Spans that were dropped: too many were waiting (full), or the receiver did not take them (refused)
    dropped: IntCounterVec = "trace_spans_dropped_total" by "reason" ["full", "refused"],
}

static EXPORTER: OnceLock<Exporter> = OnceLock::new();
static METRICS: LazyLock<SpanMetrics> = LazyLock::new(SpanMetrics::new);

/// What becomes of spans in this process.
pub fn metrics() -> &'static SpanMetrics {
    &METRICS
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be exported: {0}")]
pub struct ExportInvalid(pub(crate) String);

/// Exports the spans of this process from now on, in the runtime of the caller; nothing where no receiver is named.
///
/// # Errors
/// When what was set does not hold together; the receiver itself is not asked.
pub fn export(exporting: Option<Exporting>) -> Result<(), ExportInvalid> {
    if let Some(exporting) = exporting {
        let exporter = Exporter::start(exporting)?;
        // A process is configured once, like its log.
        let _ = EXPORTER.set(exporter);
    }
    Ok(())
}

/// Sends what is still waiting, for three seconds at most.
pub async fn flush() {
    if let Some(exporter) = exporter() {
        exporter.flush().await;
    }
}

/// The exporter of this process, where there is one.
pub(super) fn exporter() -> Option<&'static Exporter> {
    EXPORTER.get()
}

/// The end at which spans are put in.
pub(super) struct Exporter {
    sampling: Sampling,
    spans: Sender<SpanData>,
    flushes: Sender<oneshot::Sender<()>>,
}

impl Exporter {
    fn start(exporting: Exporting) -> Result<Self, ExportInvalid> {
        let receiver = receiver(&exporting)?;
        let (spans, waiting) = mpsc::channel(exporting.most);
        let (flushes, asked) = mpsc::channel(1);
        let task = ExportTask {
            receiver,
            waiting,
            asked,
            delay: exporting.delay,
            timeout: exporting.timeout,
            is_taking: true,
        };
        tokio::spawn(task.run());
        log::info!("spans go to {}", shown(&exporting));
        Ok(Self {
            sampling: exporting.sampling,
            spans,
            flushes,
        })
    }

    /// Whether a trace is recorded; `caller` is what was decided before, where anybody did.
    pub fn wants(&self, trace_id: u128, caller: Option<bool>) -> bool {
        self.sampling.wants(trace_id, caller)
    }

    /// Takes a span that ended. It never waits.
    pub fn take(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            METRICS.dropped.with_label_values(&["full"]).inc();
        }
    }

    async fn flush(&self) {
        let flushed = async {
            let (done, flushed) = oneshot::channel();
            self.flushes.send(done).await.ok()?;
            flushed.await.ok()
        };
        if timeout(FLUSH_WITHIN, flushed).await.is_err() {
            log::warn!("the last spans were not sent in time");
        }
    }
}

/// Without a login that may stand in it.
fn shown(exporting: &Exporting) -> String {
    let mut endpoint = exporting.endpoint.clone();
    // An address over HTTP can have none.
    let _ = endpoint.set_username("");
    let _ = endpoint.set_password(None);
    endpoint.to_string()
}

fn receiver(exporting: &Exporting) -> Result<SpanExporter, ExportInvalid> {
    let client = reqwest::Client::builder()
        .timeout(exporting.timeout)
        .build()
        .map_err(|cause| ExportInvalid(cause.to_string()))?;
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(exporting.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(exporting.timeout)
        .with_headers(exporting.headers.iter().cloned().collect());
    if exporting.compressed {
        builder = builder.with_compression(Compression::Gzip);
    }
    let built = builder.build();
    let mut receiver = built.map_err(|cause| ExportInvalid(cause.to_string()))?;
    let attributes = exporting.resource.iter().cloned();
    let attributes = attributes.map(|(key, value)| KeyValue::new(key, value));
    let resource = Resource::builder_empty().with_attributes(attributes);
    receiver.set_resource(&resource.build());
    Ok(receiver)
}

/// The other end.
struct ExportTask {
    receiver: SpanExporter,
    waiting: Receiver<SpanData>,
    asked: Receiver<oneshot::Sender<()>>,
    delay: Duration,
    timeout: Duration,
    /// Whether the receiver took the last batch: only a change is worth a line of the log.
    is_taking: bool,
}

/// Why a batch goes.
enum Due {
    /// It is full, or its first span has waited long enough.
    Now,
    /// Somebody waits until everything has gone.
    Flush(oneshot::Sender<()>),
    /// Nobody puts spans in any more.
    Ended,
}

impl ExportTask {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.gather(&mut batch).await;
            self.send(mem::take(&mut batch)).await;
            match due {
                Due::Now => {}
                Due::Flush(done) => {
                    while !self.waiting.is_empty() {
                        self.waiting.recv_many(&mut batch, BATCH).await;
                        self.send(mem::take(&mut batch)).await;
                    }
                    // Who asked may have given up.
                    let _ = done.send(());
                }
                Due::Ended => return,
            }
        }
    }

    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> Due {
        tokio::select! {
            asked = self.asked.recv() => return asked.map_or(Due::Ended, Due::Flush),
            first = self.waiting.recv_many(batch, BATCH) => if first == 0 { return Due::Ended },
        }
        let until = Instant::now() + self.delay;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                asked = self.asked.recv() => return asked.map_or(Due::Ended, Due::Flush),
                more = timeout_at(until, self.waiting.recv_many(batch, room)) => match more {
                    Ok(0) => return Due::Ended,
                    Ok(_) => {}
                    Err(_) => return Due::Now,
                },
            }
        }
        Due::Now
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let sent = timeout(self.timeout, self.receiver.export(batch)).await;
        let refusal = match sent {
            Ok(Ok(())) => None,
            Ok(Err(cause)) => Some(cause.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &refusal {
            None => METRICS.sent.inc_by(count),
            Some(_) => METRICS
                .dropped
                .with_label_values(&["refused"])
                .inc_by(count),
        }
        let is_taking = refusal.is_none();
        if mem::replace(&mut self.is_taking, is_taking) != is_taking {
            match refusal {
                None => log::info!("the receiver takes spans again"),
                Some(cause) => log::warn!("spans are dropped: {cause}"),
            }
        }
    }
}
