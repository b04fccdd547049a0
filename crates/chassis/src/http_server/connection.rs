//! Owns the connection of a client, as the parser of HTTP sees it.
//!
//! On the way out it gives the parser's own refusals their form. On the way in it can be taken from the
//! parser, when both sides have agreed to speak another protocol.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::error::PayloadError;
use actix_web::rt::net::TcpStream;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusal;

/// What is read at once from a connection that was handed over.
const PIECE: usize = 16 * 1024;

/// A client's connection.
pub struct Connection {
    shared: Rc<Shared>,
    /// What is written in place of what the parser wrote.
    instead: BytesMut,
}

/// A connection, for the handler of a request of it.
#[derive(Clone)]
pub struct Handle(Rc<Shared>);

struct Shared {
    io: RefCell<TcpStream>,
    is_handed_over: Cell<bool>,
    /// Answers of the application that are not over.
    answers: Cell<usize>,
    /// The last byte of the last body of which something may not be written yet.
    last_byte: Cell<Option<u8>>,
}

/// An answer of the application that is not over.
pub struct Answering(Rc<Shared>);

/// What a client sends on a connection that was handed over.
pub struct Handed(Rc<Shared>);

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        let shared = Shared {
            io: RefCell::new(stream),
            is_handed_over: Cell::new(false),
            answers: Cell::new(0),
            last_byte: Cell::new(None),
        };
        Self {
            shared: Rc::new(shared),
            instead: BytesMut::new(),
        }
    }

    pub fn handle(&self) -> Handle {
        Handle(Rc::clone(&self.shared))
    }

    /// Where in these bytes a refusal of the parser begins, and what to write for it.
    ///
    /// It comes last on its connection, and has no header of ours, which every answer of the application
    /// has. So what ends like one is one, unless it ends a body that says the same. That is known: no
    /// body is open, and the last one that may be among these bytes did not end with a line.
    fn refused(&self, bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
        let may_be_body =
            self.shared.answers.get() > 0 || self.shared.last_byte.get() == Some(b'\n');
        if may_be_body {
            return None;
        }
        refusal::within(bytes)
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let mut io = self.shared.io.borrow_mut();
            let written = ready!(Pin::new(&mut *io).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            drop(io);
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl Handle {
    /// Notes an answer until it is dropped.
    pub fn answering(&self) -> Answering {
        self.0.answers.set(self.0.answers.get() + 1);
        Answering(Rc::clone(&self.0))
    }

    /// Takes what the client sends from now on away from the parser. A client says nothing in another
    /// protocol before it has the answer 101, so nothing of it was read before.
    pub fn hand_over(&self) -> Handed {
        self.0.is_handed_over.set(true);
        Handed(Rc::clone(&self.0))
    }
}

impl Answering {
    /// Notes what of the body was passed on.
    pub fn passed(&self, piece: &[u8]) {
        if let Some(last) = piece.last() {
            self.0.last_byte.set(Some(*last));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answers.set(self.0.answers.get() - 1);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shared.is_handed_over.get() {
            return Poll::Pending;
        }
        Pin::new(&mut *self.shared.io.borrow_mut()).poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        let Some((begin, instead)) = self.refused(bytes) else {
            return Pin::new(&mut *self.shared.io.borrow_mut()).poll_write(cx, bytes);
        };
        if begin > 0 {
            let before = &bytes[..begin];
            return Pin::new(&mut *self.shared.io.borrow_mut()).poll_write(cx, before);
        }
        self.instead.extend_from_slice(&instead);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        if self.shared.answers.get() == 0 {
            // The parser flushes when it has written all that it has.
            self.shared.last_byte.set(None);
        }
        Pin::new(&mut *self.shared.io.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut *self.shared.io.borrow_mut()).poll_shutdown(cx)
    }
}

impl Stream for Handed {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut piece = vec![0; PIECE];
        let mut into = ReadBuf::new(&mut piece);
        let read = Pin::new(&mut *self.0.io.borrow_mut()).poll_read(cx, &mut into);
        let length = into.filled().len();
        Poll::Ready(match ready!(read) {
            Ok(()) if length == 0 => None,
            Ok(()) => {
                piece.truncate(length);
                Some(Ok(piece.into()))
            }
            Err(cause) => Some(Err(cause.into())),
        })
    }
}
