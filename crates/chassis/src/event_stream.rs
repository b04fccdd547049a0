//! Owns the form of server-sent events (WHATWG HTML, section 9.2): how one is written, and the
//! head of an answer that has no end.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

/// One event; a client that comes back names the last `id` in `Last-Event-ID`.
///
/// # Panics
/// When `data` cannot be written as JSON: that is a mistake in the program.
pub fn event(id: &str, name: &str, data: &impl Serialize) -> String {
    // JSON has no line ends outside of its own spaces, so one line holds all of it.
    let data = serde_json::to_string(data).expect("what is told is plain fields");
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

/// Nothing to say, but still here: clients and proxies close a connection that is silent.
pub fn ping() -> &'static str {
    ": ping\n\n"
}

/// How long a client waits before it comes back after the connection broke.
pub fn retry(after: Duration) -> String {
    format!("retry: {}\n\n", after.as_millis())
}

/// The head of the answer: kept by nobody, passed on by proxies at once, and the end of its
/// connection.
pub fn answer() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .force_close();
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn an_event_is_a_block_of_lines_whatever_it_says() {
        let text = "two\nlines";
        let event = super::event("7", "told", &serde_json::json!({ "text": text }));
        let expected = "id: 7\nevent: told\ndata: {\"text\":\"two\\nlines\"}\n\n";
        assert_eq!(event, expected);
        assert_eq!(
            super::retry(Duration::from_millis(2_500)),
            "retry: 2500\n\n"
        );
    }
}
