//! A service of a known capacity: so many hands, each of which needs so long for a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// What it answers: the visit is over with it.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nx-admission: release\r\ncontent-length: 2\r\n\r\nok";

/// The service, while it runs.
#[derive(Clone)]
pub struct Service {
    hands: Arc<Semaphore>,
    needs: Duration,
    begun: Arc<AtomicU64>,
    times: Arc<Mutex<Vec<Duration>>>,
}

/// What came of a while.
pub struct Seen {
    /// Requests a second.
    pub per_second: f64,
    /// 95 of 100 were answered within this time.
    pub p95: Duration,
}

/// Lets time pass for what works, as a real service does.
pub async fn work(time: Duration) {
    // It is never done by itself.
    let _ = timeout(time, std::future::pending::<()>()).await;
}

impl Service {
    /// Listens on a free port; returns its address too.
    pub async fn start(hands: usize, needs: Duration) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self {
            hands: Arc::new(Semaphore::new(hands)),
            needs,
            begun: Arc::default(),
            times: Arc::default(),
        };
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (service, url)
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut seen = Vec::new();
        while matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            while let Some(end) = seen.windows(4).position(|it| it == b"\r\n\r\n") {
                seen.drain(..end + 4);
                let came = Instant::now();
                self.begun.fetch_add(1, Ordering::SeqCst);
                {
                    let _hand = self.hands.acquire().await.unwrap();
                    work(self.needs).await;
                }
                self.times.lock().unwrap().push(came.elapsed());
                if stream.write_all(OK).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Takes so many hands away.
    pub async fn lose(&self, hands: usize) {
        let taken = self.hands.acquire_many(hands as u32).await.unwrap();
        taken.forget();
    }

    /// Gives so many hands back.
    pub fn gain(&self, hands: usize) {
        self.hands.add_permits(hands);
    }

    /// Looks on for a while.
    pub async fn seen(&self, time: Duration) -> Seen {
        self.times.lock().unwrap().clear();
        let before = self.begun.load(Ordering::SeqCst);
        work(time).await;
        let mut times = std::mem::take(&mut *self.times.lock().unwrap());
        times.sort_unstable();
        let begun = self.begun.load(Ordering::SeqCst) - before;
        Seen {
            per_second: begun as f64 / time.as_secs_f64(),
            p95: times
                .get(times.len() * 95 / 100)
                .copied()
                .unwrap_or_default(),
        }
    }
}
