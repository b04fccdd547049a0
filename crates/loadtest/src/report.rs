//! Owns the HTML report: one file that needs no other, for light and dark screens.

use std::fmt::Write as _;

use crate::check::Check;
use crate::run::Outcome;
use crate::table::{self, COLUMNS};
use crate::{Class, Measured, Second};

mod chart;

use chart::{Bars, Chart, Line};

const STYLE: &str = include_str!("report/page.css");

/// The whole page.
pub fn page(outcome: &Outcome, machine: &[(&'static str, String)], when: &str) -> String {
    let scenario = outcome.settings.scenario;
    let name = scenario.name();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name} · {}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(when)
    );
    let verdict = if outcome.kept() {
        ("kept", "Everything held")
    } else {
        ("missed", "An objective was missed")
    };
    let _ = write!(
        page,
        "<header>\n<h1>{name}</h1>\n<p>{}</p>\n<p class=\"verdict {}\">{}</p>\n</header>\n",
        escape(scenario.about()),
        verdict.0,
        verdict.1
    );
    tiles(&mut page, &outcome.record.all);
    checks(&mut page, outcome);
    charts(&mut page, &outcome.record.seconds);
    steps(&mut page, outcome);
    latencies(&mut page, outcome);
    words(&mut page, outcome);
    page.push_str("<section class=\"facts\">\n");
    let settings = outcome.settings.shown();
    facts(&mut page, "Settings", &settings);
    let mut machine = machine.to_vec();
    machine.push(("run", when.to_owned()));
    facts(&mut page, "Machine", &machine);
    page.push_str("</section>\n</main>\n</body>\n</html>\n");
    page
}

/// Text as it stands in HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn tiles(page: &mut String, all: &Measured) {
    let part = |class| {
        let share = 100.0 * all.of(class) as f64 / all.count().max(1) as f64;
        format!("{share:.1} % of all")
    };
    let tiles = [
        (
            "Calls",
            all.count().to_string(),
            format!("{:.0} per second", all.throughput()),
            "",
        ),
        (
            "Yes",
            all.of(Class::Success).to_string(),
            part(Class::Success),
            "yes",
        ),
        (
            "No",
            all.of(Class::Refusal).to_string(),
            part(Class::Refusal),
            "no",
        ),
        (
            "Errors",
            all.of(Class::Error).to_string(),
            part(Class::Error),
            if all.of(Class::Error) > 0 {
                "error"
            } else {
                ""
            },
        ),
        (
            "Median",
            format!("{:.1} ms", all.percentile_ms(50.0)),
            format!("mean {:.1} ms", all.mean_ms()),
            "",
        ),
        (
            "p99",
            format!("{:.1} ms", all.percentile_ms(99.0)),
            format!("max {:.1} ms", all.max_ms()),
            "",
        ),
    ];
    page.push_str("<section class=\"tiles\">\n");
    for (name, value, more, class) in tiles {
        let _ = writeln!(
            page,
            "<div class=\"tile {class}\"><span>{name}</span><strong>{value}</strong><small>{more}</small></div>"
        );
    }
    page.push_str("</section>\n");
}

