//! Owns the variables of OpenTelemetry that the programs read, under the names of its specification.
//!
//! Spans are exported where a receiver is named, and nowhere else.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::Kind;
use crate::env::Env;

/// Where spans go, which are recorded, and what is said of the program that they are of.
#[derive(Clone)]
pub struct Exporting {
    pub(super) endpoint: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) compressed: bool,
    /// How long the receiver may take for a batch.
    pub(super) timeout: Duration,
    pub(super) sampling: Sampling,
    pub(super) resource: Vec<(String, String)>,
    /// Spans that may wait to be sent.
    pub(super) most: usize,
    /// How long a span waits for others to go with.
    pub(super) delay: Duration,
}

impl Exporting {
    /// What the variables say; `None` where they name no receiver. `program` is the name of the service unless another is said.
    pub fn read(env: &mut Env<'_>, program: &str) -> Option<Self> {
        let base: Option<HttpUrl> = env.optional("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT);
        let own: Option<HttpUrl> =
            env.optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", TRACES_ENDPOINT);
        let _: Protocol = env.or("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", PROTOCOL);
        let headers: Option<Pairs> = env.optional_secret("OTEL_EXPORTER_OTLP_HEADERS", HEADERS);
        let compression: Compression =
            env.or("OTEL_EXPORTER_OTLP_COMPRESSION", "none", COMPRESSION);
        let timeout: Between<1, 60_000> = env.or("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", TIMEOUT);
        let sampler: Kept = env.or("OTEL_TRACES_SAMPLER", "parentbased_always_on", SAMPLER);
        let ratio: Ratio = env.or("OTEL_TRACES_SAMPLER_ARG", "1", SAMPLER_ARG);
        let name: Option<String> = env.optional("OTEL_SERVICE_NAME", SERVICE_NAME);
        let attributes: Option<Pairs> = env.optional("OTEL_RESOURCE_ATTRIBUTES", ATTRIBUTES);
        let most: Between<1, 1_000_000> = env.or("OTEL_BSP_MAX_QUEUE_SIZE", "2048", MOST);
        let delay: Between<1, 60_000> = env.or("OTEL_BSP_SCHEDULE_DELAY", "1000", DELAY);
        let endpoint = match (own, base) {
            (Some(own), _) => own.0,
            (None, Some(base)) => base.for_traces(),
            (None, None) => return None,
        };
        Some(Self {
            endpoint,
            headers: headers.unwrap_or_default().0,
            compressed: compression == Compression::Gzip,
            timeout: Duration::from_millis(timeout.0),
            sampling: sampler.with(ratio),
            resource: resource(program, name, attributes.unwrap_or_default().0),
            most: usize::try_from(most.0).unwrap_or(usize::MAX),
            delay: Duration::from_millis(delay.0),
        })
    }
}

/// The name that is said for itself wins over the one among the attributes, and that over the program's.
fn resource(
    program: &str,
    name: Option<String>,
    given: Vec<(String, String)>,
) -> Vec<(String, String)> {
    const NAME: &str = "service.name";
    const VERSION: &str = "service.version";
    let mut all = vec![
        (NAME.to_owned(), program.to_owned()),
        (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let said = name.map(|name| (NAME.to_owned(), name));
    for (key, value) in given.into_iter().chain(said) {
        all.retain(|(other, _)| *other != key);
        all.push((key, value));
    }
    all
}

/// Which traces are recorded.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    /// The caller decides; the sampler decides where nobody called.
    by_caller: bool,
    sampler: Sampler,
}

impl Sampling {
    /// Whether this trace is recorded; `caller` is what was decided before, where anybody did.
    pub(super) fn wants(&self, trace_id: u128, caller: Option<bool>) -> bool {
        if let Some(decided) = caller.filter(|_| self.by_caller) {
            return decided;
        }
        let id = trace_id.into();
        let result = self
            .sampler
            .should_sample(None, id, "", &Kind::Server, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }
}

/// A sampler by its name, without its argument.
struct Kept {
    by_caller: bool,
    base: Base,
}

enum Base {
    All,
    None,
    Share,
}

impl FromStr for Kept {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let root = text.strip_prefix("parentbased_");
        let base = match root.unwrap_or(text) {
            "always_on" => Base::All,
            "always_off" => Base::None,
            "traceidratio" => Base::Share,
            _ => {
                return Err(
                    "it must be always_on, always_off or traceidratio, or one of them after parentbased_",
                );
            }
        };
        let by_caller = root.is_some();
        Ok(Self { by_caller, base })
    }
}

impl Kept {
    fn with(self, ratio: Ratio) -> Sampling {
        let sampler = match self.base {
            Base::All => Sampler::AlwaysOn,
            Base::None => Sampler::AlwaysOff,
            Base::Share => Sampler::TraceIdRatioBased(ratio.0),
        };
        Sampling {
            by_caller: self.by_caller,
            sampler,
        }
    }
}

/// From 0 to 1.
struct Ratio(f64);

impl FromStr for Ratio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ratio = text.parse().ok();
        let ratio = ratio.filter(|it| (0.0..=1.0).contains(it));
        ratio.map(Self).ok_or("it must be from 0 to 1")
    }
}

/// A number within bounds.
struct Between<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> FromStr for Between<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok();
        let number = number.filter(|it| (LEAST..=MOST).contains(it));
        number
            .map(Self)
            .ok_or_else(|| format!("it must be from {LEAST} to {MOST}"))
    }
}

