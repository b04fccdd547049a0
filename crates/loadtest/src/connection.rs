//! Owns one keep-alive connection: what goes out, and how an answer is read.
//!
//! It writes bytes that the caller prepared and reads into one buffer, so a request costs two system calls and no
//! allocation. It promises an answer or a [`Fault`] within the time limit. It knows HTTP/1.1 and nothing of what is
//! asked.

use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{Fault, Target};

const MOST_HEADERS: usize = 48;
const BUFFER: usize = 8 * 1024;
/// An idle connection may have been closed by the server in the meantime, which is no fault of anybody.
const IDLE: Duration = Duration::from_secs(1);

/// A connection that is opened when it is needed and kept while the server keeps it.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    limit: Duration,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    used: Instant,
    opened: u64,
}

/// What the server said. It lives until the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body, whole.
    pub body: &'a [u8],
    head: &'a [u8],
}

impl<'a> Answer<'a> {
    /// A header by its name, whatever the case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let head = std::str::from_utf8(self.head).ok()?;
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Where the parts of an answer are in the buffer.
struct Parts {
    status: u16,
    head: usize,
    body: Range<usize>,
    keep: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

impl Connection {
    /// Nothing is sent before the first request. `limit` is for each of them, a new connection included.
    pub fn new(target: Target, limit: Duration) -> Self {
        Self {
            target,
            limit,
            stream: None,
            buffer: Vec::with_capacity(BUFFER),
            used: Instant::now(),
            opened: 0,
        }
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How often a connection was opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Sends a whole request and waits for the whole answer.
    ///
    /// # Errors
    /// There is none. The next request has a new connection.
    pub async fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, Fault> {
        let limit = self.limit;
        let outcome = timeout(limit, self.exchange(request)).await;
        match outcome.unwrap_or(Err(Fault::Timeout)) {
            Ok(parts) => {
                if !parts.keep {
                    self.stream = None;
                }
                Ok(Answer {
                    status: parts.status,
                    head: &self.buffer[..parts.head],
                    body: &self.buffer[parts.body],
                })
            }
            Err(fault) => {
                self.stream = None;
                Err(fault)
            }
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Parts, Fault> {
        let idle = self.used.elapsed() > IDLE;
        if idle && self.stream.as_ref().is_some_and(has_ended) {
            self.stream = None;
        }
        let reused = self.stream.is_some();
        let mut outcome = self.once(request).await;
        // The server closed it while the request was on its way: not one byte of an answer came, so a client sends
        // it again (RFC 9110, 9.2.2; the requests here carry keys). Only once, and never on a fresh connection.
        if idle
            && reused
            && outcome.as_ref().is_err_and(|it| *it == Fault::Broken)
            && self.buffer.is_empty()
        {
            self.stream = None;
            outcome = self.once(request).await;
        }
        self.used = Instant::now();
        outcome
    }

    async fn once(&mut self, request: &[u8]) -> Result<Parts, Fault> {
        self.buffer.clear();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.target.address())
                    .await
                    .map_err(|_| Fault::Connect)?;
                stream.set_nodelay(true).map_err(|_| Fault::Connect)?;
                self.opened += 1;
                self.stream.insert(stream)
            }
        };
        stream.write_all(request).await.map_err(|_| Fault::Broken)?;
        let head_only = request.starts_with(b"HEAD ");
        loop {
            more(stream, &mut self.buffer).await?;
            if let Some((status, head, length, keep)) = parse_head(&self.buffer, head_only)? {
                let end = read_body(stream, &mut self.buffer, head, length).await?;
                return Ok(Parts {
                    status,
                    head,
                    body: head..end,
                    keep: keep && length != Length::UntilClosed,
                });
            }
        }
    }
}

fn has_ended(stream: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Reads what is there; the end of the stream is a fault.
async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Fault> {
    buffer.reserve(BUFFER / 2);
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Fault::Broken),
        Ok(_) => Ok(()),
    }
}

/// Status, length of the head, length of the body, and whether the connection stays; none while the head is not whole.
fn parse_head(buffer: &[u8], head_only: bool) -> Result<Option<(u16, usize, Length, bool)>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(buffer).map_err(|_| Fault::Malformed)?;
    let (httparse::Status::Complete(head), Some(status)) = (parsed, answer.code) else {
        return Ok(None);
    };
    let (mut length, mut keep) = (Length::UntilClosed, answer.version == Some(1));
    for header in answer.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") && length != Length::Chunked {
            let text = std::str::from_utf8(header.value).ok();
            let bytes = text.and_then(|it| it.trim().parse().ok());
            length = Length::Bytes(bytes.ok_or(Fault::Malformed)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
        {
            keep = false;
        }
    }
    if head_only || matches!(status, 100..=199 | 204 | 304) {
        length = Length::Bytes(0);
    }
    Ok(Some((status, head, length, keep)))
}

/// Reads the rest of the body to directly behind the head and returns where it ends.
async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: usize,
    length: Length,
) -> Result<usize, Fault> {
    match length {
        Length::Bytes(bytes) => {
            while buffer.len() < head + bytes {
                more(stream, buffer).await?;
            }
            Ok(head + bytes)
        }
        Length::UntilClosed => {
            while stream.read_buf(buffer).await.map_err(|_| Fault::Broken)? > 0 {}
            Ok(buffer.len())
        }
        Length::Chunked => read_chunks(stream, buffer, head).await,
    }
}

/// Moves the chunks together behind the head.
async fn read_chunks(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: usize,
) -> Result<usize, Fault> {
    let (mut end, mut next) = (head, head);
    loop {
        let size =
            match httparse::parse_chunk_size(&buffer[next..]).map_err(|_| Fault::Malformed)? {
                httparse::Status::Partial => {
                    more(stream, buffer).await?;
                    continue;
                }
                httparse::Status::Complete((line, size)) => {
                    next += line;
                    usize::try_from(size).map_err(|_| Fault::Malformed)?
                }
            };
        // The line end behind the chunk is part of it.
        let rest = size.checked_add(next + 2).ok_or(Fault::Malformed)?;
        while buffer.len() < rest {
            more(stream, buffer).await?;
        }
        buffer.copy_within(next..next + size, end);
        end += size;
        next = rest;
        if size == 0 {
            return Ok(end);
        }
    }
}
