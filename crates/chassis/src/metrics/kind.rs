//! The kinds of metrics that a catalogue may hold, and how each is made.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// What a catalogue makes. The names are constants of the program, so a bad one is a mistake in it.
pub trait Kind: Collector + Clone + 'static {
    /// A metric with the values of its label that are known beforehand.
    ///
    /// # Panics
    /// When the name or a label is not sound.
    fn of(name: &str, help: &str, label: Option<(&str, &[&str])>, buckets: &[f64]) -> Self;
}

macro_rules! plain {
    ($($kind:ident),+) => {$(
        impl Kind for $kind {
            fn of(name: &str, help: &str, _: Option<(&str, &[&str])>, _: &[f64]) -> Self {
                Self::new(name, help).expect("a sound name")
            }
        }
    )+};
}

macro_rules! labelled {
    ($($kind:ident),+) => {$(
        impl Kind for $kind {
            fn of(name: &str, help: &str, label: Option<(&str, &[&str])>, _: &[f64]) -> Self {
                let (label, values) = label.expect("a label");
                let all = Self::new(Opts::new(name, help), &[label]).expect("a sound name");
                for value in values {
                    all.with_label_values(&[value]);
                }
                all
            }
        }
    )+};
}

plain!(IntCounter, IntGauge);
labelled!(IntCounterVec, IntGaugeVec);

impl Kind for Histogram {
    fn of(name: &str, help: &str, _: Option<(&str, &[&str])>, buckets: &[f64]) -> Self {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        Self::with_opts(options).expect("a sound name")
    }
}

impl Kind for HistogramVec {
    fn of(name: &str, help: &str, label: Option<(&str, &[&str])>, buckets: &[f64]) -> Self {
        let (label, values) = label.expect("a label");
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let all = Self::new(options, &[label]).expect("a sound name");
        for value in values {
            all.with_label_values(&[value]);
        }
        all
    }
}
