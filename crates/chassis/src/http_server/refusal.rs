//! Owns what a client hears of a request that the parser refused: the parser itself sends a status and
//! nothing more.

use actix_web::http::StatusCode;

use crate::problem::Problem;
use crate::request_id::RequestId;

/// What the parser refuses with, and in which words it is told.
const REFUSALS: [(&str, StatusCode, &str, &str); 4] = [
    (
        "400 Bad Request",
        StatusCode::BAD_REQUEST,
        "REQUEST_INVALID",
        "What came cannot be read as a request.",
    ),
    (
        "408 Request Timeout",
        StatusCode::REQUEST_TIMEOUT,
        "HEAD_TOO_SLOW",
        "The head of the request did not arrive in time.",
    ),
    (
        "431 Request Header Fields Too Large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "HEAD_TOO_LARGE",
        "The head of the request is longer than any honest one.",
    ),
    (
        "500 Internal Server Error",
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL",
        "Something went wrong on our side.",
    ),
];
/// As long as each date of HTTP is.
const DATE: usize = "Thu, 01 Jan 1970 00:00:00 GMT".len();

/// Where a bare refusal of the parser begins that ends these bytes, and what to send in its place.
pub fn within(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let head = bytes.strip_suffix(b" GMT\r\n\r\n")?;
    let date_at = (head.len() + " GMT".len()).checked_sub(DATE)?;
    let date = &bytes[date_at..date_at + DATE];
    let lines = bytes[..date_at].strip_suffix(b"\r\ndate: ")?;
    let without = |line: &[u8]| lines.strip_suffix(line);
    let lines = without(b"\r\nconnection: close")
        .or_else(|| without(b"\r\nconnection: keep-alive"))
        .unwrap_or(lines);
    let status_line = lines.strip_suffix(b"\r\ncontent-length: 0")?;
    REFUSALS.iter().find_map(|(said, status, code, detail)| {
        let version = status_line.strip_suffix(said.as_bytes())?;
        let before = version
            .strip_suffix(b"HTTP/1.1 ")
            .or_else(|| version.strip_suffix(b"HTTP/1.0 "))?;
        let problem = Problem::new(*status, code, *detail);
        Some((before.len(), written(said, &problem, date)))
    })
}

fn written(said: &str, problem: &Problem, date: &[u8]) -> Vec<u8> {
    let id = RequestId::fresh();
    log::info!("{} before there was a request [{}]", problem.code(), &*id);
    let body = problem.body(None, Some(&id));
    let head = format!(
        "HTTP/1.1 {said}\r\ncontent-length: {}\r\nconnection: close\r\nx-request-id: {}\r\n\
         content-type: application/problem+json\r\ncache-control: no-store\r\ndate: ",
        body.len(),
        &*id
    );
    [head.as_bytes(), date, b"\r\n\r\n", body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::within;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: Thu, 26 Nov 2026 17:26:48 GMT\r\n\r\n";

    #[test]
    fn a_bare_refusal_at_the_end_gets_a_body_and_an_id() {
        for before in ["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"] {
            let (begin, instead) = within(format!("{before}{BARE}").as_bytes()).expect("found");
            assert_eq!(begin, before.len());
            let text = String::from_utf8(instead).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            assert!(
                head.contains("date: Thu, 26 Nov 2026 17:26:48 GMT"),
                "{head}"
            );
            assert!(
                head.contains(&format!("content-length: {}\r\n", body.len())),
                "{head}"
            );
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(
                (&body["code"], &body["status"]),
                (&"REQUEST_INVALID".into(), &400.into())
            );
            let id = body["requestId"].as_str().expect("an id");
            assert!(head.contains(&format!("x-request-id: {id}\r\n")), "{head}");
        }
    }

    #[test]
    fn an_answer_of_the_application_is_none() {
        let id = "connection: close\r\nx-request-id: 1";
        for answer in [
            BARE.replace("connection: close", id),
            BARE.replace("400 Bad Request", "204 No Content"),
            BARE.replace("content-length: 0", "content-length: 2"),
            format!("{BARE}ok"),
        ] {
            assert!(within(answer.as_bytes()).is_none(), "{answer}");
        }
    }
}
