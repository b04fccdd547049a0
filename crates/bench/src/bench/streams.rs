//! `streams`: visitors who watch their place by server-sent events, and a line that stands still.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use loadtest::machine::{Process, raise_open_files};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixture::{Fixture, Visitor, full};
use crate::report::Row;

const QUEUE: &str = "streams";
/// What client and gateway need beside the streams.
const OTHER_FILES: usize = 500;
/// For the first bytes of a stream.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the last stream has begun.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens them all, waits, and looks at the gateway.
pub fn run(fixture: &mut Fixture) -> Result<Vec<Row>> {
    let most = raise_open_files().saturating_sub(OTHER_FILES);
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
    let streams = runtime.block_on(open_all(fixture.gateway.address(), &visitors[1..]))?;
    let watching = streams.into_iter().map(|it| runtime.spawn(drain(it)));
    let watching: Vec<_> = watching.collect();
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
    let what = format!("memory of a gateway with {count} streams");
    let mut memory = Row::of(what, &[mib], "MiB")
        .below(1024.0)
        .note(format!("{each:.1} KiB for each stream"));
    let wanted = fixture.plan.streams;
    if count < wanted {
        memory = memory.note(format!("{count} of {wanted}: no more files may be open"));
    }
    memory.errors = ended as u64;
    let what = "CPU of it while nothing happens";
    let idle = Row::of(what, &[share], "% of a core")
        .below(20.0)
        .note(format!("Redis meanwhile: {redis_share:.1} % of a core"));
    Ok(vec![memory, idle])
}

/// A hundred at a time: more would wait for each other at the listener.
async fn open_all(address: SocketAddr, visitors: &[Visitor]) -> Result<Vec<TcpStream>> {
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
         Accept: text/event-stream\r\nAuthorization: Bearer {}\r\n\r\n",
        visitor.token
    )
}

/// A stream whose first bytes have come.
async fn open(address: SocketAddr, request: String) -> Result<TcpStream> {
    let begun = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut start).await?;
        let told = String::from_utf8_lossy(&start);
        ensure!(told.ends_with("200"), "a stream begins with {told}");
        Ok(stream)
    };
    timeout(PATIENCE, begun).await?
}

/// Reads what comes until it ends.
async fn drain(mut stream: TcpStream) {
    let mut piece = [0; 512];
    while stream.read(&mut piece).await.is_ok_and(|bytes| bytes > 0) {}
}
