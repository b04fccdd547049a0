//! What operators look at names only what the programs show: the catalogue in `docs/METRICS.md`, the
//! dashboards, the alerts, and the files of `docker/`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::Sale;
use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;
use testbed::{Brokers, Profile, checkout as root, files_below};

const PAGE: &str = "docs/METRICS.md";
/// What Prometheus itself says of whatever it reads.
const OWN: [&str; 1] = ["up"];

/// What is said of a metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

type Metrics = BTreeMap<String, Metric>;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

/// The files below a folder that have one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let name = |path: PathBuf| path.strip_prefix(root()).unwrap().display().to_string();
    let all = files_below(&root().join(folder)).unwrap();
    let names = all.into_iter().map(name);
    names
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .collect()
}

fn yaml(path: &str) -> Yaml {
    let mut read: Yaml =
        serde_yaml_ng::from_str(&read(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"));
    read.apply_merge().unwrap();
    read
}

/// What a program shows, as Prometheus reads it.
fn metrics(text: &str) -> Metrics {
    let mut all = Metrics::new();
    for line in text.lines() {
        if let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|it| it.split_once(' '))
        {
            all.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        {
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let metric = all.get_mut(name).map(|_| name).unwrap_or(family(name));
            let metric = all.get_mut(metric).expect("samples follow their type");
            metric.labels.extend(labels(line));
        }
    }
    all
}

/// The metric that a sample of a histogram belongs to.
fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"];
    let stripped = suffixes.iter().find_map(|it| name.strip_suffix(it));
    stripped.unwrap_or(name)
}

/// The names of the labels of a sample; the boundary of a bucket is none of them.
fn labels(sample: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (_, mut rest) = sample.split_once('{').unwrap_or_default();
    while let Some((name, behind)) = rest.split_once("=\"") {
        names.push(name.trim_start_matches(',').to_owned());
        let end = behind.find('"').expect("a value ends");
        rest = &behind[end + 1..];
    }
    names.retain(|name| name != "le");
    names
}

fn table(program: &str, metrics: &Metrics) -> String {
    let mut text =
        format!("## {program}\n\n| metric | type | labels | help |\n|---|---|---|---|\n");
    for (name, metric) in metrics {
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        let (kind, labels, help) = (&metric.kind, labels.join(", "), &metric.help);
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    text
}

/// The names of all metrics of the page.
fn catalogue() -> BTreeSet<String> {
    let page = read(PAGE);
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_what_the_programs_show() {
    let sale = Sale::with(1, 4, Brokers::StandIn).await;
    let forwarder = sale.stack.events.as_ref().unwrap().forwarders[0].url();
    let page = read(PAGE);
    let intro = page.split("## gateway").next().unwrap().trim_end();
    let mut expected = intro.to_owned();
    for (program, url) in [
        ("gateway", sale.stack.gateway_admin_urls()[0].clone()),
        ("booking", sale.stack.booking_admin_url()),
        ("forwarder", forwarder),
    ] {
        let text = sale.client.get(format!("{url}/metrics"));
        let text = text.send().await.unwrap().text().await.unwrap();
        let shown = metrics(&text);
        for (name, metric) in &shown {
            let counts = name.ends_with("_total");
            assert_eq!(counts, metric.kind == "counter", "{name}: {}", metric.kind);
            assert!(!metric.help.is_empty(), "{name} says nothing of itself");
        }
        write!(expected, "\n\n{}", table(program, &shown).trim_end()).unwrap();
    }
    expected.push('\n');
    if page != expected {
        let path = root().join("target/METRICS.md");
        fs::write(&path, &expected).unwrap();
        panic!("{PAGE} is not what the programs show; target/METRICS.md is");
    }
}

/// The names of metrics in a query: what is neither a function, nor a word of the language, nor a label.
fn names(query: &str) -> BTreeSet<String> {
    const WORDS: [&str; 9] = [
        "and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring",
    ];
    let mut bare = String::new();
    let (mut quoted, mut depth) = (false, 0);
    for letter in query.chars() {
        match letter {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            letter if !quoted && depth == 0 => bare.push(letter),
            _ => {}
        }
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut found, mut rest) = (BTreeSet::new(), bare.as_str());
    while let Some(start) = rest.find(is_part) {
        let behind = &rest[start..];
        let end = behind.find(|it| !is_part(it)).unwrap_or(behind.len());
        let (word, after) = behind.split_at(end);
        rest = after;
        let called = after.trim_start().starts_with('(');
        if WORDS[5..].contains(&word) {
            // The labels by which something is grouped.
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
            continue;
        }
        // Also `sum by (…) (…)`.
        let aggregates = after.trim_start().starts_with("by ");
        let is_number = word.starts_with(|it: char| it.is_ascii_digit());
        if !called && !aggregates && !is_number && !WORDS.contains(&word) {
            found.insert(word.to_owned());
        }
    }
    found
}

#[test]
fn the_names_in_a_query_are_found() {
    let query = r#"histogram_quantile(0.99, sum by (le, route) (rate(a_bucket{job="x",b=~"c|{d}"}[1m]))) > 0.5
        and max by (job) (e) / (time() - f offset 5) or sum(g) unless on (h) up == bool 1e3"#;
    let found: Vec<_> = names(query).into_iter().collect();
    assert_eq!(found, ["a_bucket", "e", "f", "g", "up"]);
}

/// Every query with where it stands.
fn queries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for path in files("docker/grafana", &[".json"]) {
        let board: Json =
            serde_json::from_str(&read(&path)).unwrap_or_else(|cause| panic!("{path}: {cause}"));
        for panel in board["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().expect("a title");
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().expect("a query");
                all.push((format!("{path}: {title}"), query.to_owned()));
            }
        }
    }
    for rule in rules() {
        let query = rule["expr"].as_str().expect("a query");
        all.push((format!("alerts: {:?}", rule["alert"]), query.to_owned()));
    }
    all
}

fn rules() -> Vec<Yaml> {
    let alerts = yaml("docker/alerts.yml");
    let groups = alerts["groups"].as_sequence().expect("groups").clone();
    let rules = groups
        .iter()
        .flat_map(|it| it["rules"].as_sequence().expect("rules").clone());
    rules.collect()
}

#[test]
fn every_metric_that_a_panel_or_an_alert_names_is_in_the_catalogue() {
    let catalogue = catalogue();
    let known = |name: &str| {
        OWN.contains(&name) || catalogue.contains(name) || catalogue.contains(family(name))
    };
    let queries = queries();
    assert!(queries.len() > 60, "{} queries", queries.len());
    for (place, query) in queries {
        let names = names(&query);
        assert!(!names.is_empty(), "{place} asks for nothing: {query}");
        for name in names {
            assert!(known(&name), "{place}: there is no {name}");
        }
    }
}

#[test]
fn every_metric_of_ours_is_on_a_dashboard() {
    let used: BTreeSet<_> = queries()
        .iter()
        .flat_map(|(_, query)| names(query))
        .map(|name| family(&name).to_owned())
        .collect();
    // It says which build runs, and has no course.
    let hidden = ["build_info"];
    for name in catalogue() {
        let shown = used.contains(family(&name)) || hidden.contains(&name.as_str());
        assert!(shown, "nobody would ever see {name}");
    }
}

#[test]
fn every_dashboard_has_a_name_of_its_own_and_panels_that_do_not_overlap() {
    let mut uids = BTreeSet::new();
    for path in files("docker/grafana/dashboards", &[".json"]) {
        let board: Json = serde_json::from_str(&read(&path)).expect("JSON");
        let uid = board["uid"].as_str().expect("a uid").to_owned();
        assert!(path.ends_with(&format!("/{uid}.json")) && uids.insert(uid));
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in board["panels"].as_array().expect("panels") {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")));
            let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
            assert!(at("x") + at("w") <= 24, "{path}: {}", panel["title"]);
            for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
                let free = taken.insert((at("x") + x, at("y") + y));
                assert!(free, "{path}: {} covers another", panel["title"]);
            }
            let source = panel["datasource"]["uid"].as_str();
            assert!(panel["type"] == "row" || source == Some("prometheus"));
        }
    }
    assert!(uids.len() >= 3);
    let source = yaml("docker/grafana/provisioning/datasources/prometheus.yml");
    assert_eq!(source["datasources"][0]["uid"].as_str(), Some("prometheus"));
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let rules = rules();
    assert!(rules.len() >= 12);
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let alert = rule["alert"].as_str().expect("a name").to_owned();
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning"].contains(&severity), "{alert}");
        for about in ["summary", "action"] {
            let text = rule["annotations"][about].as_str().unwrap_or_default();
            assert!(text.ends_with('.'), "{alert} has no {about}");
        }
        assert!(alerts.insert(alert));
    }
}

