//! Stands between a browser and the gateways, as a load balancer or a bad network does.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A port of its own. Each connection goes to the first gateway that takes it.
pub struct Relay {
    address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    gateways: Vec<SocketAddr>,
    /// How the request begins whose next answer gets lost.
    watched: Mutex<String>,
    loses: AtomicBool,
    /// Requests that began so.
    count: AtomicUsize,
    is_over: AtomicBool,
}

impl Relay {
    /// Before these gateways.
    pub fn start(urls: &[String]) -> Self {
        let address = |url: &String| url.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            wire: Arc::new(Wire {
                gateways: urls.iter().map(address).collect(),
                watched: Mutex::default(),
                loses: AtomicBool::new(false),
                count: AtomicUsize::new(0),
                is_over: AtomicBool::new(false),
            }),
        };
        let wire = Arc::clone(&relay.wire);
        thread::spawn(move || {
            for client in listener.incoming() {
                if wire.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let wire = Arc::clone(&wire);
                thread::spawn(move || wire.join(client.ok()?));
            }
        });
        relay
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that begins so is passed on, and its answer is lost with the connection.
    pub fn lose_answer_to(&self, request: &str) {
        request.clone_into(&mut self.wire.watched.lock().unwrap());
        self.wire.loses.store(true, Ordering::SeqCst);
    }

    /// How many requests began so.
    pub fn count(&self) -> usize {
        self.wire.count.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.wire.is_over.store(true, Ordering::SeqCst);
        // Wakes the one that listens.
        let _ = TcpStream::connect(self.address);
    }
}

impl Wire {
    /// Passes on what both sides say, until one ends. Nobody asks for the value.
    fn join(&self, mut client: TcpStream) -> Option<()> {
        let connected = self.gateways.iter().map(TcpStream::connect);
        let mut gateway = connected.flatten().next()?;
        let is_cut = Arc::new(AtomicBool::new(false));
        let answers = (gateway.try_clone().ok()?, client.try_clone().ok()?);
        let cuts = Arc::clone(&is_cut);
        thread::spawn(move || pass_answers(answers, &cuts));
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = client.read(&mut piece) {
            self.look_at(&piece[..length], &is_cut);
            gateway.write_all(&piece[..length]).ok()?;
        }
        gateway.shutdown(Shutdown::Both).ok()
    }

    fn look_at(&self, piece: &[u8], is_cut: &AtomicBool) {
        let watched = self.watched.lock().unwrap();
        if watched.is_empty() || !piece.starts_with(watched.as_bytes()) {
            return;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.loses.swap(false, Ordering::SeqCst) {
            is_cut.store(true, Ordering::SeqCst);
        }
    }
}

/// What is said after the cut never arrives.
fn pass_answers((mut gateway, mut client): (TcpStream, TcpStream), is_cut: &AtomicBool) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = gateway.read(&mut piece) {
        if is_cut.load(Ordering::SeqCst) || client.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = gateway.shutdown(Shutdown::Both);
}
