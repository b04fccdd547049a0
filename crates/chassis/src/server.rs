//! Owns the life of a process: bind, run, finish what runs, end.
//!
//! A service builds its own `HttpServer`; this module gives it a listener and runs it beside the
//! admin listener until a signal, then stops in order: not ready, a while of answering with `Connection: close`, no new
//! steps, no new connections, what runs is finished within the grace period, admin listener and the last spans.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, Error, HttpServer, web};
use prometheus::Registry;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::health::{self, Health};
use crate::problem::Problem;
use crate::schedule::RunningSchedule;
use crate::trace::ExportInvalid;
use crate::{metrics, problem, request_id, routes, trace};

/// A server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not of this machine.
    #[error("cannot listen on {address} for {what}: {cause}")]
    Listen {
        /// What the listener is for.
        what: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// The scheduler refused a line.
    #[error("the scheduler did not start: {0}")]
    Schedule(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// A listener is bound and cannot be served.
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    /// A store that is needed from the start does not answer.
    #[error("{0}")]
    Store(String),
    /// The kernel gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
    /// A receiver of spans is named and there can be no client for it.
    #[error(transparent)]
    Export(#[from] ExportInvalid),
}

/// Connections that may wait to be accepted. With the 128 of the standard library a crowd that
/// connects at once loses packets, and with them whole seconds.
const BACKLOG: i32 = 4096;

/// A listener; port 0 takes any free port. Its connections send at once what is written: an answer in two pieces would
/// otherwise wait 40 ms for a client that is in no hurry to acknowledge the first (Nagle's algorithm, RFC 896, and delayed
/// acknowledgements, RFC 1122 4.2.3.2). They take that over from the listener.
pub fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart must not wait for connections of the process before.
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    listen().map_err(|cause| StartError::Listen {
        what,
        address,
        cause,
    })
}

/// A client who takes nothing of what was sent to them for so long is gone, or as good as gone.
const UNREAD_AT_MOST: Duration = Duration::from_secs(30);

/// Longest head of a request, in bytes: twice what usual servers have, so that a browser may carry fifty
/// signed cookies.
const LONGEST_HEAD: usize = 32 * 1024;
/// `: ` and the line's end.
const FIELD_ENDS: usize = 4;

/// Lets the kernel close a connection whose client has vanished or has stopped reading. Without it a
/// client who vanished is noticed after a quarter of an hour.
pub(crate) fn cut_off_unread(stream: &TcpStream) {
    if let Err(cause) = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_AT_MOST)) {
        log::warn!("a connection has no limit for a client who does not read: {cause}");
    }
}

/// The admin listener's server: `/live`, `/ready`, `/metrics`.
pub fn admin(
    listener: TcpListener,
    registry: Registry,
    health: web::Data<Health>,
) -> io::Result<Server> {
    let registry = web::Data::new(registry);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(registry.clone())
            .app_data(health.clone())
            .wrap(from_fn(problem::edge))
            .wrap(from_fn(request_id::assign))
            .configure(health_routes)
            .service(routes::at("/metrics").get(metrics::show).done())
            .default_service(web::to(routes::not_found))
    });
    Ok(server
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}

/// `/live` and `/ready`, which every listener has.
pub fn health_routes(app: &mut web::ServiceConfig) {
    app.service(routes::at("/live").get(health::live).done())
        .service(routes::at("/ready").get(health::ready).done());
}

/// Middleware: tells clients to open a new connection, elsewhere, once this process is stopping.
pub async fn close_when_draining<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let mut answer = next.call(request).await?;
    let health = answer.request().app_data::<web::Data<Health>>();
    if health.is_some_and(|health| health.is_draining()) {
        answer
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
            .response_mut()
            .head_mut()
            .set_connection_type(actix_web::http::ConnectionType::Close);
    }
    Ok(answer)
}

/// Returns when SIGTERM or SIGINT comes.
pub async fn signalled() -> Result<(), StartError> {
    let signal = |kind| signal(kind).map_err(StartError::Signals);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => log::info!("SIGTERM: finishing what runs"),
        _ = interrupt.recv() => log::info!("SIGINT: finishing what runs"),
    }
    Ok(())
}

/// One listener that runs: all that a process has which serves its operators alone.
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    server: Spawned,
}

impl Listening {
    /// Runs this server; `address` is that of its listener.
    pub fn spawn(server: Server, address: SocketAddr) -> Self {
        Self {
            address,
            server: Spawned::of(server),
        }
    }

    /// Takes no more connections, and returns when what runs is finished.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Middleware: refuses a request whose head is longer than any honest one.
///
/// The framework alone would take up to 128 KiB.
pub async fn limit_head<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let fields = request.headers().iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_ENDS)
        .sum();
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |it| it.as_str().len());
    if fields + target > LONGEST_HEAD {
        let refusal = Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "HEAD_TOO_LARGE",
            format!("The head of a request may have at most {LONGEST_HEAD} bytes."),
        );
        return Ok(problem::refuse(request, refusal));
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Both listeners of a service, bound before it starts anything.
pub struct Listeners {
    public: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
}

impl Listeners {
    /// Binds both; port 0 takes any free port.
    pub fn bind(public: SocketAddr, admin: SocketAddr) -> Result<Self, StartError> {
        let bound = |what, address| {
            let listener = bind(what, address)?;
            let address = listener.local_addr()?;
            Ok::<_, StartError>((listener, address))
        };
        Ok(Self {
            public: bound("requests", public)?,
            admin: bound("health and metrics", admin)?,
        })
    }

