//! Owns finding out why a server closes the connection of everybody: who asks first hears only of a broken pipe.

use std::time::Duration;

use redis::{ConnectionAddr, ErrorKind, RedisError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that refuses everybody says why before it is asked anything, and within this time.
const GREETING_WITHIN: Duration = Duration::from_millis(100);
const WITHOUT_TLS: &str = "it does not speak TLS";
const WITHOUT_A_WORD: &str =
    "it closed the connection without a word; a server that wants TLS does so";
/// Longer than any such sentence.
const LONGEST_GREETING: u64 = 1024;

/// Whether the server said nothing.
pub(super) fn was_not_reached(cause: &RedisError) -> bool {
    cause.is_io_error() || cause.is_unrecoverable_error()
}

/// Why a server could not be reached: in its own words, where it has any for who only connects, or else the cause.
pub(super) async fn in_words(addr: &ConnectionAddr, cause: RedisError) -> RedisError {
    let refusal = |words| RedisError::from((ErrorKind::Io, "the server refuses", words));
    let is_tls = matches!(addr, ConnectionAddr::TcpTls { .. });
    if cause.is_timeout() {
        // A server without TLS waits for the end of what it takes for a line.
        return match is_tls && speaks_without_tls(addr).await {
            true => refusal(WITHOUT_TLS.to_owned()),
            false => cause,
        };
    }
    let said = timeout(GREETING_WITHIN, greeting(addr)).await;
    let is_closed = cause.is_connection_dropped();
    match said {
        Ok(Some(words)) => refusal(words),
        // It lets everybody connect, and closes when it hears our first words.
        Err(_) if is_closed && !is_tls => refusal(format!("{WITHOUT_A_WORD} ({cause})")),
        Ok(None) | Err(_) => cause,
    }
}

async fn speaks_without_tls(addr: &ConnectionAddr) -> bool {
    let ConnectionAddr::TcpTls { host, port, .. } = addr else {
        return false;
    };
    let asked = timeout(GREETING_WITHIN, async {
        let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read_u8().await
    });
    // `+PONG`, or a refusal.
    matches!(asked.await, Ok(Ok(b'+' | b'-')))
}

async fn greeting(addr: &ConnectionAddr) -> Option<String> {
    let ConnectionAddr::Tcp(host, port) = addr else {
        return None;
    };
    let stream = TcpStream::connect((host.as_str(), *port)).await.ok()?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream).take(LONGEST_GREETING);
    reader.read_line(&mut line).await.ok()?;
    let refusal = line.trim_end().strip_prefix('-')?;
    Some(refusal.to_owned())
}
