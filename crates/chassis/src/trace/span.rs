//! Owns one span: what was done for a trace, from when to when, and how it ended.
//!
//! A span is recorded where a receiver is named and its trace is sampled; elsewhere it is nothing, and costs a look at a
//! flag. It ends when it is dropped, so also when nobody waited for the end of what it is about.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{TraceContext, current, export};
use crate::time::Clock;

/// Which side of a call a span is of.
pub use opentelemetry::trace::SpanKind as Kind;

/// Something that is being done, if it is recorded.
#[must_use = "it ends when it is dropped"]
pub struct Span(Option<Box<Recording>>);

struct Recording {
    data: SpanData,
    context: TraceContext,
    began: Instant,
}

impl Span {
    /// What is done next for the request that runs; nothing where none does.
    pub fn begin<N: Into<Cow<'static, str>>>(kind: Kind, name: impl FnOnce() -> N) -> Self {
        if export::exporter().is_none() {
            return Self(None);
        }
        Self::below(current(), kind, name)
    }

    /// What is done next for the request that left this `traceparent`.
    pub fn after<N: Into<Cow<'static, str>>>(
        traceparent: Option<&str>,
        kind: Kind,
        name: impl FnOnce() -> N,
    ) -> Self {
        if export::exporter().is_none() {
            return Self(None);
        }
        Self::below(traceparent.and_then(|it| it.parse().ok()), kind, name)
    }

    fn below<N: Into<Cow<'static, str>>>(
        parent: Option<TraceContext>,
        kind: Kind,
        name: impl FnOnce() -> N,
    ) -> Self {
        match parent.filter(|it| it.sampled) {
            Some(parent) => Self::of(parent.child(), Some(parent), kind, name().into()),
            None => Self(None),
        }
    }

    /// The span of a request, which `context` is of and `caller` asked for.
    pub(super) fn of_request(context: TraceContext, caller: Option<TraceContext>) -> Self {
        if !context.sampled || export::exporter().is_none() {
            return Self(None);
        }
        // What it is called is known when it is answered.
        Self::of(context, caller, Kind::Server, "request".into())
    }

    fn of(
        context: TraceContext,
        parent: Option<TraceContext>,
        kind: Kind,
        name: Cow<'static, str>,
    ) -> Self {
        let started = SystemTime::from(Clock::system().now());
        let is_remote = matches!(kind, Kind::Server | Kind::Consumer | Kind::Producer);
        let data = SpanData {
            span_context: SpanContext::new(
                context.trace_id.into(),
                context.span_id.into(),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, |it| it.span_id.into()),
            parent_span_is_remote: is_remote && parent.is_some(),
            span_kind: kind,
            name,
            start_time: started,
            end_time: started,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        };
        Self(Some(Box::new(Recording {
            data,
            context,
            began: Instant::now(),
        })))
    }

    /// What is done inside it belongs to this context; `None` where it is not recorded.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|it| it.context)
    }

    /// Says something about it. `value` is only asked for where the span is recorded.
    pub fn say<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(recording) = &mut self.0 {
            let told = KeyValue::new(name, value());
            recording.data.attributes.push(told);
        }
    }

    /// It did not succeed.
    pub fn failed(&mut self, why: &dyn Display) {
        if let Some(recording) = &mut self.0 {
            recording.data.status = Status::error(why.to_string());
        }
    }

    /// Names a request by what it turned out to be.
    pub(super) fn name(&mut self, name: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.0 {
            recording.data.name = name().into();
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(recording), Some(exporter)) = (self.0.take(), export::exporter()) {
            let Recording {
                mut data, began, ..
            } = *recording;
            data.end_time = data.start_time + began.elapsed();
            exporter.take(data);
        }
    }
}
