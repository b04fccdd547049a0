//! `pow`: how many proofs of work a visitor's browser tries in a second: the page's own code, in a worker, in headless
//! Chromium.

use anyhow::{Context as _, Result, ensure};
use loadtest::{Request, Target};
use serde_json::{Value, json};
use testbed::{BrowserDriver, BrowserKind};

use crate::fixture::{Caller, Fixture};
use crate::report::Row;

/// What a desktop computer is to reach.
const GOAL: f64 = 300_000.0;
const ARGUMENTS: [&str; 3] = ["--headless=new", "--no-sandbox", "--disable-gpu"];
/// Solves challenges and tells tries and milliseconds.
const SCRIPT: &str = "
const [challenges, round, bits, done] = arguments;
(async () => {
  const { solve } = await import('/usher/latest/usher.js');
  const began = performance.now();
  let tries = 0;
  for (let n = 0; n < challenges; n += 1) {
    tries += Number(await solve({ challenge: `bench-${round}-${n}`, bits })) + 1;
  }
  done([tries, performance.now() - began]);
})().catch((cause) => done(String(cause)));";

/// Some rounds of some challenges.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let driver = BrowserDriver::start(BrowserKind::Chromium, fixture.folder())?;
    let mut browser = Caller::of(Target::parse(&driver.url())?)?;
    let wanted = json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome", "goog:chromeOptions": { "args": ARGUMENTS },
    } } });
    let session = ask(&mut browser, "/session", &wanted)?["sessionId"].clone();
    let session = format!("/session/{}", session.as_str().context("a session")?);
    let page = format!("{}/usher/latest/usher.js", fixture.stack.gateway_urls()[0]);
    let shown = json!({ "url": page });
    ask(&mut browser, &format!("{session}/url"), &shown)?;
    let is_small = fixture.plan.many < 1_000_000;
    let (challenges, bits) = if is_small { (1, 8) } else { (4, 17) };
    let mut rates = Vec::new();
    for round in 0..fixture.plan.rounds {
        let script = json!({ "script": SCRIPT, "args": [challenges, round, bits] });
        let told = ask(&mut browser, &format!("{session}/execute/async"), &script)?;
        let tries = told[0].as_f64().with_context(|| told.to_string())?;
        rates.push(tries * 1_000.0 / told[1].as_f64().unwrap_or(f64::INFINITY));
    }
    let what = "SHA-256 tried by the page's worker in Chromium";
    let row = Row::of(what, &rates, "/s");
    let is_met = row.measured.median >= GOAL;
    Ok(vec![row.goal("≥ 300,000 /s", is_met)])
}

fn ask(browser: &mut Caller, path: &str, body: &Value) -> Result<Value> {
    let answer = browser.send(Request::post(path, body))?;
    let (status, body) = (answer.status, answer.json());
    ensure!(status == 200, "the browser says {body}");
    Ok(body["value"].clone())
}
