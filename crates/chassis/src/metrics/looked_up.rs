//! Owns gauges that are looked up when somebody reads them: they cost nothing until then.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};

struct LookedUp<const N: usize, L> {
    gauges: [IntGauge; N],
    look: L,
}

/// Shows gauges of these names and helps, with what `look` says whenever the metrics are read.
///
/// # Panics
/// When the registry already has one of them: that is a mistake in the program.
pub fn look_up<const N: usize>(
    registry: &Registry,
    gauges: [(&str, &str); N],
    look: impl Fn() -> [i64; N] + Send + Sync + 'static,
) {
    let gauges = gauges.map(|(name, help)| IntGauge::new(name, help).expect("a sound name"));
    registry
        .register(Box::new(LookedUp { gauges, look }))
        .expect("registered once");
}

impl<const N: usize, L: Fn() -> [i64; N] + Send + Sync> Collector for LookedUp<N, L> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (gauge, value) in self.gauges.iter().zip((self.look)()) {
            gauge.set(value);
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}
