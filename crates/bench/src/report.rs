//! Owns what a benchmark says: rows with figures, a limit and goals, as a table and as JSON.
//!
//! A figure is the median of several rounds, with the least and the most. A missed goal is told and is no failure:
//! the reader of the table decides. It measures nothing.

mod spread;

use loadtest::Measured;
use serde::Serialize;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::Style;

pub use spread::{Spread, count, ratios};

/// A figure that was to be reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// The bound in words, such as `≥ 70 %`.
    pub words: String,
    /// Whether it was.
    pub met: bool,
}

/// What was measured of one thing.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The name of the benchmark; [`Bench::run`](crate::bench::Bench::run) fills it in.
    pub bench: &'static str,
    /// What, in a few words.
    pub what: String,
    /// The figure.
    pub measured: Spread,
    /// Of the figure and of the limit.
    pub unit: &'static str,
    /// The same of the limit, if there is one.
    pub limit: Option<Spread>,
    /// Measured by limit, round by round.
    pub ratio: Option<Spread>,
    /// Milliseconds; the median over rounds.
    pub p50_ms: Option<f64>,
    /// Milliseconds; the median over rounds.
    pub p95_ms: Option<f64>,
    /// Milliseconds; the median over rounds.
    pub p99_ms: Option<f64>,
    /// Answers that were not what they should be, over all rounds.
    pub errors: u64,
    /// What was to be reached.
    pub goals: Vec<Goal>,
    /// What one must know to read the figure.
    pub notes: Vec<String>,
}

impl Row {
    /// What several rounds gave.
    pub fn of(what: impl Into<String>, rounds: &[f64], unit: &'static str) -> Self {
        Self {
            what: what.into(),
            measured: Spread::of(rounds),
            unit,
            ..Self::default()
        }
    }

    /// With a limit, and the share of it round by round.
    #[must_use]
    pub fn against(mut self, rounds: &[f64], limits: &[f64]) -> Self {
        self.ratio = Some(ratios(rounds, limits));
        self.limit = Some(Spread::of(limits));
        self
    }

    /// With how long answers took: the median over rounds.
    #[must_use]
    pub fn latencies(mut self, rounds: &[Measured]) -> Self {
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|it| Some(percentile_ms(rounds, it)));
        (self.p50_ms, self.p95_ms, self.p99_ms) = (p50, p95, p99);
        self
    }

    /// With the goal that so many of a hundred answers take less than this.
    #[must_use]
    pub fn faster(self, percent: u8, most_ms: f64) -> Self {
        let found = match percent {
            95 => self.p95_ms,
            _ => self.p99_ms,
        };
        let is_met = found.is_some_and(|found| found < most_ms);
        self.goal(format!("p{percent} < {most_ms} ms"), is_met)
    }

    /// With the goal that the figure is less than this.
    #[must_use]
    pub fn below(self, most: f64) -> Self {
        let unit = self.unit.split(' ').next().unwrap_or_default();
        let is_met = self.measured.median < most;
        self.goal(format!("< {most} {unit}"), is_met)
    }

    /// With the goal of at least this share of the limit, in percent.
    #[must_use]
    pub fn share_of_limit(self, percent: f64) -> Self {
        let is_met = self.times_limit() * 100.0 >= percent;
        self.goal(format!("≥ {percent} %"), is_met)
    }

    /// With another goal.
    #[must_use]
    pub fn goal(mut self, words: impl Into<String>, met: bool) -> Self {
        let words = words.into();
        self.goals.push(Goal { words, met });
        self
    }

    /// How many times the limit it is; 0 without one.
    pub fn times_limit(&self) -> f64 {
        self.ratio.unwrap_or_default().median
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, words: impl Into<String>) -> Self {
        self.notes.push(words.into());
        self
    }

    fn cells(&self) -> [String; 9] {
        let ms = |figure: Option<f64>| figure.map_or(String::new(), |it| format!("{it:.2}"));
        let goals: Vec<_> = self.goals.iter().map(|goal| goal.words.as_str()).collect();
        let met: Vec<_> = self.goals.iter().map(|goal| yes(goal.met)).collect();
        let limit = |limit: &Spread| limit.text(self.unit);
        [
            format!("{}: {}", self.bench, self.what),
            self.measured.text(self.unit),
            self.limit.as_ref().map_or(String::new(), limit),
            self.ratio.as_ref().map_or(String::new(), Spread::percent),
            ms(self.p50_ms),
            ms(self.p95_ms),
            ms(self.p99_ms),
            goals.join(", "),
            met.join(", "),
        ]
    }
}

