//! Somebody else's site: pages and scripts of another origin, and a verifier of challenges.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Files by their paths, with their media types.
pub type Files = Vec<(&'static str, &'static str, String)>;

/// A server of a few files on a port of its own.
pub struct Elsewhere {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Elsewhere {
    /// Serves what `files` makes of the own address.
    pub fn open(files: impl Fn(&str) -> Files) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let elsewhere = Self { address, is_over };
        let files = Arc::new(files(&elsewhere.url()));
        let is_over = Arc::clone(&elsewhere.is_over);
        thread::spawn(move || {
            for client in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let files = Arc::clone(&files);
                // A browser opens connections ahead of time, and says nothing on them.
                thread::spawn(move || client.and_then(|client| answer(client, &files)));
            }
        });
        elsewhere
    }

    /// `http://localhost:PORT`: another site than that of the gateway.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the one that listens.
        let _ = TcpStream::connect(self.address);
    }
}

/// One request on one connection.
fn answer(mut client: TcpStream, files: &Files) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        match client.read(&mut piece)? {
            0 => return Ok(()),
            length => head.extend(&piece[..length]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let found = files.iter().find(|(name, ..)| *name == path);
    let (status, media_type, content) = match found {
        Some((_, media_type, content)) => ("200 OK", *media_type, content.as_str()),
        None => ("404 Not Found", "text/plain", ""),
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{content}",
        content.len()
    )
}
