//! Free TCP ports of 127.0.0.1.
//!
//! They lie below the range from which the kernel takes the near ends of outgoing connections. A server
//! that is down for a moment therefore never finds its port taken by a client that tries to reach it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kernel;

const LOWEST: u16 = 10_000;
/// The usual start of the kernel's range for outgoing connections.
const USUAL_LIMIT: u16 = 32_768;
/// A prime, so that ports of processes with neighbouring ids lie far apart.
const STRIDE: u32 = 7_919;
const TRIES: u32 = 5;

static TAKEN: AtomicU32 = AtomicU32::new(0);

/// A port that nothing listens on now, never the same one twice in a row.
///
/// Another process may still take it first, so a server that fails to start is tried on another one.
///
/// # Panics
/// When no port at all is free.
pub fn free_port() -> u16 {
    let limit = limit();
    let count = u32::from(limit - LOWEST);
    let start = process::id().wrapping_mul(STRIDE);
    (0..count)
        .map(|_| start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % count)
        .filter_map(|offset| u16::try_from(offset).ok())
        .map(|offset| LOWEST + offset)
        .find(|port| is_free(*port))
        .expect("a free TCP port on 127.0.0.1")
}

/// Whether a server could listen on this port of 127.0.0.1 now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Starts a server on the `fixed` port; without one on the port that the folder remembers, or on another
/// when somebody else was faster.
pub(crate) fn start_on<T>(
    folder: &Path,
    fixed: Option<u16>,
    start: impl Fn(u16) -> io::Result<T>,
) -> io::Result<T> {
    let mut tries_left = TRIES;
    loop {
        let port = fixed.unwrap_or_else(|| remembered(folder));
        tries_left -= 1;
        match start(port) {
            Ok(server) => {
                fs::write(folder.join("port"), port.to_string())?;
                return Ok(server);
            }
            // The server that failed is gone by now, so a listener there is not ours.
            Err(error) if fixed.is_none() && tries_left > 0 && was_taken(port, &error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a server failed because somebody else has the port, or had it for a moment.
pub(crate) fn was_taken(port: u16, error: &io::Error) -> bool {
    !is_free(port) || error.to_string().contains("Address already in use")
}

fn remembered(folder: &Path) -> u16 {
    fs::read_to_string(folder.join("port"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|port| is_free(*port))
        .unwrap_or_else(free_port)
}

/// Whether somebody accepts connections there.
pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn limit() -> u16 {
    kernel::lowest_outgoing_port()
        .filter(|low| *low > LOWEST + 1_000)
        .unwrap_or(USUAL_LIMIT)
}