#[test]
fn every_yaml_file_of_docker_can_be_read() {
    let files = files("docker", &[".yml", ".yaml"]);
    assert!(files.len() >= 6);
    for path in files {
        // A file of manifests holds several documents.
        for document in read(&path).split("\n---\n") {
            let document: Yaml = serde_yaml_ng::from_str(document).expect(&path);
            assert!(document.is_mapping(), "{path}");
        }
    }
}

fn services() -> Vec<(String, Yaml)> {
    let compose = yaml("docker/compose.yaml");
    let services = compose["services"].as_mapping().expect("services").clone();
    let name = |name: Yaml| name.as_str().expect("a name").to_owned();
    services
        .into_iter()
        .map(|(it, service)| (name(it), service))
        .collect()
}

#[test]
fn every_container_has_limits_and_is_checked_or_ends_by_itself() {
    let services = services();
    let names: BTreeSet<_> = services.iter().map(|(name, _)| name.as_str()).collect();
    for (name, service) in &services {
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["cpus"].is_string() && limits["memory"].is_string(),
            "{name}"
        );
        let once = service["restart"].as_str() == Some("no");
        assert!(once || service["healthcheck"].is_mapping(), "{name}");
        let needed = service["depends_on"].as_mapping().into_iter().flatten();
        for (needed, how) in needed {
            let needed = needed.as_str().expect("a name");
            assert!(names.contains(needed), "{name} needs {needed}");
            let (_, needed) = services.iter().find(|(it, _)| it == needed).unwrap();
            let once = needed["restart"].as_str() == Some("no");
            let ends = how["condition"].as_str() == Some("service_completed_successfully");
            assert_eq!(ends, once, "{name} waits for what never comes");
        }
    }
}

