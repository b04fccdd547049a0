//! Owns the processes that are measured, and asking them for one thing at a time.
//!
//! One stack of the real binaries, the limit server, and a second gateway in front of that: the service behind it costs
//! nothing, so the figures are the gateway's own.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use loadtest::{Answer, Connection, Operator, Request, Target, Trouble, machine};
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::{Brokers, Profile, Program, ProgramOptions, Scratch, Stack, StackOptions};
use testbed::{find_program, free_port};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::line::Line;
use crate::plan::Plan;

const READY: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(30);
/// The scheduler's steps are a second apart; who is away is known as absent after two silences of some seconds.
pub const MOVED: Duration = Duration::from_secs(60);
/// As long as a gateway's own passes.
const PASS_S: u64 = 30;
/// The queue of the concert.
pub const QUEUE: &str = "main";

/// What is asked of the database server.
const SETTINGS: &str = "SELECT CONCAT_WS(', ', \
    CONCAT('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit), \
    CONCAT('innodb_doublewrite=', @@innodb_doublewrite), \
    CONCAT('innodb_buffer_pool_size=', @@innodb_buffer_pool_size DIV 1048576, 'M'), \
    CONCAT('innodb_log_file_size=', @@innodb_log_file_size DIV 1048576, 'M'), \
    CONCAT('log_bin=', @@log_bin), IF(@@datadir LIKE '/dev/shm%', 'data in RAM', 'data on disk'))";

/// How this program was built; it takes the services from the same folder.
const PROFILE: Profile = if cfg!(debug_assertions) {
    Profile::Debug
} else {
    Profile::Release
};

/// All that runs.
pub struct Fixture {
    /// The real binaries with their servers.
    pub stack: Stack,
    /// Redis, for filling and looking.
    pub line: Line,
    /// How much is measured.
    pub plan: Plan,
    /// The gateway.
    pub gateway: Target,
    /// The service itself.
    pub booking: Target,
    /// The smallest server.
    pub limit: Target,
    /// A gateway with the smallest server behind it.
    pub front: Target,
    /// Mints passes as a gateway does.
    pub minter: Minter,
    /// They run for as long as this.
    _servers: [Program; 2],
    /// The concert that all dates belong to.
    concert: String,
    operator: Operator,
    runtime: Runtime,
    scratch: Scratch,
}

/// Somebody with a place, or inside.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visitor {
    /// Who.
    #[serde(rename = "userId")]
    pub user: Uuid,
    /// What proves the place.
    pub token: String,
    /// The order of joining.
    pub ticket_number: u64,
    /// `waiting` or `active`.
    pub state: String,
}

/// The rules of a queue whose visits outlast every run: `open` or `paused`, most inside, most let in a second.
pub fn rules(state: &str, most: usize, per_second: usize) -> Value {
    json!({
        "state": state, "maxActive": most, "admitPerSecond": per_second,
        "leaseSeconds": 86_400, "claimSeconds": 3_600, "maxWaiting": 10_000_000,
    })
}

/// Lets everybody in at once.
pub fn roomy() -> Value {
    rules("open", 1_000_000, 100_000)
}

/// One visitor fills all the room for as long as there is.
pub fn full() -> Value {
    rules("open", 1, 100_000)
}

impl Fixture {
    /// Starts everything but brokers and forwarders.
    pub fn open(plan: Plan) -> Result<Self> {
        Self::with(plan, Brokers::None)
    }

    /// Starts everything, with forwarders where there are brokers.
    pub fn with(plan: Plan, brokers: Brokers) -> Result<Self> {
        let scratch = Scratch::new()?;
        let options = || StackOptions {
            profile: PROFILE,
            // Nothing that a benchmark holds ends while it runs; the sweeper has nothing to do.
            booking_environment: vec![("BOOKING_HOLD_S".into(), "3600".into())],
            // A few tokens are polled as fast as the gateway answers.
            gateway_environment: vec![("GATEWAY_VISIT_POLLS_PER_S".into(), "0".into())],
            ..StackOptions::new(scratch.path())
        };
        let stack = Stack::start(StackOptions {
            brokers,
            ..options()
        })?;
        let line = Line::open(&stack.redis_url())?;
        let server = start_limit(&stack, scratch.path())?;
        let before = stack.start_gateway_before(server.url(), "front", &options())?;
        let secret = URL_SAFE_NO_PAD.decode(stack.pass_key())?;
        let ports = [&stack.gateways[0], &stack.bookings[0], &server, &before];
        let [gateway, booking, limit, front] = ports.map(|it| Target::local(it.port()));
        let mut fixture = Self {
            operator: Operator::new(vec![gateway, front], stack.operator_key()),
            stack,
            line,
            plan,
            gateway,
            booking,
            limit,
            front,
            minter: Minter(EncodingKey::from_secret(&secret)),
            _servers: [server, before],
            concert: String::new(),
            runtime: Builder::new_current_thread().enable_all().build()?,
            scratch,
        };
        fixture.concert = fixture.concert()?;
        Ok(fixture)
    }

