//! Owns what a terminal shows at the end of a run.

use crate::check::Check;
use crate::run::Outcome;
use crate::settings::Settings;
use crate::{Class, Measured};

type Column = (&'static str, fn(&Measured) -> String);

/// What a step is told by.
const COLUMNS: [Column; 10] = [
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
    let digits = if value < 10.0 { 2 } else { 1 };
    format!("{value:.digits$}")
}

/// The scenario and its settings.
pub fn head(settings: &Settings) -> String {
    format!("{}: {}", settings.scenario.name(), settings.line())
}

/// Everything, line by line.
pub fn lines(outcome: &Outcome) -> Vec<String> {
    let record = &outcome.record;
    let (seconds, rate) = (record.all.elapsed().as_secs_f64(), record.all.throughput());
    let steps = record.steps.iter().map(|(step, it)| (step.name(), it));
    let rows: Vec<_> = steps.chain([("all", &record.all)]).collect();
    let cells = |cell: &dyn Fn(&Column) -> String| {
        let cells = COLUMNS.iter().map(|column| format!("{:>10}", cell(column)));
        cells.collect::<String>()
    };
    let mut lines = vec![
        head(&outcome.settings),
        format!("{seconds:.1} s, {rate:.0} calls/s"),
        String::new(),
        format!("{:<9}{}", "", cells(&|(name, _)| (*name).to_owned())),
    ];
    let row = |(name, it): &(&str, &Measured)| format!("{name:<9}{}", cells(&|(_, of)| of(it)));
    lines.extend(rows.iter().map(row));
    lines.push(String::new());
    let answers = |(name, it): &(&str, &Measured)| format!("{name:<9} {}", it.answers(|_| true));
    lines.extend(rows.iter().map(answers));
    lines.push(String::new());
    lines.extend(outcome.notes.iter().cloned());
    let errors = record.errors.iter().map(|text| text.replace('\n', " "));
    lines.extend(errors.map(|text| format!("error: {text}")));
    lines.push(String::new());
    lines.extend(outcome.checks.iter().map(check));
    lines
}

fn check(check: &Check) -> String {
    let mark = if check.kept { "kept  " } else { "MISSED" };
    let (what, found, wanted) = (&check.what, &check.found, &check.wanted);
    format!("{mark}  {what}: {found} (must be {wanted})")
}
