//! Owns a connection that was upgraded: bytes both ways, unread, for as long as the visitor may.
//!
//! It ends when either side does, when nobody says anything for too long, and when the visit is
//! over; a WebSocket then gets a close frame 1008 between two frames of its own.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::rt::task::JoinHandle;
use actix_web::web;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Download;
use super::frames::{Frames, closing};
use crate::Gateway;
use crate::queue::{Queue, Standing, Ticket};

/// How often a visit is looked at while its connection stands.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Shortest pause between two looks, when a lease is about to end.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Longest time that the end of a visit waits for the end of a frame.
const LONGEST_FRAME: Duration = Duration::from_secs(5);
const PIECE: usize = 16 * 1024;

type Ended = Pin<Box<dyn Future<Output = ()>>>;

/// What comes down an upgraded connection.
struct Tunnel {
    down: ReadHalf<TokioIo<Upgraded>>,
    /// Passes on what comes up. It ends with this.
    up: Up,
    frames: Option<Frames>,
    ended: Ended,
    is_over: bool,
    spoke: Rc<Cell<Instant>>,
    idle_timeout: Option<Duration>,
    /// Holds the place among the connections to the service.
    _download: Download,
}

struct Up(JoinHandle<()>);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of an answer 101.
pub fn open(
    upgraded: Upgraded,
    payload: Payload,
    download: Download,
    is_websocket: bool,
    ended: impl Future<Output = ()> + 'static,
    idle_timeout: Option<Duration>,
) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    let (down, up) = tokio::io::split(TokioIo::new(upgraded));
    let spoke = Rc::new(Cell::new(Instant::now()));
    let tunnel = Tunnel {
        down,
        up: Up(actix_web::rt::spawn(pass_up(
            payload,
            up,
            Rc::clone(&spoke),
        ))),
        frames: is_websocket.then(Frames::default),
        ended: Box::pin(ended),
        is_over: false,
        spoke,
        idle_timeout,
        _download: download,
    };
    stream::unfold(tunnel, |mut tunnel| async {
        let piece = tunnel.next().await?;
        Some((Ok(piece), tunnel))
    })
}

async fn pass_up(
    mut payload: Payload,
    mut up: WriteHalf<TokioIo<Upgraded>>,
    spoke: Rc<Cell<Instant>>,
) {
    while let Some(Ok(piece)) = payload.next().await {
        spoke.set(Instant::now());
        if up.write_all(&piece).await.is_err() {
            return;
        }
    }
    // The client is gone, which the service shall hear.
    let _ = up.shutdown().await;
}

impl Tunnel {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        tokio::select! {
            read = self.down.read_buf(&mut piece) => {
                if !matches!(read, Ok(1..)) {
                    return None;
                }
            }
            () = self.ended.as_mut() => return self.close().await,
            () = quiet(&self.spoke, self.idle_timeout) => return None,
            // Whatever ended the way up, the way down may still say something.
            () = finished(&mut self.up.0) => {
                self.is_over = true;
                return timeout(LONGEST_FRAME, self.down.read_buf(&mut piece))
                    .await
                    .ok()
                    .filter(|read| matches!(read, Ok(1..)))
                    .map(|_| piece.freeze());
            }
        }
        self.spoke.set(Instant::now());
        if let Some(frames) = &mut self.frames {
            frames.pass(&piece, false);
        }
        Some(piece.freeze())
    }

    /// The visit is over: what is left of the frame that has begun, and the last frame.
    async fn close(&mut self) -> Option<Bytes> {
        self.is_over = true;
        let frames = self.frames.as_mut()?;
        let mut last = BytesMut::new();
        let down = &mut self.down;
        let rest = async {
            while !frames.is_between() {
                let mut piece = BytesMut::with_capacity(PIECE);
                if !matches!(down.read_buf(&mut piece).await, Ok(1..)) {
                    return false;
                }
                let end = frames.pass(&piece, true);
                last.extend_from_slice(&piece[..end]);
            }
            true
        };
        if !timeout(LONGEST_FRAME, rest).await.unwrap_or(false) {
            return None;
        }
        last.extend_from_slice(&closing("The visit is over."));
        Some(last.freeze())
    }
}

async fn finished(task: &mut JoinHandle<()>) {
    // However it ended, it ended.
    let _ = poll_fn(|cx| Pin::new(&mut *task).poll(cx)).await;
}

async fn quiet(spoke: &Cell<Instant>, limit: Option<Duration>) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let end = spoke.get() + limit;
        if Instant::now() >= end {
            return;
        }
        sleep_until(end).await;
    }
}

/// Returns when a visit is over, wherever it ended; never where there is none. While the store does
/// not answer, who is known to be inside stays so until the lease ends.
pub async fn visit_ended(app: web::Data<Gateway>, visit: Option<(Queue, Ticket)>) {
    let Some((queue, ticket)) = visit else {
        return std::future::pending().await;
    };
    loop {
        let until = match app.visits.pass(&queue, ticket, true).await {
            Ok(visit) => match visit.standing {
                Standing::Active { until } => until,
                Standing::Waiting { .. } | Standing::Scheduled { .. } => return,
            },
            Err(_) => return,
        };
        let left = (until - app.clock.now()).to_std().unwrap_or_default();
        sleep(left.clamp(LOOK_AGAIN, LOOK_EVERY)).await;
    }
}
