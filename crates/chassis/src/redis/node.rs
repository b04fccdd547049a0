//! Owns the connection to one Redis server, behind its breaker.
//!
//! A connection on which nothing came is given up with the server: in a network that dropped packets an old
//! one speaks again only after as long as the cut was, and a new one at once.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult,
    Value,
};
use thread_local::ThreadLocal;

use super::refusal::{self, was_not_reached};
use super::{CALL_TIMEOUT, CONNECT_TIMEOUT, slot};
use crate::breaker::Breaker;

/// A healthy Redis has a few dozen calls in flight, and thousands for a moment when a crowd comes at
/// once. So many mean that it cannot follow.
const MOST_IN_FLIGHT: usize = 32_768;
/// Reconnecting is tried again at least this often while Redis is away.
const RECONNECT_AT_MOST: Duration = Duration::from_secs(1);

/// Host and port.
pub(super) type Address = (String, u16);

/// One server.
pub(super) struct Node {
    pub address: Address,
    client: Client,
    /// A connection for each thread that asks. It is driven by the runtime in which it was made, and an
    /// answer that comes to another thread would cost two wake-ups.
    managers: ThreadLocal<RefCell<Option<Dialled>>>,
    /// Connections of an earlier generation are used for no call any more.
    generation: AtomicU64,
    breaker: Breaker,
}

/// A connection, and of which generation it is.
struct Dialled {
    generation: u64,
    manager: ConnectionManager,
}

/// What a server is asked.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    /// With the number of answers to leave out, and of those to return.
    Pipeline(&'a Pipeline, usize, usize),
}

/// What came of it.
pub(super) enum Outcome {
    /// The server spoke; what it said may be an error too.
    Answered(RedisResult<Vec<Value>>),
    /// It could not be reached or said nothing in time.
    Unreachable(RedisError),
    /// It was not asked, because an earlier call was not answered.
    Refused(RedisError),
}

impl From<Outcome> for RedisResult<Vec<Value>> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Unreachable(cause) | Outcome::Refused(cause) => Err(cause),
        }
    }
}

impl Outcome {
    /// The code and the rest of the first error that the server said.
    pub fn error(&self) -> Option<(&str, &str)> {
        match self {
            Self::Answered(Ok(values)) => values.iter().find_map(|value| match value {
                Value::ServerError(error) => {
                    Some((error.code(), error.details().unwrap_or_default()))
                }
                _ => None,
            }),
            Self::Answered(Err(cause)) => Some((cause.code()?, cause.detail().unwrap_or_default())),
            Self::Unreachable(_) | Self::Refused(_) => None,
        }
    }
}

impl Request<'_> {
    /// The first key.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Command(command) => slot::key(command),
            Self::Pipeline(pipeline, ..) => slot::key(pipeline.cmd_iter().next()?),
        }
    }
}

impl Node {
    /// Connects at first use.
    pub fn new(info: ConnectionInfo) -> RedisResult<Self> {
        Ok(Self {
            address: address_of(info.addr()),
            client: Client::open(info)?,
            managers: ThreadLocal::new(),
            generation: AtomicU64::new(0),
            breaker: Breaker::new(MOST_IN_FLIGHT),
        })
    }

    /// The same login at another address.
    pub fn at(info: &ConnectionInfo, (host, port): Address) -> RedisResult<Self> {
        let addr = match info.addr().clone() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self::new(info.clone().set_addr(addr))
    }

    pub fn is_circuit_open(&self) -> bool {
        self.breaker.is_open()
    }

    pub fn in_flight(&self) -> usize {
        self.breaker.in_flight()
    }

    pub fn db(&self) -> i64 {
        self.client.get_connection_info().redis_settings().db()
    }

    pub async fn ask(&self, request: Request<'_>) -> Outcome {
        let call = match self.breaker.pass() {
            Ok(call) => call,
            Err(refused) => return Outcome::Refused(io::Error::other(refused).into()),
        };
        let answer = tokio::time::timeout(CALL_TIMEOUT, self.send(request))
            .await
            .unwrap_or_else(|late| Err(io::Error::from(late).into()));
        match answer {
            Err(cause) if was_not_reached(&cause) => {
                if !call.unreachable() {
                    return Outcome::Unreachable(cause);
                }
                self.dial_anew();
                let addr = self.client.get_connection_info().addr();
                Outcome::Unreachable(refusal::in_words(addr, cause).await)
            }
            answer => {
                call.answered();
                if matches!(&answer, Err(cause) if cause.kind() == ErrorKind::AuthenticationFailed)
                {
                    // The next call logs in again: the server may know the password by then.
                    self.dial_anew();
                }
                Outcome::Answered(answer)
            }
        }
    }

    fn dial_anew(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    async fn send(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        let mut manager = self.manager()?;
        match request {
            Request::Command(command) => Ok(vec![manager.req_packed_command(command).await?]),
            Request::Pipeline(pipeline, offset, count) => {
                manager.req_packed_commands(pipeline, offset, count).await
            }
        }
    }

    fn manager(&self) -> RedisResult<ConnectionManager> {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut own = self.managers.get_or_default().borrow_mut();
        match &*own {
            Some(dialled) if dialled.generation == generation => Ok(dialled.manager.clone()),
            _ => {
                // How long an answer may take is bounded by the call.
                let config = ConnectionManagerConfig::new()
                    .set_response_timeout(None)
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_number_of_retries(1)
                    .set_max_delay(RECONNECT_AT_MOST);
                let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), config)?;
                *own = Some(Dialled {
                    generation,
                    manager: manager.clone(),
                });
                Ok(manager)
            }
        }
    }
}

fn address_of(addr: &ConnectionAddr) -> Address {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        other => (other.to_string(), 0),
    }
}
