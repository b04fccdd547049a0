//! Owns the question whether a service is well, asked of each of its addresses before visitors notice.
//!
//! It is asked only where the operator says at which path. What is not a success or a redirect within
//! its time is no: the address is left out until it says yes. Without a check, health is what
//! connections show, see `upstream.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, StatusCode, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::upstream::{Origin, Upstream};

/// An address that needs longer would keep visitors waiting.
const WITHIN: Duration = Duration::from_secs(2);

/// Step: asks every address of these services that have a check.
pub async fn check(upstreams: &[Arc<Upstream>]) {
    let all = upstreams.iter().filter_map(|upstream| {
        let path = upstream.rules.check.as_deref()?;
        Some(join_all((0..upstream.addresses()).map(
            move |at| async move {
                let origin = upstream.origin(at);
                let said = timeout(WITHIN, ask(upstream, origin, path)).await;
                upstream.checked(at, &outcome(said.ok()));
            },
        )))
    });
    join_all(all).await;
}

fn outcome(said: Option<io::Result<StatusCode>>) -> Result<(), String> {
    match said {
        Some(Ok(status)) if status.is_success() || status.is_redirection() => Ok(()),
        Some(Ok(status)) => Err(format!("it says {status}")),
        Some(Err(cause)) => Err(cause.to_string()),
        None => Err(format!("it says nothing within {WITHIN:?}")),
    }
}

async fn ask(upstream: &Upstream, origin: &Origin, path: &str) -> io::Result<StatusCode> {
    let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await?;
    if !origin.tls {
        return exchange(TokioIo::new(stream), origin, path).await;
    }
    let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(upstream.rules.trust.rules());
    let stream = connector.connect(name, stream).await?;
    exchange(TokioIo::new(stream), origin, path).await
}

async fn exchange<T>(stream: T, origin: &Origin, path: &str) -> io::Result<StatusCode>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
    let request = Request::get(path)
        .header(header::HOST, &origin.authority)
        .body(String::new())
        .map_err(io::Error::other)?;
    // The answer's body is of no interest: with this the connection ends.
    tokio::select! {
        answer = sender.send_request(request) => {
            answer.map(|it| it.status()).map_err(io::Error::other)
        }
        ended = connection => {
            ended.map_err(io::Error::other)?;
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
