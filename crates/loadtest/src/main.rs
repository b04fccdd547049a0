//! The command `loadtest SCENARIO`: environment and command line in, table, report and exit code out.
//!
//! Exit codes: 0 everything held, 1 an objective was missed or the run could not be made, 64 not understood.

use std::env;
use std::fs;
use std::io;
use std::process::ExitCode;

use chrono::Utc;
use loadtest::settings::{self, Run};
use loadtest::{Outcome, Progress, Target, machine, report, say, table};

/// A crowd of some thousands, each with a connection of their own.
const FILES: usize = 16_384;

fn main() -> ExitCode {
    let run = match loadtest::understood(settings::parse(env::args_os())) {
        Ok(run) => run,
        Err(code) => return code,
    };
    if run.check {
        say(&table::head(&run.settings));
        return ExitCode::SUCCESS;
    }
    match act(&run) {
        Ok(outcome) if outcome.kept() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(words) => {
            eprintln!("error: {words}");
            ExitCode::FAILURE
        }
    }
}

fn act(run: &Run) -> Result<Outcome, String> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let urls = variable("USHER_URLS")?;
    let key = variable("USHER_OPERATOR_KEY")?;
    let gateways: Result<Vec<_>, _> = urls.split(',').map(Target::parse).collect();
    let gateways = gateways.map_err(|error| format!("{error}; USHER_URLS is {urls}"))?;
    let files = machine::raise_open_files();
    if files < FILES {
        eprintln!(
            "only {files} files may be open: `sudo prlimit --pid $$ --nofile=65536` lets a larger crowd come"
        );
    }
    // Before the run: a commit that is made meanwhile is not what was measured.
    let machine = machine::facts();
    let outcome = loadtest::run(&run.settings, gateways, &key, Progress::Stderr)?;
    say(&table::lines(&outcome).join("\n"));
    write(run, &outcome, &machine)
        .map_err(|error| format!("the report could not be written: {error}"))?;
    Ok(outcome)
}

fn write(run: &Run, outcome: &Outcome, machine: &[(&'static str, String)]) -> io::Result<()> {
    let (now, scenario) = (Utc::now(), outcome.settings.scenario.name());
    fs::create_dir_all(&run.report)?;
    let name = format!("{scenario}-{}.html", now.format("%Y-%m-%dT%H-%M-%S"));
    let path = run.report.join(name);
    let when = now.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let told = report::json(outcome, machine, &when);
    fs::write(&path, report::page(&told))?;
    say(&format!("\nreport  {}", path.display()));
    if let Some(path) = &run.json {
        fs::write(path, format!("{told:#}\n"))?;
        say(&format!("figures {}", path.display()));
    }
    Ok(())
}
