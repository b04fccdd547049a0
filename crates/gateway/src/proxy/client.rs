//! Owns the connections of one worker to the services behind, and one request over one of them.
//!
//! A connection carries one request at a time and is kept for the next one when its answer was
//! read to the end. A kept connection may be closed by the other side at the very moment at which
//! it is used: what was never written goes to a new connection, whatever it is; what was written
//! goes there only if it changes nothing and has no body. So a `POST` is never sent twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use http::{Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::measurement::FirstByte;
use super::upload::{Upload, UploadError, Watch};
use super::upstream::{Origin, Upstream};

/// An idle connection is used no more before a usual server closes it, which would race a request.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// Most lines in the head of an answer.
pub const MOST_HEADERS: usize = 256;
/// A service that takes nothing of what was sent to it for so long is gone.
const UNREAD_AT_MOST: Duration = Duration::from_secs(30);

/// The connections of one worker.
#[derive(Default)]
pub struct Client(RefCell<HashMap<usize, Lane>>);

/// The connections to one service.
#[derive(Clone)]
struct Lane {
    of: Weak<Upstream>,
    permits: Arc<Semaphore>,
    kept: Kept,
}

type Kept = Rc<RefCell<Vec<Connection>>>;

/// A connection that carries nothing at the moment.
struct Connection {
    sender: SendRequest<Upload>,
    /// The number of the address that it leads to.
    at: usize,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// All connections are taken.
    #[error("all connections are taken")]
    Busy,
    /// No connection stood, or it broke before an answer.
    #[error("{0}")]
    Unreachable(String),
    /// What came is not an answer.
    #[error("{0}")]
    Invalid(String),
    /// The answer did not begin in time.
    #[error("no answer in time")]
    Late,
    /// The request did not arrive whole.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl SendError {
    /// The cause in one word, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unreachable(_) => "unreachable",
            Self::Invalid(_) => "invalid",
            Self::Late => "late",
            Self::Upload(_) => "upload",
        }
    }
}

/// A request that failed, and what may be sent once more.
struct Failure {
    cause: SendError,
    /// The request where nothing of it was written.
    unsent: Option<Request<Upload>>,
    /// Whether the connection ended, rather than somebody's patience.
    is_lost: bool,
}

impl Client {
    /// Sends a request, and returns the head of the answer.
    ///
    /// # Errors
    /// See `SendError`.
    pub async fn send(
        &self,
        upstream: &Arc<Upstream>,
        request: Request<Upload>,
    ) -> Result<Response<Download>, SendError> {
        let lane = self.lane(upstream);
        let rules = &upstream.rules;
        let permit = timeout(
            rules.connect_timeout,
            Arc::clone(&lane.permits).acquire_owned(),
        );
        // It is never closed.
        let Ok(Ok(permit)) = permit.await else {
            return Err(SendError::Busy);
        };
        let order = upstream.order(Instant::now());
        let Some(connection) = lane.take(order[0]).await else {
            let connection = dial(upstream, &order).await?;
            let answer = exchange(upstream, connection, request).await;
            return answer
                .map(|it| lane.download(upstream, permit, it))
                .map_err(|it| it.cause);
        };
        let again = copy(&request);
        let failure = match exchange(upstream, connection, request).await {
            Ok(answer) => return Ok(lane.download(upstream, permit, answer)),
            Err(failure) => failure,
        };
        let Some(request) = failure.unsent.or(again.filter(|_| failure.is_lost)) else {
            return Err(failure.cause);
        };
        let connection = dial(upstream, &order).await?;
        let answer = exchange(upstream, connection, request).await;
        answer
            .map(|it| lane.download(upstream, permit, it))
            .map_err(|it| it.cause)
    }

    fn lane(&self, upstream: &Arc<Upstream>) -> Lane {
        // The address of a service stays its own as long as a weak pointer to it is held.
        let key = Arc::as_ptr(upstream) as usize;
        let mut lanes = self.0.borrow_mut();
        if let Some(lane) = lanes.get(&key) {
            return lane.clone();
        }
        lanes.retain(|_, lane| lane.of.strong_count() > 0);
        let lane = Lane {
            of: Arc::downgrade(upstream),
            permits: Arc::new(Semaphore::new(upstream.rules.connections)),
            kept: Kept::default(),
        };
        lanes.insert(key, lane.clone());
        lane
    }
}

impl Lane {
    /// The connection to this address that was used last, if one is good still.
    async fn take(&self, at: usize) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut kept = self.kept.borrow_mut();
                let last = kept.iter().rposition(|it| it.at == at)?;
                kept.remove(last)
            };
            let is_good = connection.since.elapsed() < KEPT_FOR && !connection.sender.is_closed();
            // Its driver may not have seen yet that the last answer is over.
            if is_good && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn download(
        &self,
        upstream: &Arc<Upstream>,
        permit: OwnedSemaphorePermit,
        answer: Answered,
    ) -> Response<Download> {
        let Answered {
            response,
            connection,
            watch,
        } = answer;
        response.map(|incoming| {
            let mut download = Download {
                size: BodySize::Stream,
                incoming,
                idle_timeout: upstream.rules.idle_timeout,
                pause: None,
                lease: Some(Lease {
                    kept: Rc::clone(&self.kept),
                    connection,
                    watch,
                    permit,
                }),
            };
            if download.incoming.is_end_stream() {
                download.keep();
            }
            download
        })
    }
}

