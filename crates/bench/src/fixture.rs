//! Owns the processes that are measured, and asking them for one thing at a time.
//!
//! One stack of the real binaries, the limit server, and a second gateway in front of it: there the service behind
//! costs nothing, so what is seen is the gateway.

use std::io;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use loadtest::{Answer, Connection, Target};
use serde_json::{Value, json};
use testbed::{
    Brokers, Profile, Program, ProgramOptions, Scratch, Stack, StackOptions, binary, free_port,
};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::line::Line;
use crate::plan::Plan;

const READY: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
/// As long as a gateway's own passes.
const PASS_S: u64 = 30;
/// The queue of the concert.
pub const QUEUE: &str = "main";

/// All that runs.
pub struct Fixture {
    /// The real thing.
    pub stack: Stack,
    /// Redis, for filling and looking.
    pub line: Line,
    /// The smallest server.
    pub limit: Program,
    /// A gateway with the smallest server behind it.
    pub front: Program,
    /// How much is measured.
    pub plan: Plan,
    /// The concert that all dates belong to.
    concert: String,
    signing: EncodingKey,
    scratch: Scratch,
}

/// Somebody with a place, or inside.
pub struct Visitor {
    /// Who.
    pub user: Uuid,
    /// What `Authorization` says.
    pub bearer: String,
    /// The ticket number.
    pub ticket: u64,
    /// `waiting` or `active`.
    pub state: String,
}

/// What was answered to a single request.
pub struct Said {
    /// The status.
    pub status: u16,
    /// The body, `null` if it is no JSON.
    pub body: Value,
    /// The version that the answer names.
    pub tag: Option<String>,
}

impl Fixture {
    /// Starts everything but the way of events.
    pub fn open(plan: Plan) -> io::Result<Self> {
        Self::with(plan, Brokers::None)
    }

    /// Starts everything, also the way of events where there are brokers.
    pub fn with(plan: Plan, brokers: Brokers) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let mut options = StackOptions::new(scratch.path());
        options.profile = if cfg!(debug_assertions) {
            Profile::Debug
        } else {
            Profile::Release
        };
        options.brokers = brokers;
        // Nothing that a benchmark holds ends while it runs; the sweeper has nothing to do.
        options.booking_environment = vec![("BOOKING_HOLD_S".into(), "3600".into())];
        // A few tokens are polled as fast as the gateway answers.
        options.gateway_environment = vec![("GATEWAY_VISIT_POLLS_PER_S".into(), "0".into())];
        let stack = Stack::start(options)?;
        let line = Line::open(&stack.redis_url())?;
        let limit = start_limit(&stack, scratch.path())?;
        let front = start_front(&stack, &limit, scratch.path())?;
        let secret = URL_SAFE_NO_PAD
            .decode(stack.pass_key())
            .map_err(io::Error::other)?;
        let mut fixture = Self {
            stack,
            line,
            limit,
            front,
            plan,
            concert: String::new(),
            signing: EncodingKey::from_secret(&secret),
            scratch,
        };
        fixture.concert = fixture.concert()?;
        Ok(fixture)
    }

    /// Where the processes keep their files.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The gateway.
    pub fn gateway(&self) -> Target {
        Target::local(self.stack.gateways[0].port())
    }

    /// The service itself.
    pub fn booking(&self) -> Target {
        Target::local(self.stack.bookings[0].port())
    }

    /// The smallest server.
    pub fn limit(&self) -> Target {
        Target::local(self.limit.port())
    }

    /// The gateway in front of the smallest server.
    pub fn front(&self) -> Target {
        Target::local(self.front.port())
    }

    /// A new date with this many seats of 100 each.
    pub fn date(&self, seats: usize) -> io::Result<Uuid> {
        self.date_of(&self.concert, seats)
    }

    /// A new date of this concert.
    pub fn date_of(&self, concert: &str, seats: usize) -> io::Result<Uuid> {
        let section = json!({ "grade": "ALL", "price": 100, "from": 1, "to": seats });
        let date = json!({ "startsAt": "2099-01-01T20:00:00Z", "sections": [section] });
        let path = format!("/api/v1/admin/concerts/{concert}/schedules");
        Uuid::parse_str(&self.make(&path, &date)?).map_err(io::Error::other)
    }

    /// A new concert behind the queue.
    pub fn concert(&self) -> io::Result<String> {
        let concert = json!({ "title": "A sold-out night", "queue": QUEUE });
        self.make("/api/v1/admin/concerts", &concert)
    }

    fn make(&self, path: &str, body: &Value) -> io::Result<String> {
        let said = self.operate("POST", path, body)?;
        let id = said.body["id"].as_str().filter(|_| said.status == 201);
        id.map(str::to_owned).ok_or_else(|| refused(path, &said))
    }

    fn operate(&self, method: &str, path: &str, body: &Value) -> io::Result<Said> {
        let bearer = format!("Bearer {}", self.stack.operator_key());
        let headers = [("Authorization", bearer.as_str())];
        Caller::of(self.gateway())?.ask(method, path, &headers, body)
    }

    /// Sets the rules of a queue, and waits until the gateways know them.
    pub fn rule(&self, queue: &str, policy: &Value) -> io::Result<()> {
        let path = format!("/api/v1/queues/{queue}");
        let said = self.operate("PUT", &path, policy)?;
        if !matches!(said.status, 200 | 201) {
            return Err(refused(&path, &said));
        }
        let mut callers = [Caller::of(self.gateway())?, Caller::of(self.front())?];
        for caller in &mut callers {
            testbed::wait_for("the rules of a queue", READY, || {
                let told = caller.ask("GET", &path, &[], &Value::Null).ok()?;
                (told.body["state"] == policy["state"]).then_some(())
            })?;
        }
        Ok(())
    }

    /// Ends a queue: its line costs nothing more.
    pub fn remove(&self, queue: &str) -> io::Result<()> {
        let path = format!("/api/v1/queues/{queue}");
        self.operate("DELETE", &path, &Value::Null).map(|_| ())
    }

    /// So many join one after another at the gateway.
    pub fn join(&self, queue: &str, count: usize) -> io::Result<Vec<Visitor>> {
        let mut caller = Caller::of(self.gateway())?;
        let path = format!("/api/v1/queues/{queue}/tokens");
        let mut join = || {
            let user = Uuid::new_v4();
            let said = caller.ask("POST", &path, &[], &json!({ "userId": user }))?;
            let text = |name: &str| said.body[name].as_str().map(str::to_owned);
            let token = text("token").ok_or_else(|| refused(&path, &said))?;
            Ok(Visitor {
                user,
                bearer: format!("Bearer {token}"),
                ticket: said.body["ticketNumber"].as_u64().unwrap_or(0),
                state: text("state").unwrap_or_default(),
            })
        };
        (0..count).map(|_| join()).collect()
    }

    /// What a gateway would say of somebody inside. Good for 30 seconds.
    pub fn minter(&self) -> Minter {
        Minter {
            key: self.signing.clone(),
        }
    }
}

