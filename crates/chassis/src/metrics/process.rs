//! What the process itself costs, asked of the kernel when the metrics are read.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, GaugeVec, Opts, Registry};

use crate::time::Clock;

/// In which `/proc` counts CPU time, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

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
}

impl ProcessMetrics {
    /// Registers all of them for this process.
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
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // Where there is no such file nothing is known, and nothing is what is shown.
        let usage = Usage::read(&stat, &status).unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.memory.set(usage.memory_bytes);
        self.threads.set(usage.threads);
        self.files.set(files as f64);
        let gauges = [&self.started, &self.memory, &self.files, &self.threads];
        let mut all = self.build.collect();
        all.extend(gauges.into_iter().flat_map(Collector::collect));
        all.extend(cpu(usage.cpu_s).collect());
        all
    }
}

impl Usage {
    /// From `/proc/self/stat` and `/proc/self/status`, as proc(5) describes them.
    fn read(stat: &str, status: &str) -> Option<Self> {
        // The name may hold anything, so fields are counted from its closing bracket: the third is next.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident_kib: f64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(Self {
            cpu_s: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            memory_bytes: resident_kib * 1024.0,
            threads: field(20)?,
        })
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

    use super::{ProcessMetrics, Usage};

    #[test]
    fn the_fields_are_found_also_behind_an_odd_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 5000 1000 20";
        let status = "Name:\ta\nVmPeak:\t  9000 kB\nVmRSS:\t     2048 kB\nThreads:\t9\n";
        let usage = Usage::read(stat, status).expect("complete");
        let expected = Usage {
            cpu_s: 3.0,
            memory_bytes: 2_097_152.0,
            threads: 9.0,
        };
        assert_eq!(usage, expected);
        assert_eq!(Usage::read("", status), None);
        assert_eq!(Usage::read(stat, ""), None);
    }

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
