//! What the process itself costs, asked of the kernel when the metrics are read.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, GaugeVec, Opts, Registry};

use crate::time::Clock;
use crate::trace;

/// Which build runs, since when, and what it uses.
pub struct ProcessMetrics {
    build: GaugeVec,
    started: Gauge,
    memory: Gauge,
    files: Gauge,
    threads: Gauge,
    cpu: Counter,
}

/// What the kernel says of a process at one instant.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Usage {
    cpu_s: f64,
    memory_bytes: f64,
    threads: f64,
    files: f64,
}

impl ProcessMetrics {
    /// Registers all of them for this process, and what becomes of its spans.
    ///
    /// # Panics
    /// When the registry already has them: that is a mistake in the program.
    pub fn register(registry: &Registry, program: &str, version: &str) {
        let build = GaugeVec::new(
            Opts::new("build_info", "Always 1; which build of which program runs"),
            &["program", "version"],
        );
        let build = build.expect("a sound name");
        build.with_label_values(&[program, version]).set(1.0);
        let started = gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
        );
        started.set(Clock::system().now().timestamp_micros() as f64 / 1e6);
        let all = Self {
            build,
            started,
            memory: gauge(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM",
            ),
            files: gauge("process_open_fds", "Open files and sockets"),
            threads: gauge("process_threads", "Threads"),
            cpu: cpu(0.0),
        };
        registry.register(Box::new(all)).expect("registered once");
        trace::metrics().enrol(registry);
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.started, &self.memory, &self.files, &self.threads];
        let mut all = self.build.desc();
        all.extend(gauges.into_iter().flat_map(Collector::desc));
        all.extend(self.cpu.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Where the kernel says nothing, nothing is what is shown.
        let usage = Usage::read().unwrap_or_default();
        self.memory.set(usage.memory_bytes);
        self.threads.set(usage.threads);
        self.files.set(usage.files);
        let gauges = [&self.started, &self.memory, &self.files, &self.threads];
        let mut all = self.build.collect();
        all.extend(gauges.into_iter().flat_map(Collector::collect));
        all.extend(cpu(usage.cpu_s).collect());
        all
    }
}

impl Usage {
    #[cfg(target_os = "linux")]
    fn read() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        Some(Self {
            cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            memory_bytes: (stat.rss * procfs::page_size()) as f64,
            threads: stat.num_threads as f64,
            files: process.fd_count().ok()? as f64,
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn read() -> Option<Self> {
        None
    }
}

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect("a sound name")
}

fn cpu(seconds: f64) -> Counter {
    let cpu = Counter::new(
        "process_cpu_seconds_total",
        "CPU time of the process, its own and the kernel's for it",
    );
    let cpu = cpu.expect("a sound name");
    cpu.inc_by(seconds);
    cpu
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::ProcessMetrics;

    #[test]
    fn a_process_shows_its_build_and_what_it_uses() {
        let registry = Registry::new();
        ProcessMetrics::register(&registry, "thing", "1.2.3");
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        let text = text.expect("text");
        assert!(text.contains(r#"build_info{program="thing",version="1.2.3"} 1"#));
        let value = |name: &str| {
            let line = text.lines().find_map(|it| it.strip_prefix(name));
            line.and_then(|it| it.trim().parse::<f64>().ok())
        };
        for name in [
            "process_start_time_seconds ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_threads ",
        ] {
            assert!(value(name).is_some_and(|it| it > 0.0), "{name} in {text}");
        }
        assert!(text.contains("# TYPE process_cpu_seconds_total counter"));
    }
}
