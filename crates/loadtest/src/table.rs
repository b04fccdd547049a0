//! Owns what a terminal shows at the end of a run.

use crate::check::Check;
use crate::run::Outcome;
use crate::{Class, Measured};

/// The columns of every table of steps: heading and value.
pub(crate) type Column = (&'static str, fn(&Measured) -> String);

/// What a step is told by.
pub(crate) const COLUMNS: [Column; 10] = [
    ("calls", |it| it.count().to_string()),
    ("yes", |it| it.of(Class::Success).to_string()),
    ("no", |it| it.of(Class::Refusal).to_string()),
    ("errors", |it| it.of(Class::Error).to_string()),
    ("p50 ms", |it| ms(it.percentile_ms(50.0))),
    ("p90 ms", |it| ms(it.percentile_ms(90.0))),
    ("p95 ms", |it| ms(it.percentile_ms(95.0))),
    ("p99 ms", |it| ms(it.percentile_ms(99.0))),
    ("p99.9 ms", |it| ms(it.percentile_ms(99.9))),
    ("max ms", |it| ms(it.max_ms())),
];

fn ms(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

/// Statuses and faults with their counts, the most frequent first.
pub(crate) fn answers(measured: &Measured) -> String {
    let statuses = measured
        .statuses()
        .iter()
        .map(|(status, count)| (*count, status.to_string()));
    let faults = measured
        .faults()
        .iter()
        .map(|(fault, count)| (*count, fault.to_string()));
    let mut all: Vec<_> = statuses
        .chain(faults)
        .filter(|(count, _)| *count > 0)
        .collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let parts: Vec<_> = all
        .into_iter()
        .map(|(count, name)| format!("{count} × {name}"))
        .collect();
    parts.join(", ")
}

/// The steps by name, and all together as the last.
pub(crate) fn rows(outcome: &Outcome) -> Vec<(&'static str, &Measured)> {
    let steps = outcome
        .record
        .steps
        .iter()
        .map(|(step, measured)| (step.name(), measured));
    steps.chain([("all", &outcome.record.all)]).collect()
}

/// Everything, line by line.
pub fn lines(outcome: &Outcome) -> Vec<String> {
    let all = &outcome.record.all;
    let mut lines = vec![
        format!(
            "{}: {}",
            outcome.settings.scenario.name(),
            outcome.settings.line()
        ),
        format!(
            "{:.1} s, {:.0} calls/s",
            all.elapsed().as_secs_f64(),
            all.throughput()
        ),
        String::new(),
    ];
    let mut head = format!("{:<9}", "");
    for (name, _) in COLUMNS {
        head.push_str(&format!("{name:>10}"));
    }
    lines.push(head);
    for (name, measured) in rows(outcome) {
        let mut line = format!("{name:<9}");
        for (_, value) in COLUMNS {
            line.push_str(&format!("{:>10}", value(measured)));
        }
        lines.push(line);
    }
    lines.push(String::new());
    for (name, measured) in rows(outcome) {
        lines.push(format!("{name:<9} {}", answers(measured)));
    }
    lines.push(String::new());
    lines.extend(outcome.notes.iter().cloned());
    lines.extend(
        outcome
            .record
            .errors
            .iter()
            .map(|text| format!("error: {}", text.replace('\n', " "))),
    );
    lines.push(String::new());
    lines.extend(outcome.checks.iter().map(check));
    lines
}

fn check(check: &Check) -> String {
    let Check {
        what,
        wanted,
        found,
        kept,
        ..
    } = check;
    let mark = if *kept { "kept  " } else { "MISSED" };
    format!("{mark}  {what}: {found} (must be {wanted})")
}
