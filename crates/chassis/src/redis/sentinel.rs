//! Owns the way to a master that sentinels watch over.
//!
//! The sentinels are asked for the master at first use, and again whenever it cannot be reached, or says
//! that it is none. Whoever they name must say of itself that it is a master.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::select_ok;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value,
};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use super::node::{Address, Asked, Node, Outcome};
use super::url::Sentinels;
use super::{CONNECT_TIMEOUT, LOOK_PAUSE, LOOK_TIMEOUT};

/// Whoever has it looks; nobody else does.
type LookedAt<'a> = MutexGuard<'a, Option<Instant>>;

/// One master, wherever it is.
pub(super) struct Sentinel {
    named: Sentinels,
    master: RwLock<Option<Arc<Node>>>,
    /// When the sentinels were asked last.
    looked_at: Mutex<Option<Instant>>,
}

impl Sentinel {
    /// Nobody is asked yet.
    pub fn new(named: Sentinels) -> Self {
        Self {
            named,
            master: RwLock::default(),
            looked_at: Mutex::default(),
        }
    }

    pub fn is_left_alone(&self) -> bool {
        self.master().is_some_and(|node| node.is_left_alone())
    }

    pub fn under_way(&self) -> usize {
        self.master().map_or(0, |node| node.under_way())
    }

    pub fn db(&self) -> i64 {
        self.named.redis.redis_settings().db()
    }

    pub async fn ask(&self, asked: Asked<'_>) -> RedisResult<Vec<Value>> {
        let begun = Instant::now();
        let node = match self.master() {
            Some(node) => node,
            None => self.look(begun, LOOK_PAUSE).await?,
        };
        let outcome = node.ask(asked).await;
        if is_no_master(&outcome) {
            // What a replica refuses has changed nothing, so it may be asked again.
            let master = self.look(Instant::now(), Duration::ZERO).await?;
            return master.ask(asked).await.into();
        }
        match outcome {
            Outcome::Answered(answer) => answer,
            // What a silent master has done is not known: the caller hears of it, and the next one finds
            // the new master.
            Outcome::InVain(cause) => {
                self.look_anew().await;
                Err(cause)
            }
            Outcome::Refused(cause) => match self.look_anew().await {
                Some(master) if !Arc::ptr_eq(&master, &node) => master.ask(asked).await.into(),
                _ => Err(cause),
            },
        }
    }

    fn master(&self) -> Option<Arc<Node>> {
        let master = self.master.read().unwrap_or_else(PoisonError::into_inner);
        master.clone()
    }

    /// The master of this moment, if nobody else is looking for it: the others are refused and do not wait.
    async fn look_anew(&self) -> Option<Arc<Node>> {
        let looked_at = self.looked_at.try_lock().ok()?;
        if looked_at.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return self.master();
        }
        self.look_now(looked_at).await.ok()
    }

    /// The master of this moment. Of many who look at the same time one asks, for all who `began` before
    /// it was answered, or a `pause` later.
    async fn look(&self, began: Instant, pause: Duration) -> RedisResult<Arc<Node>> {
        let looked_at = self.looked_at.lock().await;
        if looked_at.is_some_and(|at| at + pause >= began) {
            return self
                .master()
                .ok_or_else(|| nobody("none was found a moment ago"));
        }
        self.look_now(looked_at).await
    }

    async fn look_now(&self, mut looked_at: LookedAt<'_>) -> RedisResult<Arc<Node>> {
        let present = self.master();
        let asking = self.named.sentinels.iter();
        let asking = asking.map(|sentinel| Box::pin(self.master_of(sentinel, present.clone())));
        let found = timeout(LOOK_TIMEOUT, select_ok(asking)).await;
        *looked_at = Some(Instant::now());
        let (found, _) = found.map_err(|_| nobody("no sentinel answers in time"))??;
        let mut master = self.master.write().unwrap_or_else(PoisonError::into_inner);
        if master
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &found))
        {
            let (host, port) = &found.address;
            log::info!("the master of {} is at {host}:{port}", self.named.master);
            *master = Some(Arc::clone(&found));
        }
        Ok(found)
    }

    /// The master as one sentinel knows it, after it said so itself.
    async fn master_of(
        &self,
        sentinel: &ConnectionInfo,
        present: Option<Arc<Node>>,
    ) -> RedisResult<Arc<Node>> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(LOOK_TIMEOUT));
        let client = Client::open(sentinel.clone())?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut command = redis::cmd("SENTINEL");
        command
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&*self.named.master);
        let address: Option<Address> = command.query_async(&mut connection).await?;
        let address = address.ok_or_else(|| nobody("a sentinel knows no such name"))?;
        let node = match present.filter(|node| node.address == address) {
            Some(node) => node,
            None => Arc::new(Node::at(&self.named.redis, address)?),
        };
        let said: RedisResult<Vec<Value>> =
            node.ask(Asked::Command(&redis::cmd("ROLE"))).await.into();
        let role = said?.pop().map(Value::extract_error).transpose()?;
        match role {
            Some(Value::Array(role))
                if role.first() == Some(&Value::BulkString(b"master".into())) =>
            {
                Ok(node)
            }
            _ => Err(nobody("whom a sentinel named is no master")),
        }
    }
}

/// Before version 7 the code of an error in a script was hidden in its text.
fn is_no_master(outcome: &Outcome) -> bool {
    outcome
        .error()
        .is_some_and(|(code, rest)| code == "READONLY" || rest.contains("-READONLY "))
}

fn nobody(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, "no master is known", why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::parse_redis_value;

    use super::{Outcome, is_no_master};

    fn answered(line: &str) -> Outcome {
        let value = parse_redis_value(line.as_bytes()).expect("an answer");
        Outcome::Answered(Ok(vec![value]))
    }

    #[test]
    fn only_a_refusal_to_write_says_that_a_server_is_no_master() {
        for refusal in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-ERR Error running script: -READONLY You can't write against a read only replica.\r\n",
        ] {
            assert!(is_no_master(&answered(refusal)), "{refusal}");
        }
        for other in [
            "-NOSCRIPT No matching script.\r\n",
            "-ERR user_script:1: READONLY is a word\r\n",
            "+READONLY\r\n",
        ] {
            assert!(!is_no_master(&answered(other)), "{other}");
        }
        // What a silent server has done is not known, so nobody asks another one instead.
        let silence = io::Error::other("-READONLY ").into();
        assert!(!is_no_master(&Outcome::InVain(silence)));
    }
}
