//! Rights of users on a real broker, given and taken while it runs.
//!
//! Over the listener between brokers, at which everybody may do everything, in the words of Kafka's protocol: what
//! `kafka-acls.sh` sends, without a Java machine for each right.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A topic by its name.
    Topic(&'a str),
    /// A consumer group by its name.
    Group(&'a str),
}

/// What a right allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Take events, be a member.
    Read = 3,
    /// Send events.
    Write = 4,
    /// Make it.
    Create = 5,
    /// See that it is there.
    Describe = 8,
}

const CREATE: i16 = 30;
const DELETE: i16 = 31;
/// The first version that current brokers speak of both; later ones say the same in fewer bytes.
const VERSION: i16 = 1;
const LITERAL: u8 = 3;
const ALLOW: u8 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// Gives a right, or takes it away.
pub(super) fn change(
    port: u16,
    user: &str,
    (resource, operation): (Resource, Operation),
    given: bool,
) -> io::Result<()> {
    let (kind, name) = match resource {
        Resource::Topic(name) => (2, name),
        Resource::Group(name) => (3, name),
    };
    let mut request = Vec::new();
    request.extend(if given { CREATE } else { DELETE }.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    // Correlation, a client without a name, one entry.
    request.extend(7_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.push(kind);
    text(&mut request, name)?;
    request.push(LITERAL);
    text(&mut request, &format!("User:{user}"))?;
    text(&mut request, "*")?;
    request.extend([operation as u8, ALLOW]);
    let answer = ask(port, &request)?;
    // Correlation and throttling, the number of results, then the code of the one.
    let code = answer.get(12..14).map(|it| [it[0], it[1]]);
    match code.map(i16::from_be_bytes) {
        Some(0) => Ok(()),
        other => Err(io::Error::other(format!(
            "Kafka did not change a right: {other:?}"
        ))),
    }
}

fn text(request: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = i16::try_from(text.len()).map_err(io::Error::other)?;
    request.extend(length.to_be_bytes());
    request.extend(text.as_bytes());
    Ok(())
}

fn ask(port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = i32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
