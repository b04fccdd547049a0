//! A network between clients and one server that can be cut without a word: packets are lost, and nobody is told.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

const CHUNK: usize = 16 * 1024;
/// Bytes at the begin of a connection that may tell whose it is: a login, or the name of a node, which stands before what
/// it tells of others.
const FIRST: usize = 256;

/// A port on 127.0.0.1 that leads to another one.
///
/// While it is cut, bytes are swallowed: connections stay open, new ones can be made, and nothing arrives. A
/// connection of which a byte was lost never speaks again, also after the network is whole: a reader that
/// waits for it waits for ever.
#[derive(Debug)]
pub struct Network {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: Cut,
    is_over: bool,
    /// Both ends of all connections.
    streams: Vec<TcpStream>,
}

/// Which connections are cut. A text is looked for among the first bytes of who connected.
#[derive(Debug, Default)]
enum Cut {
    #[default]
    None,
    All,
    AllBut(String),
    Only(String),
}

impl Cut {
    fn hits(&self, link: &Link) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::AllBut(text) => !link.said(text),
            Self::Only(text) => link.said(text),
        }
    }
}

/// One connection, whose two directions share whether it is lost.
#[derive(Debug, Default)]
struct Link {
    first: Mutex<Vec<u8>>,
    is_lost: Mutex<bool>,
}

impl Network {
    /// A network that leads to this port of 127.0.0.1.
    pub fn to(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::spawn(move || own.accept(&listener, target));
        Ok(Self { port, shared })
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing arrives.
    pub fn cut(&self) {
        self.shared.state().cut = Cut::All;
    }

    /// The same, but for connections that said this `text` first: a name in a login, for instance.
    pub fn cut_all_but(&self, text: &str) {
        self.shared.state().cut = Cut::AllBut(text.to_owned());
    }

    /// The same, but for those alone that said it.
    pub fn cut_only(&self, text: &str) {
        self.shared.state().cut = Cut::Only(text.to_owned());
    }

    /// From now on everything arrives.
    pub fn heal(&self) {
        self.shared.state().cut = Cut::None;
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_over = true;
        for stream in state.streams.drain(..) {
            // A side that is gone already needs no goodbye.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes who accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener, target: u16) {
        for client in listener.incoming() {
            if self.state().is_over {
                return;
            }
            // A server that is not there refuses, as it would without this.
            let Ok(client) = client else { continue };
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
                continue;
            };
            if self.link(client, server).is_err() {
                return;
            }
        }
    }

    fn link(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let ends = [client.try_clone()?, server.try_clone()?];
        self.state().streams.extend(ends);
        let link = Arc::new(Link::default());
        let (own, same) = (Arc::clone(self), Arc::clone(&link));
        thread::spawn(move || own.carry(client, to_server, &same, true));
        let own = Arc::clone(self);
        thread::spawn(move || own.carry(server, to_client, &link, false));
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, link: &Link, is_client: bool) {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from.read(&mut chunk).unwrap_or(0);
            if is_client && length > 0 {
                link.hear(&chunk[..length]);
            }
            if self.loses(link) {
                if length == 0 {
                    // That it ended is lost too.
                    return;
                }
            } else if length == 0 || to.write_all(&chunk[..length]).is_err() {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Whether what this connection carries now is lost; then so is all that follows.
    fn loses(&self, link: &Link) -> bool {
        let state = self.state();
        let mut is_lost = lock(&link.is_lost);
        *is_lost |= state.cut.hits(link);
        *is_lost
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Link {
    fn hear(&self, bytes: &[u8]) {
        let mut first = lock(&self.first);
        let room = FIRST - first.len();
        first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn said(&self, text: &str) -> bool {
        let first = lock(&self.first);
        first
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::Network;

    /// A server that sends back what it hears.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut writer = stream.try_clone().expect("a clone");
                    std::io::copy(&mut &stream, &mut writer)
                });
            }
        });
        port
    }

    fn client(network: &Network) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, network.port())).expect("connects");
        let patience = Some(Duration::from_millis(300));
        stream.set_read_timeout(patience).expect("a limit");
        stream
    }

    fn answers(stream: &mut TcpStream, text: &str) -> bool {
        stream.write_all(text.as_bytes()).expect("it stays open");
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard).is_ok() && heard == text.as_bytes()
    }

    #[test]
    fn what_is_sent_while_it_is_cut_is_lost_and_only_new_connections_speak_afterwards() {
        let network = Network::to(echo()).expect("a network");
        let (mut old, mut spared) = (client(&network), client(&network));
        assert!(answers(&mut old, "one") && answers(&mut spared, "friend"));
        network.cut_all_but("friend");
        assert!(!answers(&mut old, "two") && answers(&mut spared, "three"));
        network.cut_only("friend");
        assert!(answers(&mut client(&network), "stranger") && !answers(&mut spared, "four"));
        network.cut();
        assert!(!answers(&mut client(&network), "five"));
        network.heal();
        assert!(!answers(&mut old, "six"), "it waits for what was lost");
        assert!(answers(&mut client(&network), "seven"));
    }
}