    /// Serves on both until it is stopped; `serve` builds the server of the service itself.
    pub fn run(
        self,
        serve: impl FnOnce(TcpListener) -> io::Result<Server>,
        registry: Registry,
        health: web::Data<Health>,
        schedule: RunningSchedule,
    ) -> Result<Running, StartError> {
        let (public, address) = self.public;
        let (admin_listener, admin_address) = self.admin;
        let running = Running {
            address,
            admin_address,
            public: Spawned::of(serve(public)?),
            admin: Spawned::of(admin(admin_listener, registry, health.clone())?),
            health,
            schedule,
        };
        log::info!("serving on {address}, operators on {admin_address}");
        Ok(running)
    }
}

/// A service that runs. Stop it, or wait for the signal that does.
pub struct Running {
    /// Where the service listens.
    pub address: SocketAddr,
    /// Where the operator's routes listen.
    pub admin_address: SocketAddr,
    health: web::Data<Health>,
    schedule: RunningSchedule,
    public: Spawned,
    admin: Spawned,
}

struct Spawned {
    handle: ServerHandle,
    ended: JoinHandle<io::Result<()>>,
}

impl Spawned {
    fn of(server: Server) -> Self {
        Self {
            handle: server.handle(),
            ended: tokio::spawn(server),
        }
    }

    async fn stop(self) {
        self.handle.stop(true).await;
        match self.ended.await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => log::warn!("a server ended badly: {cause}"),
            Err(cause) => log::warn!("a server's task ended badly: {cause}"),
        }
    }
}

impl Running {
    /// Serves until SIGTERM or SIGINT, then stops in order.
    ///
    /// For `drain` it is not ready and still answers, with `Connection: close`: so long a load balancer may
    /// take to notice. A second signal cuts that short.
    pub async fn until_signal(self, drain: Duration) -> Result<(), StartError> {
        signalled().await?;
        self.health.drain();
        if !drain.is_zero() {
            // The time being up is the usual end; a second signal, or none that can be heard, is another.
            let _ = tokio::time::timeout(drain, signalled()).await;
        }
        self.stop().await;
        trace::flush().await;
        log::info!("stopped");
        Ok(())
    }

    /// Stops in order and returns when nothing runs any more.
    pub async fn stop(self) {
        self.health.drain();
        self.schedule.stop().await;
        self.public.stop().await;
        self.admin.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use actix_web::middleware::from_fn;
    use actix_web::rt::net::TcpStream;
    use actix_web::{App, HttpServer, test, web};
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{StartError, UNREAD_AT_MOST, bind, cut_off_unread, limit_head};

    #[actix_web::test]
    async fn what_is_written_to_a_connection_is_sent_at_once() {
        let listener = bind("tests", "127.0.0.1:0".parse().expect("an address"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let _client = TcpStream::connect(address).await.expect("connected");
        let (accepted, _) = listener.accept().expect("a connection");
        assert!(accepted.nodelay().expect("told"));
    }

    #[actix_web::test]
    async fn the_kernel_is_told_how_long_a_client_may_take_nothing() {
        static SEEN: Mutex<Option<Duration>> = Mutex::new(None);
        let listener = bind("tests", "127.0.0.1:0".parse().expect("an address"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = HttpServer::new(|| App::new().route("/", web::get().to(async || "here")))
            .workers(1)
            .disable_signals()
            .on_connect(|connection, _| {
                let stream = connection.downcast_ref::<TcpStream>();
                let told = stream.and_then(|it| {
                    cut_off_unread(it);
                    SockRef::from(it).tcp_user_timeout().ok()
                });
                *SEEN.lock().expect("not poisoned") = told.flatten();
            })
            .listen(listener)
            .expect("listens")
            .run();
        let handle = server.handle();
        let running = actix_web::rt::spawn(server);
        let mut client = TcpStream::connect(address).await.expect("connected");
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"));
        assert_eq!(*SEEN.lock().expect("not poisoned"), Some(UNREAD_AT_MOST));
        handle.stop(false).await;
        running.await.expect("ended").expect("in order");
    }

    #[actix_web::test]
    async fn a_head_that_is_longer_than_any_honest_one_is_refused() {
        let app = test::init_service(
            App::new()
                .wrap(from_fn(limit_head))
                .default_service(web::to(async || "here")),
        )
        .await;
        for (length, status) in [(31_000, 200), (33_000, 431)] {
            let long = "x".repeat(length);
            let header = test::TestRequest::get().insert_header(("x-long", long.clone()));
            let path = test::TestRequest::with_uri(&format!("/?{long}"));
            for request in [header, path] {
                let answer = test::call_service(&app, request.to_request()).await;
                assert_eq!(answer.status(), status);
            }
        }
    }

    #[::core::prelude::v1::test]
    fn an_address_that_is_taken_is_named() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let taken = bind("tests", any).expect("a free port");
        let address = taken.local_addr().expect("bound");
        let refused = bind("tests", address).expect_err("taken");
        assert!(matches!(refused, StartError::Listen { .. }));
        assert!(refused.to_string().contains(&address.to_string()));
    }
}
