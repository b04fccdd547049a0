//! Owns the trace that a request belongs to: W3C Trace Context, level 1, taken, made and passed on.
//!
//! Every request runs inside one context, which [`current`] gives to whatever happens on its behalf, also on a blocking
//! thread when that was entered by [`within`]. What a client sends that is not a sane `traceparent` begins a new trace.
//! What was done for a trace is a [`Span`], recorded where the operator named a receiver. Must not know what that is about.

mod export;
mod settings;
mod span;

use std::fmt;
use std::str::FromStr;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::middleware::Next;
use uuid::Uuid;

pub use export::{ExportInvalid, SpanMetrics, export, flush, metrics};
pub use settings::Exporting;
pub use span::{Kind, Span};

use crate::logging;

/// The header that carries the context from one service to the next.
pub const HEADER: HeaderName = HeaderName::from_static("traceparent");
/// Length of version 00: `00-` trace `-` span `-` flags.
const LENGTH: usize = 55;
/// The one flag that there is: the caller records this trace.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// One step of a trace: which trace, and which span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// The first step of a new trace, which nobody records unless somebody decides to.
    pub fn begin() -> Self {
        // Sampling by a share looks at the lower half, so that is the one without the variant of a UUID in its first bits.
        let (lower, upper) = Uuid::new_v4().as_u64_pair();
        Self {
            trace_id: u128::from(upper) << 64 | u128::from(lower),
            span_id: new_span_id(),
            sampled: false,
        }
    }

    /// The next step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: new_span_id(),
            ..self
        }
    }

    /// The id that all steps share, as 32 hexadecimal digits.
    pub fn trace_id(&self) -> impl fmt::Display + use<> {
        TraceId(self.trace_id)
    }

    /// The trace in these headers, if they name one.
    fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(HEADER);
        let only = lines.next().filter(|_| lines.next().is_none());
        let given = only.and_then(|line| line.to_str().ok());
        given.and_then(|text| text.parse().ok())
    }

    /// The next step of the caller's trace, the first of a new one when there is none.
    ///
    /// The flag of the caller goes on as it came, unless this process records spans and was told to decide anew.
    fn following(caller: Option<Self>) -> Self {
        let next = caller.map_or_else(Self::begin, Self::child);
        let sampled = match export::exporter() {
            Some(exporter) => exporter.wants(next.trace_id, caller.map(|it| it.sampled)),
            None => next.sampled,
        };
        Self { sampled, ..next }
    }
}

struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:032x}", self.0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(
            to,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

/// A text that is no `traceparent`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct TraceInvalid;

impl FromStr for TraceContext {
    type Err = TraceInvalid;

    /// Later versions are read as far as version 00 goes, as the specification asks.
    fn from_str(text: &str) -> Result<Self, TraceInvalid> {
        let is_longer = text.as_bytes().get(LENGTH).is_some_and(|it| *it == b'-');
        let known = text.get(..LENGTH).ok_or(TraceInvalid)?;
        let mut parts = known.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part
                .bytes()
                .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok())?
        };
        let read = (|| Some((hex(2)?, hex(32)?, hex(16)?, hex(2)?)))();
        let (version, trace_id, span_id, flags) = read.ok_or(TraceInvalid)?;
        let is_whole = text.len() == LENGTH || (version > 0 && is_longer);
        if version == 0xff || trace_id == 0 || span_id == 0 || !is_whole {
            return Err(TraceInvalid);
        }
        Ok(Self {
            trace_id,
            span_id: u64::try_from(span_id).map_err(|_| TraceInvalid)?,
            sampled: flags & u128::from(SAMPLED) != 0,
        })
    }
}

fn new_span_id() -> u64 {
    // The upper half of a random UUID has its version in it, so it is never 0.
    Uuid::new_v4().as_u64_pair().0
}

/// The context of what is running, if it belongs to a request.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Runs `act` on this thread inside the context of somebody else.
pub fn within<T>(context: Option<TraceContext>, act: impl FnOnce() -> T) -> T {
    match context {
        Some(context) => CURRENT.sync_scope(context, act),
        None => act(),
    }
}

/// Middleware: the request, and all that is done for it, runs inside its context.
pub async fn assign<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let caller = TraceContext::of_headers(request.headers());
    let mut context = TraceContext::following(caller);
    if context.sampled && caller.is_none() && logging::PROBES.contains(&request.path()) {
        // They come every few seconds for ever, and are nobody's.
        context.sampled = false;
    }
    let mut span = Span::of_request(context, caller);
    let answer = CURRENT.scope(context, next.call(request)).await;
    match &answer {
        Ok(answer) => describe(&mut span, answer),
        Err(cause) => span.failed(cause),
    }
    answer
}

/// A request is called by its method and the pattern of its route, as in logs and metrics: neither has ids.
fn describe<B>(span: &mut Span, answer: &ServiceResponse<B>) {
    let (request, status) = (answer.request(), answer.status());
    span.name(|| format!("{} {}", request.method(), logging::pattern(request)));
    span.say("http.request.method", || request.method().to_string());
    span.say("http.route", || logging::pattern(request).to_string());
    span.say("http.response.status_code", || i64::from(status.as_u16()));
    if status.is_server_error() {
        span.failed(&status);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderValue};

    use super::{CURRENT, HEADER, TraceContext, current, within};

    /// The example of the specification.
    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// Of a request with these headers.
    fn following(lines: &[&str]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_str(line).expect("a value");
            headers.append(HEADER, value);
        }
        TraceContext::following(TraceContext::of_headers(&headers))
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own() {
        let context = following(&[GIVEN]);
        let told = context.to_string();
        assert_eq!(told[..36], GIVEN[..36], "the same trace");
        assert_ne!(told[36..52], GIVEN[36..52], "another span");
        assert_eq!(told[52..], GIVEN[52..], "the same decision to record");
        assert_eq!(told.parse(), Ok(context));
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        for odd in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473600-f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert!(odd.parse::<TraceContext>().is_err(), "{odd}");
            let made = following(&[odd]);
            assert!(!odd.contains(&made.trace_id().to_string()), "{odd}");
        }
        let twice = following(&[GIVEN, GIVEN]);
        assert!(!GIVEN.contains(&twice.trace_id().to_string()));
        assert_eq!(TraceContext::begin().to_string().len(), GIVEN.len());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else";
        let context: TraceContext = later.parse().expect("a later version");
        assert_eq!(context.to_string(), GIVEN);
    }

    #[tokio::test]
    async fn a_context_reaches_whatever_is_done_for_the_request_also_on_another_thread() {
        assert_eq!(current(), None);
        let context = TraceContext::begin();
        let seen = CURRENT.scope(context, async {
            let here = current();
            std::thread::spawn(move || within(here, current)).join()
        });
        assert_eq!(seen.await.expect("no panic"), Some(context));
    }
}
