//! Owns the body of a request on its way to the service behind.
//!
//! It is passed piece by piece as it comes, at the speed of the service. It is cut when it is
//! longer than it may be, and when its client pauses for too long. The task that waits for the
//! answer hears when the body is over, because only then does the time of the service begin.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::Stream as _;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::upstream::UpstreamRules;

/// A body, or none.
pub struct Upload(Option<Box<Open>>);

/// A body of which something may be still to come.
struct Open {
    payload: Payload,
    length: Option<u64>,
    limit: Option<u64>,
    seen: u64,
    longest_pause: Duration,
    pause: Pin<Box<Sleep>>,
    /// Whether the client is waited for, so that `pause` counts. It does not while the service is slow.
    is_pausing: bool,
    watch: Watch,
}

/// What became of a body, for the task that waits for the answer.
#[derive(Clone)]
pub struct Watch(Rc<State>);

#[derive(Default)]
struct State {
    over_at: Cell<Option<std::time::Instant>>,
    broken: Cell<Option<UploadError>>,
    waiting: Cell<Option<Waker>>,
}

/// Why a body did not arrive whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It has more bytes than it may.
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    /// Its client paused for too long.
    #[error("the client paused for {0:?} within the body")]
    Stalled(Duration),
    /// Its client went away.
    #[error("the client went away within the body")]
    Cut,
}

impl Upload {
    /// No body.
    pub fn none() -> Self {
        Self(None)
    }

    /// The body that `payload` brings, of a length that was said or not.
    pub fn new(payload: Payload, length: Option<u64>, rules: &UpstreamRules) -> Self {
        Self(Some(Box::new(Open {
            payload,
            length,
            limit: rules.max_body_bytes,
            seen: 0,
            longest_pause: rules.upload_pause,
            pause: Box::pin(sleep(rules.upload_pause)),
            is_pausing: false,
            watch: Watch(Rc::default()),
        })))
    }

    /// Tells what becomes of the body; `None` where there is none.
    pub fn watch(&self) -> Option<Watch> {
        self.0.as_ref().map(|it| it.watch.clone())
    }
}

impl Watch {
    /// Returns when the whole body was passed on, or when it never will be.
    pub async fn over(&self) -> Result<(), UploadError> {
        poll_fn(|cx| {
            if let Some(cause) = self.broken() {
                return Poll::Ready(Err(cause));
            }
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            self.0.waiting.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Whether the whole body was passed on.
    pub fn is_over(&self) -> bool {
        self.over_at().is_some()
    }

    /// When the whole body was passed on.
    pub fn over_at(&self) -> Option<std::time::Instant> {
        self.0.over_at.get()
    }

    /// Why the body will never arrive whole.
    pub fn broken(&self) -> Option<UploadError> {
        self.0.broken.get()
    }

    fn end(&self, broken: Option<UploadError>) {
        let now = broken.is_none().then(std::time::Instant::now);
        self.0.over_at.set(now);
        self.0.broken.set(broken);
        if let Some(waiting) = self.0.waiting.take() {
            waiting.wake();
        }
    }
}

impl Open {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UploadError>> {
        match Pin::new(&mut self.payload).poll_next(cx) {
            Poll::Ready(Some(Ok(piece))) => {
                self.seen += piece.len() as u64;
                self.is_pausing = false;
                match self.limit {
                    Some(limit) if self.seen > limit => {
                        Poll::Ready(Err(UploadError::TooLong(limit)))
                    }
                    _ => Poll::Ready(Ok(Some(piece))),
                }
            }
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(UploadError::Cut)),
            Poll::Pending => {
                if !self.is_pausing {
                    self.is_pausing = true;
                    self.pause
                        .as_mut()
                        .reset(Instant::now() + self.longest_pause);
                }
                ready!(self.pause.as_mut().poll(cx));
                Poll::Ready(Err(UploadError::Stalled(self.longest_pause)))
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(open) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let piece = ready!(open.poll_piece(cx));
        // A body whose length was said is over with its last byte: nobody asks for the end of it.
        let is_whole = open.length.is_some_and(|length| open.seen >= length);
        match &piece {
            Ok(None) => open.watch.end(None),
            Ok(Some(_)) if is_whole => open.watch.end(None),
            Ok(Some(_)) => {}
            Err(cause) => open.watch.end(Some(*cause)),
        }
        Poll::Ready(piece.transpose().map(|it| it.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(open) => open.length.map_or_else(SizeHint::default, |length| {
                SizeHint::with_exact(length.saturating_sub(open.seen))
            }),
        }
    }
}
