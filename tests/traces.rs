//! Spans of real processes, as a receiver of OTLP decodes them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use e2e::{Sale, Visitor};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use reqwest::Method;
use serde_json::json;
use testbed::{Brokers, eventually, within};

const SOON: Duration = Duration::from_secs(60);
/// Spans are sent when the process stops, and not before.
const ONLY_AT_THE_END: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "60000");

/// What the visitor's browser calls its trace, and its own step.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const STEP: &str = "00f067aa0ba902b7";

/// Takes spans, and events.
struct Receiver {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// Each with the program that it is of.
    spans: Vec<(String, Span)>,
    /// `traceparent` of each event.
    events: Vec<String>,
}

impl Receiver {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Mutex<Taken>>::default();
        let shared = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let taken = Arc::clone(&shared);
                thread::spawn(move || while take(stream.as_ref().unwrap(), &taken).is_some() {});
            }
        });
        Self { address, taken }
    }

    fn export(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        exported_to(self.address, more)
    }

    /// So that events come here too.
    fn hook(&self) -> (String, String) {
        let url = format!("http://{}/events", self.address);
        ("BOOKING_WEBHOOK_URL".to_owned(), url)
    }

    async fn until_event(&self, trace: &str) -> String {
        let found = || {
            let taken = self.taken.lock().unwrap();
            let of_trace = taken.events.iter().find(|it| it.contains(trace));
            of_trace.cloned()
        };
        eventually(SOON, "an event of the trace", async || found()).await
    }

    fn spans(&self) -> Vec<(String, Span)> {
        self.taken.lock().unwrap().spans.clone()
    }
}

fn exported_to(address: SocketAddr, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let endpoint = format!("http://{address}");
    let all = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let all = all.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Takes one request; `None` when there are no more.
fn take(mut stream: &TcpStream, taken: &Mutex<Taken>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
        head.push_str(&line.to_lowercase());
        line.clear();
    }
    let header = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|it| Some(it.strip_prefix(name)?.trim().to_owned()))
    };
    let length = header("content-length:")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if head.starts_with("post /v1/traces ") {
        let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
        taken.lock().unwrap().spans.extend(spans(request));
    } else {
        let trace = header("traceparent:").unwrap_or_default();
        taken.lock().unwrap().events.push(trace);
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .ok()
}