/// A head that came, and the connection over which its body comes.
struct Answered {
    response: Response<Incoming>,
    connection: Connection,
    watch: Option<Watch>,
}

/// The body of an answer. Dropping it before its end closes the connection.
pub struct Download {
    /// How it is announced.
    pub size: BodySize,
    incoming: Incoming,
    idle_timeout: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    lease: Option<Lease>,
}

struct Lease {
    kept: Kept,
    connection: Connection,
    watch: Option<Watch>,
    permit: OwnedSemaphorePermit,
}

impl Download {
    /// The answer is over: the connection may carry the next request.
    fn keep(&mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        // An answer may come before its request is over. Such a connection is not waited for.
        if lease.watch.is_none_or(|it| it.is_over()) && !lease.connection.sender.is_closed() {
            lease.connection.since = Instant::now();
            lease.kept.borrow_mut().push(lease.connection);
        }
        drop(lease.permit);
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.idle_timeout else {
            return Poll::Pending;
        };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(limit)));
        pause.as_mut().poll(cx)
    }
}

impl MessageBody for Download {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(self.poll_pause(cx));
                    self.lease = None;
                    let late = io::Error::new(io::ErrorKind::TimedOut, "the answer stopped");
                    return Poll::Ready(Some(Err(late)));
                }
            };
            self.pause = None;
            match frame {
                // Trailers are of this hop.
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        if self.incoming.is_end_stream() {
                            self.keep();
                        }
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Some(Err(cause)) => {
                    self.lease = None;
                    return Poll::Ready(Some(Err(io::Error::other(cause))));
                }
                None => {
                    self.keep();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// A copy of what may be sent twice.
fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !is_safe || request.body().watch().is_some() {
        return None;
    }
    let mut copy = Request::new(Upload::none());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// A new connection to the first of these addresses that takes one.
async fn dial(upstream: &Upstream, order: &[usize]) -> Result<Connection, SendError> {
    let mut refused = SendError::Unreachable("it has no address".to_owned());
    for at in order {
        let origin = upstream.origin(*at);
        let standing = timeout(upstream.rules.connect_timeout, connect(upstream, origin));
        let cause = match standing.await {
            Ok(Ok(sender)) => {
                upstream.worked(*at);
                return Ok(Connection {
                    sender,
                    at: *at,
                    since: Instant::now(),
                });
            }
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => "no connection within its time".to_owned(),
        };
        upstream.failed(*at, Instant::now());
        refused = SendError::Unreachable(format!("{origin}: {cause}"));
    }
    Err(refused)
}

async fn connect(upstream: &Upstream, origin: &Origin) -> io::Result<SendRequest<Upload>> {
    let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_AT_MOST))?;
    if !origin.tls {
        return speak(TokioIo::new(stream)).await;
    }
    let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(upstream.rules.trust.rules());
    speak(TokioIo::new(connector.connect(name, stream).await?)).await
}

/// Speaks HTTP over a stream. The connection lives in a task of this worker's own, and ends with
/// the last handle to it.
async fn speak<T>(stream: T) -> io::Result<SendRequest<Upload>>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut builder = Builder::new();
    builder.max_headers(MOST_HEADERS);
    let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    actix_web::rt::spawn(async {
        // The request that waits for the answer hears of it.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// One request over one connection, until the head of the answer.
async fn exchange(
    upstream: &Upstream,
    mut connection: Connection,
    mut request: Request<Upload>,
) -> Result<Answered, Failure> {
    *request.version_mut() = Version::HTTP_11;
    let watch = request.body().watch();
    let limit = upstream.rules.answer_timeout;
    let late = async {
        if let Some(watch) = &watch {
            watch.over().await?;
        }
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
        Err::<(), _>(SendError::Late)
    };
    let began = Instant::now();
    let answer = connection.sender.try_send_request(request);
    let cause = tokio::select! {
        biased;
        answer = answer => match answer {
            Ok(mut response) => {
                // An answer that came before the end of its request says nothing of time.
                let since = watch.as_ref().map_or(Some(began), Watch::over_at);
                if let Some(since) = since {
                    response.extensions_mut().insert(FirstByte(since.elapsed()));
                }
                return Ok(Answered { response, connection, watch });
            }
            Err(mut failure) => {
                let unsent = failure.take_message();
                let error = failure.error();
                let is_lost = is_lost(error);
                // A body that its client broke off ends the connection too.
                let cause = match watch.as_ref().and_then(Watch::broken) {
                    Some(cause) => SendError::Upload(cause),
                    None if error.is_parse() => SendError::Invalid(error.to_string()),
                    None => SendError::Unreachable(error.to_string()),
                };
                return Err(Failure { cause, unsent, is_lost });
            }
        },
        Err(cause) = late => cause,
    };
    Err(Failure {
        cause,
        unsent: None,
        is_lost: false,
    })
}

/// Whether the connection ended.
fn is_lost(error: &hyper::Error) -> bool {
    let of_network = || error.source().is_some_and(|it| it.is::<io::Error>());
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || of_network()
}