#[test]
fn prometheus_reads_every_program_where_compose_lets_it_listen() {
    let listens: BTreeSet<_> = services()
        .into_iter()
        .flat_map(|(name, service)| {
            let port = |variable: &str| {
                let address = service["environment"][variable].as_str()?;
                Some(format!("{name}:{}", address.rsplit_once(':')?.1))
            };
            let variables = [
                "GATEWAY_ADMIN_LISTEN",
                "BOOKING_ADMIN_LISTEN",
                "BOOKING_FORWARD_LISTEN",
            ];
            variables.into_iter().filter_map(port).collect::<Vec<_>>()
        })
        .collect();
    let config = yaml("docker/prometheus.yml");
    let jobs = config["scrape_configs"].as_sequence().expect("jobs");
    let read = jobs
        .iter()
        .flat_map(|job| job["static_configs"][0]["targets"].as_sequence().unwrap())
        .map(|target| target.as_str().unwrap().to_owned())
        .filter(|target| !target.starts_with("127.0.0.1"));
    assert_eq!(read.collect::<BTreeSet<_>>(), listens);
}

#[test]
fn compose_and_the_entrypoint_set_only_what_the_programs_read() {
    let mut known = String::new();
    for (program, act) in [
        ("gateway", ""),
        ("booking", "serve"),
        ("booking", "forward"),
        ("booking", "receive"),
        ("booking", ""),
    ] {
        let binary = testbed::binary(program, Profile::Debug).expect("it is built");
        let mut asked = Command::new(binary);
        asked.args((!act.is_empty()).then_some(act)).arg("--help");
        known += std::str::from_utf8(&asked.output().unwrap().stdout).unwrap();
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let known: BTreeSet<_> = known.split(|it| !is_word(it)).collect();
    let manifests = files("docker/kubernetes", &[".yaml"]);
    let compose = "docker/compose.yaml".to_owned();
    for path in manifests.into_iter().chain([compose]) {
        // What a comment says is not set.
        let text = read(&path);
        let text: Vec<_> = text
            .lines()
            .filter(|it| !it.trim_start().starts_with('#'))
            .collect();
        let text = text.join("\n");
        let words = text.split(|it| !is_word(it));
        let ours = words.filter(|it| it.starts_with("BOOKING_") || it.starts_with("GATEWAY_"));
        for word in ours.collect::<BTreeSet<_>>() {
            // A secret may stand in a file.
            let name = word.strip_suffix("_FILE").unwrap_or(word);
            assert!(known.contains(name), "{path}: nothing reads {word}");
        }
    }
}

#[test]
fn every_key_that_a_container_reads_is_one_that_is_made() {
    let entrypoint = read("docker/entrypoint.sh");
    let compose = read("docker/compose.yaml");
    let read: BTreeSet<_> = compose
        .lines()
        .filter_map(|line| line.split_once("_FILE: /run/usher/"))
        .map(|(_, file)| file.trim())
        .collect();
    assert!(read.len() >= 4, "{read:?}");
    for file in read {
        assert!(entrypoint.contains(&format!("keep {file} ")), "{file}");
    }
}

/// A script of `docker/` whose keys stand in `folder`.
fn script(name: &str, folder: &Path) -> PathBuf {
    let folder = folder.to_str().unwrap();
    let text = read(&format!("docker/{name}")).replace("/run/usher", folder);
    let path = Path::new(folder).join(name);
    fs::write(&path, text).unwrap();
    path
}

fn run(script: &Path, words: &[&str]) -> String {
    let output = Command::new("sh").arg(script).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_keys_are_made_once_and_those_that_are_missing_later() {
    let scratch = testbed::Scratch::new().unwrap();
    let entrypoint = script("entrypoint.sh", scratch.path());
    let told = run(&entrypoint, &["keys"]);
    assert!(told.starts_with("operator key: ") && told.len() > 40);
    let key = |name: &str| fs::read_to_string(scratch.path().join(name)).unwrap();
    let (pass, webhook) = (key("pass-key"), key("webhook-secret"));
    assert!(webhook.starts_with("whsec_"), "{webhook}");
    assert_eq!(run(&entrypoint, &["keys"]), told, "made once");
    fs::remove_file(scratch.path().join("webhook-secret")).unwrap();
    run(&entrypoint, &["keys"]);
    assert_eq!(key("pass-key"), pass, "what is there is kept");
    assert_ne!(key("webhook-secret"), webhook, "what is missing is made");
    assert_eq!(run(&entrypoint, &["echo", "else"]), "else\n");
}

#[test]
fn the_demo_concert_is_made_once_through_a_gateway() {
    let scratch = testbed::Scratch::new().unwrap();
    let stack = testbed::Stack::start(testbed::StackOptions::new(scratch.path())).unwrap();
    fs::write(scratch.path().join("operator-key"), stack.operator_key()).unwrap();
    let demo = script("demo.sh", scratch.path());
    let gateway = &stack.gateway_urls()[0];
    let first = run(&demo, &[gateway]);
    assert!(first.starts_with("made the demo concert "), "{first}");
    assert_eq!(run(&demo, &[gateway]), "there is a concert already\n");
}