/// A percentile of each round.
pub fn percentiles_ms(rounds: &[Measured], percent: f64) -> Vec<f64> {
    rounds.iter().map(|it| it.percentile_ms(percent)).collect()
}

/// A percentile: the median of those of the rounds.
pub fn percentile_ms(rounds: &[Measured], percent: f64) -> f64 {
    Spread::of(&percentiles_ms(rounds, percent)).median
}

fn yes(met: bool) -> &'static str {
    if met { "yes" } else { "no" }
}

const HEAD: [&str; 9] = [
    "what", "measured", "limit", "ratio", "p50 ms", "p95 ms", "p99 ms", "goal", "met?",
];

/// The rows as a Markdown table, and the remarks below it. A row with errors says so.
pub fn table(rows: &[Row]) -> String {
    let mut table = Builder::new();
    table.push_record(HEAD);
    rows.iter().for_each(|row| table.push_record(row.cells()));
    let mut text = format!("{}\n", table.build().with(Style::markdown()));
    for row in rows {
        let name = format!("{}, {}", row.bench, row.what);
        if row.errors > 0 {
            text += &format!("\n* {name}: {} answers were wrong or missing", row.errors);
        }
        for note in &row.notes {
            text += &format!("\n* {name}: {note}");
        }
    }
    text
}

/// All of it for programs.
pub fn json(machine: &[(&'static str, String)], rows: &[Row]) -> Value {
    let machine = machine.iter().map(|(name, value)| (*name, value.as_str()));
    json!({
        "machine": machine.collect::<Value>(),
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::{Row, table};

    fn row() -> Row {
        let (rounds, limits) = ([900.0, 1_000.0, 1_200.0], [1_125.0, 2_000.0, 1_600.0]);
        let row = Row {
            p99_ms: Some(6.0),
            ..Row::of("1 k waiting", &rounds, "/s").against(&rounds, &limits)
        };
        row.share_of_limit(70.0).faster(99, 6.0)
    }

    #[test]
    fn a_table_has_a_line_for_each_row_and_says_whether_goals_are_met() {
        let text = table(&[row().note("a remark")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("| what"), "{text}");
        assert!(lines[2].contains("| 1,000 /s (900–1,200)"), "{text}");
        assert!(lines[2].contains("| 75 % (50–80) |"), "{text}");
        assert!(
            lines[2].contains("| ≥ 70 %, p99 < 6 ms | yes, no |"),
            "{text}"
        );
        assert!(lines[4].ends_with("1 k waiting: a remark"), "{text}");
    }

    #[test]
    fn errors_are_told() {
        let text = table(&[Row { errors: 3, ..row() }]);
        assert!(text.contains("3 answers were wrong"), "{text}");
        assert!(!table(&[row()]).contains("wrong"));
    }

    #[test]
    fn a_goal_is_met_at_its_bound_and_not_short_of_it() {
        let row = |figure| Row::of("", &[figure], "% of a core").against(&[figure], &[10.0]);
        assert!(row(7.0).share_of_limit(70.0).goals[0].met);
        assert!(!row(6.99).share_of_limit(70.0).goals[0].met);
        assert!(row(5.9).below(6.0).goals[0].met);
        assert_eq!(row(5.9).below(6.0).goals[0].words, "< 6 %");
    }
}
