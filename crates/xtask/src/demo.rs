//! The demo concert: two dates of 50 seats, made once through the gateway's operator routes.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use testbed::Stack;

use crate::failure::Failure;

const DAY_S: u64 = 24 * 60 * 60;
/// Both dates are at this hour, UTC.
const HOUR: u64 = 10;
const FIRST_DAYS: u64 = 8;
const SECOND_DAYS: u64 = 14;
const TIMEOUT_S: u64 = 30;

/// What the printed lines need to know of it.
pub struct Demo {
    pub concert: String,
    /// The first date.
    pub schedule: String,
    /// When that date is, in seconds of unix time.
    starts_at_s: u64,
}

/// Finds the demo concert that the folder remembers, or makes one. A date that is nearly here is no use.
pub fn ensure(folder: &Path, stack: &Stack, fresh: bool) -> Result<Demo, Failure> {
    let gateway = stack.gateways[0].url();
    let (memory, now_s) = (folder.join("demo"), now_s());
    let remembered = fs::read_to_string(&memory)
        .ok()
        .filter(|_| !fresh)
        .and_then(|text| parse(&text));
    if let Some(demo) = remembered.filter(|demo| demo.starts_at_s > now_s + DAY_S) {
        let answer = send(minreq::get(format!(
            "{gateway}/api/v1/concerts/{}",
            demo.concert
        )))?;
        if answer.status_code == 200 {
            return Ok(demo);
        }
    }
    let concerts = format!("{gateway}/api/v1/admin/concerts");
    let key = stack.operator_key();
    let body = r#"{"title":"Usher demo concert","venue":"Olympic Hall, Seoul","queue":"main"}"#;
    let concert = create(&concerts, key, body)?;
    let schedules = format!("{concerts}/{concert}/schedules");
    let today_s = now_s - now_s % DAY_S;
    let [first_s, second_s] =
        [FIRST_DAYS, SECOND_DAYS].map(|days| today_s + days * DAY_S + HOUR * 60 * 60);
    let schedule = create(
        &schedules,
        key,
        &format!(r#"{{"startsAt":"{}"}}"#, rfc3339(first_s)),
    )?;
    create(
        &schedules,
        key,
        &format!(r#"{{"startsAt":"{}"}}"#, rfc3339(second_s)),
    )?;
    fs::write(memory, format!("{concert} {schedule} {first_s}\n"))?;
    Ok(Demo {
        concert,
        schedule,
        starts_at_s: first_s,
    })
}

fn parse(text: &str) -> Option<Demo> {
    let mut words = text.split_whitespace().map(str::to_owned);
    Some(Demo {
        concert: words.next()?,
        schedule: words.next()?,
        starts_at_s: words.next()?.parse().ok()?,
    })
}

/// Posts as the operator and returns the id of what was made.
fn create(url: &str, key: &str, body: &str) -> Result<String, Failure> {
    let request = minreq::post(url)
        .with_header("Authorization", format!("Bearer {key}"))
        .with_header("Content-Type", "application/json")
        .with_body(body);
    let answer = send(request)?;
    let text = answer.as_str().unwrap_or_default();
    match id(text) {
        Some(id) if answer.status_code == 201 => Ok(id.to_owned()),
        _ => Err(Failure::Failed(format!(
            "the demo concert could not be made: POST {url} answered {} {text}",
            answer.status_code
        ))),
    }
}

fn send(request: minreq::Request) -> Result<minreq::Response, Failure> {
    let sent = request.with_timeout(TIMEOUT_S).send();
    sent.map_err(|error| {
        Failure::from(io::Error::other(format!(
            "the gateway did not answer: {error}"
        )))
    })
}

/// The value of the first `"id"` in a JSON text, which is the thing's own.
fn id(json: &str) -> Option<&str> {
    let (_, rest) = json.split_once("\"id\"")?;
    rest.trim_start()
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix('"')?
        .split('"')
        .next()
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// `2026-05-01T10:00:00Z`
fn rfc3339(unix_s: u64) -> String {
    let (mut days, in_day_s) = (unix_s / DAY_S, unix_s % DAY_S);
    let mut year = 1970;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (in_day_s / 3600, in_day_s / 60 % 60, in_day_s % 60);
    format!(
        "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        days + 1
    )
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{id, rfc3339};

    #[test]
    fn a_time_is_written_as_the_contract_wants_it() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn the_id_is_found_with_and_without_spaces() {
        assert_eq!(id(r#"{"id":"a-1","title":"x"}"#), Some("a-1"));
        assert_eq!(
            id("{\n  \"title\": \"x\",\n  \"id\" : \"a-1\"\n}"),
            Some("a-1")
        );
        assert_eq!(id(r#"{"title":"x"}"#), None);
    }
}