struct Protocol;

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "http/protobuf" => Ok(Self),
            _ => Err("it must be http/protobuf, the one that is spoken here"),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err("it must be gzip or none"),
        }
    }
}

/// An address over HTTP.
struct HttpUrl(Url);

impl FromStr for HttpUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Option<Url> = text.parse().ok();
        let url = url.filter(|it| matches!(it.scheme(), "http" | "https") && it.has_host());
        url.map(Self)
            .ok_or("it must look like http://host:4318 or https://host")
    }
}

impl HttpUrl {
    /// A receiver takes each kind of thing at a path of its own below its address.
    fn for_traces(mut self) -> Url {
        let path = format!("{}/v1/traces", self.0.path().trim_end_matches('/'));
        self.0.set_path(&path);
        self.0
    }
}

/// `name=value,name=value`, values with percent signs as in addresses.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl FromStr for Pairs {
    type Err = Box<dyn Display>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
        };
        let pairs: Option<Vec<_>> = parts.map(pair).collect();
        pairs
            .map(Self)
            .ok_or_else(|| Box::new("it must look like name=value,name=value") as _)
    }
}

const ENDPOINT: &str = "A receiver of spans by OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added.\n\
    Without it none are recorded.";
const TRACES_ENDPOINT: &str = "The same as it stands, in place of the one above.";
const PROTOCOL: &str = "http/protobuf, the one that is spoken.";
const HEADERS: &str =
    "Headers that the receiver asks for, as name=value,name=value, values percent-encoded.";
const COMPRESSION: &str = "gzip or none.";
const TIMEOUT: &str = "How long the receiver may take for a batch, in milliseconds, 1 to 60000.";
const SAMPLER: &str = "Which traces are recorded: always_on, always_off, traceidratio, or one of them after parentbased_,\n\
    by which the caller decides.";
const SAMPLER_ARG: &str = "The share of traces that traceidratio records, 0 to 1.";
const SERVICE_NAME: &str = "What spans call this program; its own name unless set.";
const ATTRIBUTES: &str =
    "What else is said of this program, as name=value,name=value, values percent-encoded.";
const MOST: &str = "Spans that may wait to be sent, 1 to 1000000. More are dropped and counted, so that nothing waits for the receiver.";
const DELAY: &str =
    "How long a span waits for others to be sent with, in milliseconds, 1 to 60000.";

#[cfg(test)]
mod tests {
    use super::Exporting;
    use crate::env::Env;
    use crate::trace::TraceContext;

    const HERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");

    fn read(set: &[(&str, &str)]) -> Result<Option<Exporting>, String> {
        let lookup = |asked: &str| {
            let found = set.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut env = Env::new(&lookup);
        let exporting = Exporting::read(&mut env, "shop");
        env.finish().map_err(|invalid| invalid.to_string())?;
        Ok(exporting)
    }

    #[test]
    fn spans_go_where_a_receiver_is_named_and_nowhere_else() {
        assert!(read(&[]).expect("sound").is_none());
        assert!(
            read(&[("OTEL_SERVICE_NAME", "x")])
                .expect("sound")
                .is_none()
        );
        let named = read(&[HERE]).expect("sound").expect("named");
        assert_eq!(named.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://x.example/in");
        let named = read(&[HERE, own]).expect("sound").expect("named");
        assert_eq!(named.endpoint.as_str(), "https://x.example/in");
    }

    #[test]
    fn the_name_of_a_program_is_its_own_unless_another_is_said() {
        let of = |set: &[(&str, &str)]| {
            let named = read(&[&[HERE], set].concat()).expect("sound");
            let resource = named.expect("named").resource;
            let name = resource.iter().find(|(key, _)| key == "service.name");
            (name.expect("a name").1.clone(), resource.len())
        };
        let attributes = "service.name=box,deployment.environment.name=a%2Cb";
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", attributes);
        assert_eq!(of(&[]), ("shop".to_owned(), 2));
        assert_eq!(of(&[attributes]), ("box".to_owned(), 3));
        let name = ("OTEL_SERVICE_NAME", "till");
        assert_eq!(of(&[attributes, name]), ("till".to_owned(), 3));
    }

    #[test]
    fn every_bad_value_names_its_variable_and_no_header_is_shown() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ] {
            let told = read(&[(name, value)]).err();
            let told = told.unwrap_or_else(|| panic!("{name}={value:?} is accepted"));
            assert!(
                told.starts_with(name) && !told.contains("hunter2"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_sampler_decides_by_itself_or_leaves_it_to_the_caller() {
        for (sampler, of_root, of_called) in [
            ("always_on", true, [true, true]),
            ("always_off", false, [false, false]),
            ("parentbased_always_on", true, [false, true]),
            ("parentbased_always_off", false, [false, true]),
        ] {
            let named = read(&[HERE, ("OTEL_TRACES_SAMPLER", sampler)]);
            let sampling = named.expect("sound").expect("named").sampling;
            assert_eq!(sampling.wants(7, None), of_root, "{sampler}");
            let called = [false, true].map(|flag| sampling.wants(7, Some(flag)));
            assert_eq!(called, of_called, "{sampler}");
        }
    }

    #[test]
    fn of_many_traces_that_begin_here_a_share_is_recorded() {
        let share = [
            HERE,
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        let sampling = read(&share).expect("sound").expect("named").sampling;
        let begun = (0..4_000).map(|_| TraceContext::begin());
        let kept = begun.filter(|it| sampling.wants(it.trace_id, None));
        // More than ten standard deviations to either side.
        let kept = kept.count();
        assert!((700..1_300).contains(&kept), "{kept} of 4000");
    }
}