fn spans(request: ExportTraceServiceRequest) -> Vec<(String, Span)> {
    let mut all = Vec::new();
    for of_program in request.resource_spans {
        let resource = of_program.resource.expect("a resource");
        let program = attribute(&resource.attributes, "service.name").expect("a name");
        let spans = of_program.scope_spans.into_iter().flat_map(|it| it.spans);
        all.extend(spans.map(|span| (program.clone(), span)));
    }
    all
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of one trace.
struct Trace(Vec<(String, Span)>);

impl Trace {
    fn of(spans: Vec<(String, Span)>, trace: &str) -> Self {
        let of_trace = spans.into_iter();
        Self(
            of_trace
                .filter(|(_, span)| hex(&span.trace_id) == trace)
                .collect(),
        )
    }

    /// The only span with this name.
    fn one(&self, name: &str) -> &Span {
        let mut named = self.0.iter().filter(|(_, span)| span.name == name);
        let only = named.next().filter(|_| named.next().is_none());
        &only.unwrap_or_else(|| panic!("not one {name}")).1
    }

    /// The span with this id.
    fn one_with(&self, id: &[u8]) -> &Span {
        let found = self.0.iter().find(|(_, span)| span.span_id == id);
        &found.expect("a span with this id").1
    }

    /// The one span of this program with this name below this other one.
    fn below(&self, parent: &str, program: &str, name: &str) -> &Span {
        let found = self.0.iter().find(|(of, span)| {
            of == program && span.name == name && hex(&span.parent_span_id) == parent
        });
        let all = || {
            let shown = self.0.iter().map(|(program, span)| {
                let (id, parent) = (hex(&span.span_id), hex(&span.parent_span_id));
                format!("{program}: {} {id} below {parent}", span.name)
            });
            shown.collect::<Vec<_>>().join("\n  ")
        };
        let found = found
            .unwrap_or_else(|| panic!("no {name} of {program} below {parent} among\n  {}", all()));
        &found.1
    }
}

/// Joins and holds a seat inside the browser's trace.
async fn join_and_hold(visitor: &mut Visitor) {
    let traceparent = format!("00-{TRACE}-{STEP}-01");
    let join = visitor.request(Method::POST, "/api/v1/queues/main/tokens");
    let join = join.json(&json!({ "userId": visitor.user, "secret": visitor.user }));
    let joined = join.header("traceparent", &traceparent).send().await;
    assert!(joined.unwrap().status().is_success());
    visitor.enter().await;
    let hold = visitor.reserving(&[1], "hold");
    let held = hold.header("traceparent", &traceparent).send().await;
    assert_eq!(held.unwrap().status(), 201);
}

/// A sale at which a seat is held inside the browser's trace, and what the webhook is told of the trace. The gateway
/// exports as these variables say.
async fn traced(receiver: &Receiver, gateway: &[(&str, &str)]) -> (Sale, String) {
    let sale = Sale::on(10, |options| {
        options.brokers = Brokers::StandIn;
        options.gateway_environment = receiver.export(gateway);
        options.booking_environment = receiver.export(&[ONLY_AT_THE_END]);
        options.booking_environment.push(receiver.hook());
    })
    .await;
    join_and_hold(&mut sale.visitor(0)).await;
    (sale, receiver.until_event(TRACE).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_a_visitors_post_to_the_webhook() {
    let receiver = Receiver::open();
    let (mut sale, event) = traced(&receiver, &[ONLY_AT_THE_END]).await;
    sale.stack.stop().unwrap();

    let trace = Trace::of(receiver.spans(), TRACE);
    let join = trace.below(STEP, "gateway", "POST /api/v1/queues/{queue}/tokens");
    assert_eq!(join.kind(), SpanKind::Server);
    trace.below(&hex(&join.span_id), "gateway", "redis join");
    let asked = trace.below(STEP, "gateway", "POST upstream /api/v1/reservations");
    let status = attribute(&asked.attributes, "http.response.status_code");
    assert!(status.unwrap().contains("201"));
    let served = trace.below(&hex(&asked.span_id), "booking", "POST /api/v1/reservations");
    let served = hex(&served.span_id);
    trace.below(&served, "booking", "redis take");
    // Of two transactions one wrote the event.
    let published = trace.one("publish reservation.held");
    let wrote = trace.one_with(&published.parent_span_id);
    assert_eq!(wrote.name, "transaction");
    assert_eq!(hex(&wrote.parent_span_id), served);
    assert_eq!(published.kind(), SpanKind::Producer);
    assert!(published.end_time_unix_nano >= published.start_time_unix_nano);
    let delivered = trace.below(
        &hex(&published.span_id),
        "forwarder",
        "deliver reservation.held",
    );
    assert_eq!(delivered.kind(), SpanKind::Consumer);
    assert_eq!(event, format!("00-{TRACE}-{}-01", hex(&delivered.span_id)));

    // What nobody outside began has a beginning here.
    let spans = receiver.spans();
    let begun = spans
        .iter()
        .filter(|(_, span)| span.parent_span_id.is_empty());
    let begun: Vec<_> = begun.collect();
    assert!(!begun.is_empty());
    assert!(begun.iter().all(|(of, _)| of == "gateway"), "{begun:?}");
    assert!(spans.iter().all(|(_, span)| !span.name.ends_with("/ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_sampling_off_none_is_sent_and_everybody_behind_is_told_so() {
    let receiver = Receiver::open();
    let off = [ONLY_AT_THE_END, ("OTEL_TRACES_SAMPLER", "always_off")];
    let (mut sale, event) = traced(&receiver, &off).await;
    assert!(event.ends_with("-00"), "{event}");
    sale.stack.stop().unwrap();
    let of_visitor = Trace::of(receiver.spans(), TRACE);
    assert_eq!(of_visitor.0.len(), 0, "{:?}", of_visitor.0);
    let of_gateway = receiver.spans().into_iter().filter(|it| it.0 == "gateway");
    assert_eq!(of_gateway.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_keeps_nobody_waiting_and_what_it_does_not_take_is_counted() {
    // Connections are made by the kernel, and nobody reads them.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hanging.local_addr().unwrap();
    let small = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
    ];
    let mut sale = Sale::on(10, |options| {
        options.gateway_environment = exported_to(address, &small);
        options.booking_environment = exported_to(address, &small);
    })
    .await;
    let bought = async {
        sale.visitor(0).buy(1).await;
    };
    within(SOON, "a ticket", bought).await;
    for admin in [
        sale.stack.gateway_admin_urls()[0].clone(),
        sale.stack.booking_admin_url(),
    ] {
        eventually(SOON, "spans that were dropped", async || {
            // Each look at the seats is a span of both.
            let _ = sale.visitor(0).get("/api/v1/concerts").await;
            let shown = reqwest::get(format!("{admin}/metrics")).await.ok()?;
            let shown = shown.text().await.ok()?;
            let line = "trace_spans_dropped_total{reason=\"full\"} ";
            let count = shown.lines().find_map(|it| it.strip_prefix(line))?;
            (count != "0").then_some(())
        })
        .await;
    }
    // A stop waits for it no longer than for three seconds.
    sale.stack.stop().unwrap();
}
