//! A client of server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream.
pub struct Listener {
    answer: Response,
    buffer: String,
    blocks: VecDeque<String>,
}

/// One event of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Listener {
    /// Opens a stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self {
            answer,
            buffer: String::new(),
            blocks: VecDeque::new(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.answer.headers()[name].to_str().unwrap()
    }

    /// The next event of any name; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if !block.starts_with(':') && !block.starts_with("retry:") {
                return Some(event(&block));
            }
        }
    }

    /// The next event, which must have this name.
    pub async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// Reads on until an event fits.
    pub async fn until(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if fits(&event) {
                return event;
            }
        }
    }

    /// The next block of lines, whatever it is; `None` at the end of the stream.
    pub async fn block(&mut self) -> Option<String> {
        while self.blocks.is_empty() {
            let piece = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let piece = piece.expect("something is told").unwrap()?;
            self.buffer += std::str::from_utf8(&piece).unwrap();
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                self.blocks.push_back(block.to_owned());
                self.buffer = rest.to_owned();
            }
        }
        self.blocks.pop_front()
    }
}

fn event(block: &str) -> Event {
    let field = |name: &str| {
        let value = block.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name} in {block}"))
    };
    Event {
        id: field("id: ").to_owned(),
        name: field("event: ").to_owned(),
        data: serde_json::from_str(field("data: ")).unwrap(),
    }
}
