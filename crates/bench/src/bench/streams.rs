//! `streams`: visitors who watch their place by server-sent events, and a line that stands still.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::poll::full;
use crate::fixture::{Fixture, Visitor};
use crate::report::{Goal, Row};
use loadtest::machine::{Process, open_files};

const QUEUE: &str = "streams";
/// What client and gateway need beside the streams.
const OTHER_FILES: usize = 500;
/// For the first bytes of a stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the last stream has begun.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens them all, waits, and looks at the gateway.
pub fn run(fixture: &mut Fixture) -> io::Result<Vec<Row>> {
    let most = open_files().saturating_sub(OTHER_FILES);
    let count = fixture.plan.streams.min(most);
    fixture.rule(QUEUE, &full())?;
    let visitors = fixture.join(QUEUE, count + 1)?;
    let gateway = Process::of(fixture.stack.gateways[0].pid());
    let redis = Process::of(fixture.stack.redis().pid());
    let before = gateway.memory()?;
    let time = fixture.plan.turn * 2;
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let streams = runtime.block_on(open_all(fixture.gateway().address(), &visitors[1..]))?;
    let watching: Vec<_> = streams
        .into_iter()
        .map(|it| runtime.spawn(drain(it)))
        .collect();
    thread::sleep(SETTLE.min(time));
    let redis_before = redis.cpu_s()?;
    let share = gateway.share_of_core(time)? * 100.0;
    let redis_share = (redis.cpu_s()? - redis_before) / time.as_secs_f64() * 100.0;
    let memory = gateway.memory()?;
    let ended = watching.iter().filter(|it| it.is_finished()).count();
    runtime.shutdown_background();
    fixture.remove(QUEUE)?;
    let each = memory.saturating_sub(before) as f64 / count as f64 / 1024.0;
    let mib = memory as f64 / f64::from(1 << 20);
    let memory = Row::figure(
        "streams",
        &format!("memory of a gateway with {count} streams"),
        mib,
        "MiB",
    );
    let share = Row::figure(
        "streams",
        "CPU of it while nothing happens",
        share,
        "% of a core",
    );
    let (share_of, ended) = (share.measured.median, ended as u64);
    let fewer = (count < fixture.plan.streams).then(|| {
        format!(
            "{count} of {}: no more files may be open",
            fixture.plan.streams
        )
    });
    let mut memory = memory
        .goal(Goal::below("", mib, 1024.0, "MiB"))
        .note(format!("{each:.1} KiB for each stream"));
    memory.notes.extend(fewer);
    memory.errors = ended;
    Ok(vec![
        memory,
        share
            .goal(Goal::below("", share_of, 20.0, "%"))
            .note(format!("Redis meanwhile: {redis_share:.1} % of a core")),
    ])
}

/// A hundred at a time: more would wait for each other at the listener.
async fn open_all(address: SocketAddr, visitors: &[Visitor]) -> io::Result<Vec<TcpStream>> {
    let mut opened = Vec::new();
    for some in visitors.chunks(100) {
        let mut opening = JoinSet::new();
        for visitor in some {
            opening.spawn(open(address, request(visitor)));
        }
        opened.extend(opening.join_all().await);
    }
    opened.into_iter().collect()
}

fn request(visitor: &Visitor) -> String {
    format!(
        "GET /api/v1/queues/{QUEUE}/tokens/me/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Accept: text/event-stream\r\nAuthorization: {}\r\n\r\n",
        visitor.bearer
    )
}

/// A stream whose first bytes have come.
async fn open(address: SocketAddr, request: String) -> io::Result<TcpStream> {
    let begun = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut start).await?;
        if start.ends_with(b"200") {
            return Ok(stream);
        }
        let start = String::from_utf8_lossy(&start);
        Err(io::Error::other(format!("a stream begins with {start}")))
    };
    timeout(PATIENCE, begun).await?
}

/// Reads what comes until it ends.
async fn drain(mut stream: TcpStream) {
    let mut piece = [0; 512];
    while stream.read(&mut piece).await.is_ok_and(|bytes| bytes > 0) {}
}
