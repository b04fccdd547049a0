//! A service behind that plays a case byte by byte, and a client that speaks byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::test_app::PATIENCE;

/// A connection to either side.
pub struct Wire {
    pub stream: TcpStream,
    seen: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        let seen = Vec::new();
        Self { stream, seen }
    }

    pub async fn to(address: &str) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may be gone: then the test sees it by what it reads.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Reads until `end` was seen, and returns everything up to it; at the end of the connection all
    /// that came.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .seen
                .windows(end.len())
                .position(|it| it == end.as_bytes());
            if let Some(at) = found {
                let rest = self.seen.split_off(at + end.len());
                let text = std::mem::replace(&mut self.seen, rest);
                return String::from_utf8_lossy(&text).into_owned();
            }
            if !self.more().await {
                return String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned();
            }
        }
    }

    /// A head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// So many bytes, as text.
    pub async fn take(&mut self, count: usize) -> String {
        String::from_utf8_lossy(&self.take_bytes(count).await).into_owned()
    }

    /// So many bytes, or all there are.
    pub async fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count && self.more().await {}
        let rest = self.seen.split_off(count.min(self.seen.len()));
        std::mem::replace(&mut self.seen, rest)
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.seen));
        matches!(read.await.expect("within patience"), Ok(1..))
    }
}

/// All that comes back for these bytes on a new connection, until it ends.
pub async fn answer_to(address: &str, sent: impl AsRef<[u8]>) -> String {
    let mut client = Wire::to(address).await;
    client.send(sent).await;
    client.rest().await
}

/// A service that plays.
pub struct Player {
    pub url: String,
    connections: Arc<AtomicUsize>,
}

impl Player {
    pub async fn start<F>(play: impl Fn(Wire, usize) -> F + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        actix_web::rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                actix_web::rt::spawn(play(Wire::new(stream), number));
            }
        });
        Self { url, connections }
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