fn checks(page: &mut String, outcome: &Outcome) {
    page.push_str("<section>\n<h2>What must hold</h2>\n<table>\n<thead><tr><th></th><th>What</th><th class=\"figure\">Found</th><th class=\"figure\">Must be</th></tr></thead>\n<tbody>\n");
    for Check {
        what,
        wanted,
        found,
        kept,
        ..
    } in &outcome.checks
    {
        let (class, mark) = if *kept {
            ("kept", "✓ kept")
        } else {
            ("missed", "✗ missed")
        };
        let (what, found, wanted) = (escape(what), escape(found), escape(wanted));
        let _ = writeln!(
            page,
            "<tr><td class=\"{class}\">{mark}</td><td>{what}</td><td class=\"figure\">{found}</td><td class=\"figure\">{wanted}</td></tr>"
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn charts(page: &mut String, seconds: &[Second]) {
    let of = |class: Class| {
        seconds
            .iter()
            .map(|it| it.counts[class as usize] as f64)
            .collect()
    };
    let calls = Chart {
        title: "Calls per second",
        unit: "/s",
        lines: vec![
            Line::new("yes", "yes", of(Class::Success)),
            Line::new("no", "no", of(Class::Refusal)),
            Line::new("errors", "error", of(Class::Error)),
        ],
    };
    let second_by_second = |value: fn(&Second) -> f64| seconds.iter().map(value).collect();
    let latency = Chart {
        title: "Latency by second",
        unit: " ms",
        lines: vec![
            Line::new("p50", "a", second_by_second(|it| it.p50_ms)),
            Line::new("p95", "b", second_by_second(|it| it.p95_ms)),
            Line::new("p99", "c", second_by_second(|it| it.p99_ms)),
        ],
    };
    page.push_str("<section class=\"charts\">\n");
    page.push_str(&calls.svg());
    page.push_str(&latency.svg());
    if seconds.iter().any(|it| it.visitors > 0) {
        let visitors = Chart {
            title: "Visitors on their way",
            unit: "",
            lines: vec![Line::new(
                "visitors",
                "a",
                second_by_second(|it| it.visitors as f64),
            )],
        };
        page.push_str(&visitors.svg());
    }
    page.push_str("</section>\n");
}

fn steps(page: &mut String, outcome: &Outcome) {
    page.push_str(
        "<section>\n<h2>Steps</h2>\n<div class=\"wide\">\n<table>\n<thead><tr><th>Step</th>",
    );
    for (name, _) in COLUMNS {
        let _ = write!(page, "<th class=\"figure\">{name}</th>");
    }
    page.push_str("<th>Answers</th></tr></thead>\n<tbody>\n");
    for (name, measured) in table::rows(outcome) {
        let _ = write!(page, "<tr class=\"{name}\"><td>{name}</td>");
        for (_, value) in COLUMNS {
            let _ = write!(page, "<td class=\"figure\">{}</td>", value(measured));
        }
        let _ = writeln!(page, "<td>{}</td></tr>", escape(&table::answers(measured)));
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn latencies(page: &mut String, outcome: &Outcome) {
    page.push_str("<section>\n<h2>How long answers took</h2>\n<div class=\"histograms\">\n");
    for (step, measured) in &outcome.record.steps {
        let bars = Bars {
            title: step.name(),
            counts: measured.counts_by_latency(),
        };
        page.push_str(&bars.svg());
    }
    page.push_str("</div>\n</section>\n");
}

fn words(page: &mut String, outcome: &Outcome) {
    let sections = [
        ("Notes", &outcome.notes),
        ("First errors", &outcome.record.errors),
    ];
    for (title, lines) in sections.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let _ = writeln!(page, "<section>\n<h2>{title}</h2>\n<ul>");
        for line in lines {
            let _ = writeln!(page, "<li>{}</li>", escape(line));
        }
        page.push_str("</ul>\n</section>\n");
    }
}

fn facts(page: &mut String, title: &str, facts: &[(&'static str, String)]) {
    let _ = writeln!(page, "<div>\n<h2>{title}</h2>\n<dl>");
    for (name, value) in facts {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    page.push_str("</dl>\n</div>\n");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Kind;
    use crate::{Fault, Record, Scenario, Step};

    fn outcome() -> Outcome {
        let mut join = Measured::default();
        join.record(Ok(201), Duration::from_millis(3));
        join.record(Err(Fault::Timeout), Duration::from_secs(2));
        let second = Second {
            counts: [1, 0, 1],
            p50_ms: 3.0,
            p95_ms: 2_000.0,
            p99_ms: 2_000.0,
            visitors: 2,
        };
        Outcome {
            settings: Scenario::Story.defaults(),
            record: Record {
                steps: vec![(Step::Join, join.clone())],
                all: join,
                seconds: vec![second; 3],
                errors: vec!["<script>alert('\"&')</script>".to_owned()],
            },
            checks: vec![Check {
                kind: Kind::Fast,
                what: "a < b".to_owned(),
                wanted: "≤ 1".to_owned(),
                found: "2".to_owned(),
                kept: false,
            }],
            notes: vec!["note & more".to_owned()],
        }
    }

    /// Every element that is opened is closed in order.
    fn check_nesting(page: &str) {
        const EMPTY: [&str; 2] = ["meta", "!doctype"];
        let mut open: Vec<&str> = Vec::new();
        let mut rest = page;
        while let Some((_, after)) = rest.split_once('<') {
            let (tag, after) = after
                .split_once('>')
                .unwrap_or_else(|| panic!("an open end: {after}"));
            rest = after;
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap_or_default();
            match tag.strip_prefix('/') {
                Some(_) => assert_eq!(open.pop(), Some(name), "</{name}>"),
                None if tag.ends_with('/') || EMPTY.contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0], "never closed");
    }

    #[test]
    fn the_page_is_well_formed_and_shows_texts_as_texts() {
        let page = page(
            &outcome(),
            &[("processor", "A<B>".to_owned())],
            "2026-05-01",
        );
        check_nesting(&page);
        assert!(
            page.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script"), "no text becomes a program");
        assert!(
            page.contains("a &lt; b")
                && page.contains("A&lt;B&gt;")
                && page.contains("note &amp; more")
        );
        assert!(page.contains("An objective was missed"));
        assert!(!page.contains("http"), "nothing is fetched from elsewhere");
    }

    #[test]
    fn a_run_without_figures_is_a_page_too() {
        let empty = Outcome {
            record: Record::default(),
            checks: Vec::new(),
            notes: Vec::new(),
            ..outcome()
        };
        let page = page(&empty, &[], "2026-05-01");
        check_nesting(&page);
        assert!(
            page.contains("Everything held") && !page.contains("NaN"),
            "{page}"
        );
    }
}