/// Mints passes as a gateway does.
#[derive(Clone)]
pub struct Minter {
    key: EncodingKey,
}

impl Minter {
    /// A pass of an active visitor.
    pub fn pass(&self, user: Uuid) -> String {
        let claims = json!({
            "sub": user, "queue": QUEUE, "level": "active", "exp": now().as_secs() + PASS_S,
        });
        encode(&Header::new(Algorithm::HS256), &claims, &self.key).unwrap_or_default()
    }
}

/// Since 1970.
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// One connection that is asked for one thing at a time.
pub struct Caller {
    runtime: Runtime,
    connection: Connection,
    request: Vec<u8>,
}

impl Caller {
    /// Asks there.
    pub fn of(target: Target) -> io::Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            connection: Connection::new(target, LIMIT),
            request: Vec::new(),
        })
    }

    /// Sends a request and reads the answer; a body of `null` is none.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> io::Result<Said> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.send(method, path, headers, body.as_bytes())?;
        Ok(Said {
            status: answer.status,
            body: serde_json::from_slice(answer.body).unwrap_or(Value::Null),
            tag: answer.header("etag").map(str::to_owned),
        })
    }

    /// Asks for something with these headers and looks at nothing but the status.
    pub fn status(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<u16> {
        Ok(self.send("GET", path, headers, b"")?.status)
    }

    /// What is answered there, as text.
    pub fn text(&mut self, path: &str) -> io::Result<String> {
        let answer = self.send("GET", path, &[], b"")?;
        Ok(String::from_utf8_lossy(answer.body).into_owned())
    }

    fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer<'_>> {
        let target = self.connection.target().clone();
        self.request.clear();
        target.request(&mut self.request, method, path, headers, body);
        let answer = self.runtime.block_on(self.connection.send(&self.request));
        answer.map_err(io::Error::other)
    }
}

fn refused(path: &str, said: &Said) -> io::Error {
    io::Error::other(format!("{path} answered {}: {}", said.status, said.body))
}

fn start_limit(stack: &Stack, folder: &Path) -> io::Result<Program> {
    let port = free_port();
    let workers = available_parallelism().map_or(1, usize::from);
    let mut limit = Program::start(
        "limit",
        ProgramOptions {
            binary: std::env::current_exe()?,
            arguments: vec![
                "limit".into(),
                port.to_string(),
                stack.redis_url(),
                workers.to_string(),
            ],
            environment: Vec::new(),
            port,
            log: folder.join("limit.log"),
        },
    )?;
    limit.wait_ready(READY)?;
    Ok(limit)
}

fn start_front(stack: &Stack, limit: &Program, folder: &Path) -> io::Result<Program> {
    let (port, admin) = (free_port(), free_port());
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let profile = if cfg!(debug_assertions) {
        Profile::Debug
    } else {
        Profile::Release
    };
    let mut front = Program::start(
        "front",
        ProgramOptions {
            binary: binary("gateway", profile)?,
            arguments: Vec::new(),
            environment: vec![
                variable("GATEWAY_LISTEN", format!("127.0.0.1:{port}")),
                variable("GATEWAY_ADMIN_LISTEN", format!("127.0.0.1:{admin}")),
                variable("GATEWAY_REDIS_URL", stack.redis_url()),
                variable("GATEWAY_IDENTITY", "open".to_owned()),
                variable("GATEWAY_UPSTREAM", limit.url()),
                variable("GATEWAY_TOKEN_KEYS", format!("dev:{}", stack.token_key())),
                variable("GATEWAY_PASS_KEY", stack.pass_key().to_owned()),
                variable("GATEWAY_VISIT_POLLS_PER_S", "0".to_owned()),
            ],
            port,
            log: folder.join("front.log"),
        },
    )?;
    front.wait_ready(READY)?;
    Ok(front)
}
