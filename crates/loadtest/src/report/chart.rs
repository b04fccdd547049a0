//! Owns the pictures of a report: lines over time and bars of a histogram, as SVG whose colours the page gives.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
const ROWS: u32 = 4;
/// A long run has more seconds than the picture has points: each point is then the highest of several.
const MOST_POINTS: usize = 300;

/// Figures over the seconds of a run.
pub(super) struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    pub lines: Vec<Line>,
}

/// One of them.
pub(super) struct Line {
    name: &'static str,
    class: &'static str,
    values: Vec<f64>,
}

impl Line {
    pub fn new(name: &'static str, class: &'static str, values: Vec<f64>) -> Self {
        Self {
            name,
            class,
            values,
        }
    }
}

impl Chart {
    pub fn svg(&self) -> String {
        let seconds = self
            .lines
            .iter()
            .map(|line| line.values.len())
            .max()
            .unwrap_or(0);
        let highest = self
            .lines
            .iter()
            .flat_map(|line| &line.values)
            .copied()
            .fold(0.0, f64::max);
        let top = round_up(highest);
        let mut svg = format!(
            "<figure>\n<figcaption>{}<span class=\"legend\">",
            self.title
        );
        for line in &self.lines {
            let _ = write!(svg, "<i class=\"{}\"></i>{} ", line.class, line.name);
        }
        let _ = write!(
            svg,
            "</span></figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            self.title
        );
        for row in 0..=ROWS {
            let value = top * f64::from(row) / f64::from(ROWS);
            let y = y_of(value, top);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 3.5,
                short(value),
                if row == ROWS { self.unit } else { "" },
            );
        }
        for tick in ticks(seconds) {
            let x = x_of(tick, seconds);
            let _ = writeln!(
                svg,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick} s</text>",
                HEIGHT - 8.0
            );
        }
        for line in &self.lines {
            let _ = writeln!(
                svg,
                "<polyline class=\"line {}\" points=\"{}\"/>",
                line.class,
                points(&line.values, top)
            );
        }
        svg.push_str("</svg>\n</figure>\n");
        svg
    }
}

fn points(values: &[f64], top: f64) -> String {
    let each = values.len().div_ceil(MOST_POINTS).max(1);
    let mut points = String::new();
    for (index, part) in values.chunks(each).enumerate() {
        let value = part.iter().copied().fold(0.0, f64::max);
        let _ = write!(
            points,
            "{:.1},{:.1} ",
            x_of(index * each + 1, values.len()),
            y_of(value, top)
        );
    }
    points.trim_end().to_owned()
}

fn x_of(second: usize, seconds: usize) -> f64 {
    // The first second ends at 1; a run of one second has its point in the middle.
    let part = (second as f64 - 1.0) / (seconds as f64 - 1.0).max(1.0);
    LEFT + (WIDTH - LEFT - RIGHT) * part.clamp(0.0, 1.0)
}

fn y_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
}

/// The next round figure that four rows divide well.
fn round_up(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(highest.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0];
    let found = steps
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= highest);
    found.unwrap_or(10.0 * power)
}

/// At most seven seconds to be named, evenly apart.
fn ticks(seconds: usize) -> impl Iterator<Item = usize> {
    const APART: [usize; 14] = [
        1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200,
    ];
    let apart = APART
        .into_iter()
        .find(|apart| seconds / apart <= 7)
        .unwrap_or(14_400);
    (1..=seconds).filter(move |second| second.is_multiple_of(apart))
}

fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        10_000.0.. => format!("{:.0}k", value / 1e3),
        1_000.0.. => format!("{:.1}k", value / 1e3),
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How many answers took how long; the buckets grow by the same factor.
pub(super) struct Bars {
    pub title: &'static str,
    /// Upper end of each bucket in milliseconds, and its count.
    pub counts: Vec<(f64, u64)>,
}

const BARS_WIDTH: f64 = 300.0;
const BARS_HEIGHT: f64 = 110.0;
const BASE: f64 = 90.0;

impl Bars {
    pub fn svg(&self) -> String {
        let most = self
            .counts
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
            .max(1);
        let total: u64 = self.counts.iter().map(|(_, count)| *count).sum();
        let mut svg = format!(
            "<figure>\n<figcaption>{}<span class=\"legend\">{total} calls</span></figcaption>\n\
             <svg viewBox=\"0 0 {BARS_WIDTH} {BARS_HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            self.title, self.title
        );
        let width = BARS_WIDTH / self.counts.len().max(1) as f64;
        let named = (self.counts.len() / 4).max(1);
        for (index, (upper_ms, count)) in self.counts.iter().enumerate() {
            let x = index as f64 * width;
            // Few are seen too: a bar that is not empty is at least a point high.
            let height = if *count == 0 {
                0.0
            } else {
                ((BASE - 6.0) * *count as f64 / most as f64).max(1.0)
            };
            let _ = writeln!(
                svg,
                "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
                 <title>up to {} ms: {count}</title></rect>",
                x + 0.5,
                BASE - height,
                (width - 1.0).max(0.5),
                short(*upper_ms)
            );
            if index % named == named / 2 {
                let _ = writeln!(
                    svg,
                    "<text class=\"tick\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{} ms</text>",
                    x + width / 2.0,
                    BARS_HEIGHT - 6.0,
                    short(*upper_ms)
                );
            }
        }
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"0\" x2=\"{BARS_WIDTH}\" y1=\"{BASE}\" y2=\"{BASE}\"/>\n</svg>\n</figure>\n"
        );
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_round_and_never_below_the_highest() {
        for (highest, top) in [
            (0.0, 1.0),
            (0.7, 0.8),
            (1.0, 1.0),
            (17.0, 20.0),
            (101.0, 120.0),
            (9_999.0, 10_000.0),
        ] {
            assert!(
                (round_up(highest) - top).abs() < 1e-9,
                "{highest}: {}",
                round_up(highest)
            );
        }
    }

    #[test]
    fn a_long_run_keeps_its_highest_points() {
        let mut values = vec![1.0; 3_000];
        values[1_234] = 8.0;
        let points = points(&values, 8.0);
        assert_eq!(points.split(' ').count(), MOST_POINTS);
        assert!(points.contains(&format!(",{TOP:.1}")), "{points}");
    }

    #[test]
    fn few_seconds_are_named() {
        for seconds in [0, 1, 7, 8, 59, 600, 100_000] {
            assert!(ticks(seconds).count() <= 8, "{seconds}");
        }
        assert_eq!(ticks(30).collect::<Vec<_>>(), [5, 10, 15, 20, 25, 30]);
    }
}
