//! Owns the HTML report: one file that needs no other. It holds the run as JSON, and draws itself from it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::run::Outcome;

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");

/// Everything that is known of a run; `machine` as [`crate::machine::facts`] tells it.
pub fn json(outcome: &Outcome, machine: &[(&'static str, String)], when: &str) -> Value {
    let machine: BTreeMap<_, _> = machine.iter().cloned().collect();
    let mut run = outcome.to_json();
    run["about"] = outcome.settings.scenario.about().into();
    run["machine"] = json!(machine);
    run["when"] = when.into();
    run
}

/// The whole page.
pub fn page(run: &Value) -> String {
    // No text of a run can end the element that it stands in.
    let run = run.to_string().replace('<', "\\u003c");
    // The run last: it may hold anything.
    let page = PAGE.replace("%STYLE%", STYLE).replace("%SCRIPT%", SCRIPT);
    page.replace("%RUN%", &run)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::{Check, Kind};
    use crate::{Fault, Measured, Record, Scenario, Second, Size, Step};

    fn outcome() -> Outcome {
        let mut join = Measured::default();
        join.record(Ok(201), Duration::from_millis(3));
        join.record(Err(Fault::Timeout), Duration::from_secs(2));
        Outcome {
            settings: Scenario::Story.defaults(Size::Small),
            record: Record {
                steps: [(Step::Join, join.clone())].into(),
                all: join,
                seconds: vec![Second::default(); 3],
                errors: vec!["</script><script>alert('\"&')</script>".to_owned()],
            },
            checks: vec![Check::at_most(Kind::Fast, "a < b", 1, 2)],
            notes: vec!["note & more".to_owned()],
        }
    }

    #[test]
    fn the_page_holds_the_run_and_no_text_of_it_becomes_a_program() {
        let machine = [("processor", "A<B>".to_owned())];
        let run = json(&outcome(), &machine, "2026-05-01");
        let page = page(&run);
        let (_, rest) = page.split_once("id=\"run\">").expect("the run");
        let (held, _) = rest.split_once("</script>").expect("its end");
        assert_eq!(serde_json::from_str::<Value>(held).ok(), Some(run));
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, 2, "the run and what draws it");
        for mark in ["%RUN%", "%STYLE%", "%SCRIPT%"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }

    #[test]
    fn the_page_fetches_nothing() {
        let page = page(&json(&outcome(), &[], "2026-05-01"));
        for word in ["src=", "href=", "@import", "fetch(", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn what_the_script_reads_is_what_a_run_tells() {
        let run = json(&outcome(), &[], "2026-05-01");
        let join = &run["figures"]["steps"]["join"];
        assert_eq!(join["faults"]["timeout"], 1);
        assert_eq!(join["histogram"].as_array().map(Vec::is_empty), Some(false));
        for name in ["p50", "p90", "p95", "p99", "p999", "max", "mean"] {
            assert!(join["latencyMs"][name].is_number(), "{name}");
        }
        let second = &run["figures"]["seconds"][0];
        for name in [
            "success", "refusal", "error", "p50Ms", "p95Ms", "p99Ms", "visitors",
        ] {
            assert!(second[name].is_number(), "{name}");
        }
        for name in ["scenario", "about", "when"] {
            assert!(run[name].is_string(), "{name}");
        }
    }
}