    /// What the figures are measured on: the machine, the versions, the settings that matter.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let profile = match PROFILE {
            Profile::Debug => "debug",
            Profile::Release => "release",
        };
        let settings = self.stack.mariadb().execute(SETTINGS).unwrap_or_default();
        let mut all = machine::facts();
        all.extend([
            ("profile", profile.into()),
            ("redis-server", version("redis-server")),
            ("redis settings", "appendonly no, save off".into()),
            ("mariadbd", version("mariadbd")),
            ("mariadbd settings", settings.trim().to_owned()),
            ("client", "1 thread, in the process of the benchmark".into()),
        ]);
        all
    }

    /// Where the processes keep their files.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// A new concert behind the queue.
    pub fn concert(&self) -> Result<String> {
        self.operate(self.operator.concert("A sold-out night", QUEUE))
    }

    /// A new date with this many seats of 100 each.
    pub fn date(&self, seats: usize) -> Result<Uuid> {
        self.date_of(&self.concert, seats)
    }

    /// A new date of this concert.
    pub fn date_of(&self, concert: &str, seats: usize) -> Result<Uuid> {
        let date = self.operator.date(concert, u32::try_from(seats)?, 100);
        Ok(Uuid::parse_str(&self.operate(date)?)?)
    }

    /// Sets the rules of a queue, and waits until the gateways know them.
    pub fn rule(&self, queue: &str, rules: &Value) -> Result<()> {
        self.operate(self.operator.rule(queue, rules))
    }

    /// Changes the rules of a queue, and waits for nothing.
    pub fn change(&self, queue: &str, rules: &Value) -> Result<()> {
        self.operate(self.operator.change(queue, rules))
    }

    /// Ends a queue: its line costs nothing more.
    pub fn remove(&self, queue: &str) -> Result<()> {
        self.operate(self.operator.remove(queue))
    }

    fn operate<T>(&self, act: impl Future<Output = Result<T, Trouble>>) -> Result<T> {
        self.runtime.block_on(act).map_err(Error::msg)
    }

    /// Waits until as many as `is_enough` says are in one of the sorted sets of a queue; says how many.
    pub fn wait_for(
        &mut self,
        what: &str,
        (queue, part): (&str, &str),
        is_enough: impl Fn(u64) -> bool,
    ) -> Result<u64> {
        let line = &mut self.line;
        let count = || line.count(queue, part).ok().filter(|it| is_enough(*it));
        Ok(testbed::wait_for(what, MOVED, count)?)
    }

    /// So many join one after another at the gateway.
    pub fn join(&self, queue: &str, count: usize) -> Result<Vec<Visitor>> {
        let mut caller = Caller::of(self.gateway)?;
        let path = format!("/api/v1/queues/{queue}/tokens");
        let mut join = || {
            let request = Request::post(&path, &json!({ "userId": Uuid::new_v4() }));
            Ok(serde_json::from_value(caller.make(request)?)?)
        };
        (0..count).map(|_| join()).collect()
    }
}

/// Mints passes as a gateway does.
#[derive(Clone)]
pub struct Minter(EncodingKey);

impl Minter {
    /// The request with a pass of an active visitor, good for 30 seconds.
    pub fn admit(&self, user: Uuid, request: Request) -> Request {
        let claims = json!({
            "sub": user, "queue": QUEUE, "level": "active",
            "exp": get_current_timestamp() + PASS_S,
        });
        let pass = encode(&Header::new(Algorithm::HS256), &claims, &self.0);
        request.with("x-usher-pass", &pass.unwrap_or_default())
    }
}

/// One connection that is asked for one thing at a time, on whatever thread.
pub struct Caller {
    runtime: Runtime,
    connection: Connection,
}

impl Caller {
    /// Asks there.
    pub fn of(target: Target) -> Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            connection: Connection::new(target, LIMIT),
        })
    }

    /// Sends a request and waits for its answer.
    pub fn send(&mut self, request: Request) -> Result<Answer> {
        Ok(self.runtime.block_on(self.connection.send(request))?)
    }

    /// Sends a request that makes something, and gives what was made.
    pub fn make(&mut self, request: Request) -> Result<Value> {
        let what = request.to_string();
        let answer = self.send(request)?;
        let (status, body) = (answer.status, answer.json());
        ensure!(status == 201, "{what} answered {status}: {body}");
        Ok(body)
    }
}

fn start_limit(stack: &Stack, folder: &Path) -> Result<Program> {
    let (port, workers) = (free_port(), available_parallelism().map_or(1, usize::from));
    let arguments = [
        "limit",
        &port.to_string(),
        &stack.redis_url(),
        &workers.to_string(),
    ];
    let options = ProgramOptions {
        binary: std::env::current_exe()?,
        arguments: arguments.map(str::to_owned).into(),
        environment: Vec::new(),
        port,
        log: folder.join("limit.log"),
    };
    let mut limit = Program::start("limit", options)?;
    limit.wait_ready(READY)?;
    Ok(limit)
}

/// The first word of what a program says of its version that begins with a digit.
fn version(program: &str) -> String {
    let found = find_program(program).ok();
    let output = found.and_then(|path| Command::new(path).arg("--version").output().ok());
    let told = output.map(|it| it.stdout).unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let words = told.split_whitespace();
    let mut words = words.map(|word| word.trim_start_matches("v="));
    let found = words.find(|word| word.starts_with(|it: char| it.is_ascii_digit()));
    found.unwrap_or("unknown").to_owned()
}
