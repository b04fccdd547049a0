//! Owns the HTTP server of a service: an application of actix-web on connections of actix-http, with what
//! actix-web's own server has no place for.
//!
//! `100 Continue` is sent when the application first asks for the body, so who is refused never
//! uploads. What the parser refuses by itself is a problem with a request id like every other refusal.
//! And a connection may be handed over to a handler that speaks another protocol on it.

mod connection;
mod expect;
mod refusal;

use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::{Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;

use crate::server;
use connection::Connection;
use expect::{Application, Expecting};

pub use connection::{Handed, Handle};

/// What is left of a body after an early answer is read for so long, so that the answer is not lost.
const LINGER: Duration = Duration::from_secs(1);

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub struct HttpRules {
    /// Threads; 0 is one a core.
    pub workers: usize,
    /// Longest time between two requests of one connection.
    pub keep_alive: Duration,
    /// Longest time in which the head of a first request may come.
    pub head_timeout: Duration,
    /// How long a stop waits for what runs.
    pub grace: Duration,
}

/// Serves the application that `app` makes for each worker.
///
/// A client that closes its half is gone: what it asked for is dropped. One that reads nothing is cut
/// off.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve<F, I, S, B>(listener: TcpListener, rules: HttpRules, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + Into<Response<BoxBody>> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let builder = ServerBuilder::default();
    let builder = match rules.workers {
        0 => builder,
        workers => builder.workers(workers),
    };
    let stopping = builder.graceful_shutdown_signal();
    let on_connection = move || {
        let stopping = stopping.clone();
        let shared = Rc::new(RefCell::new(None));
        let app = map_config(app().into_factory(), |()| AppConfig::default());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(rules.keep_alive)
            .client_request_timeout(rules.head_timeout)
            .client_disconnect_timeout(LINGER)
            .h1_allow_half_closed(false)
            .on_connect_ext(|io: &Connection, data| {
                data.insert(io.handle());
            })
            .expect(Expecting::of(&shared))
            .finish(Application::new(app, shared));
        let accept = |stream: TcpStream| async move {
            server::cut_off_unread(&stream);
            let peer = stream.peer_addr().ok();
            Ok((Connection::new(stream), Protocol::Http1, peer))
        };
        fn_service(accept).and_then(http)
    };
    Ok(builder
        .shutdown_timeout(rules.grace.as_secs())
        .disable_signals()
        .listen("http", listener, on_connection)?
        .run())
}
