//! Owns who the master is that sentinels watch over.
//!
//! The sentinels are asked for the master at first use, and again whenever it cannot be reached, or says
//! that it is none. The server that they name must say of itself that it is a master.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::select_ok;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisResult, Value};
use tokio::time::Instant;

use super::CONNECT_TIMEOUT;
use super::node::{Address, Node, Outcome, Request};
use super::refresh::{REFRESH_PAUSE, REFRESH_TIMEOUT, Refresher, no_master};
use super::url::Sentinels;

/// One master, wherever it is.
pub(super) struct Sentinel {
    named: Sentinels,
    master: RwLock<Option<Arc<Node>>>,
    refresher: Refresher,
}

impl Sentinel {
    /// Nobody is asked yet.
    pub fn new(named: Sentinels) -> Self {
        Self {
            named,
            master: RwLock::default(),
            refresher: Refresher::default(),
        }
    }

    pub fn is_circuit_open(&self) -> bool {
        self.master().is_some_and(|node| node.is_circuit_open())
    }

    pub fn in_flight(&self) -> usize {
        self.master().map_or(0, |node| node.in_flight())
    }

    pub fn db(&self) -> i64 {
        self.named.redis.redis_settings().db()
    }

    pub async fn ask(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        let begun = Instant::now();
        let node = match self.master() {
            Some(node) => node,
            None => self.refresh(begun, REFRESH_PAUSE).await?,
        };
        let outcome = node.ask(request).await;
        if is_no_master(&outcome) {
            // What a replica refuses has changed nothing, so it may be asked again.
            let master = self.refresh(Instant::now(), Duration::ZERO).await?;
            return master.ask(request).await.into();
        }
        match outcome {
            Outcome::Answered(answer) => answer,
            // It is not known what a silent master has done, so the request is not repeated.
            Outcome::Unreachable(cause) => {
                self.refresh_once().await;
                Err(cause)
            }
            Outcome::Refused(cause) => {
                self.refresh_once().await;
                match self.master() {
                    Some(master) if !Arc::ptr_eq(&master, &node) => {
                        master.ask(request).await.into()
                    }
                    _ => Err(cause),
                }
            }
        }
    }

    fn master(&self) -> Option<Arc<Node>> {
        let master = self.master.read().unwrap_or_else(PoisonError::into_inner);
        master.clone()
    }

    /// Asks the sentinels, unless another caller does.
    async fn refresh_once(&self) {
        self.refresher.try_once(self.find_master()).await;
    }

    /// The master of this moment, for all who `began` before it was found, or a `pause` later.
    async fn refresh(&self, began: Instant, pause: Duration) -> RedisResult<Arc<Node>> {
        let find = self.find_master();
        self.refresher.since(began, pause, find).await?;
        self.master()
            .ok_or_else(|| no_master("none was found a moment ago"))
    }

    async fn find_master(&self) -> RedisResult<()> {
        let present = self.master();
        let asking = self.named.sentinels.iter();
        let asking = asking.map(|sentinel| Box::pin(self.master_of(sentinel, present.clone())));
        let (found, _) = select_ok(asking).await?;
        let mut master = self.master.write().unwrap_or_else(PoisonError::into_inner);
        if master
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &found))
        {
            let (host, port) = &found.address;
            log::info!("the master of {} is at {host}:{port}", self.named.master);
            *master = Some(found);
        }
        Ok(())
    }

    /// The master as one sentinel knows it, after it said so itself.
    async fn master_of(
        &self,
        sentinel: &ConnectionInfo,
        present: Option<Arc<Node>>,
    ) -> RedisResult<Arc<Node>> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REFRESH_TIMEOUT));
        let client = Client::open(sentinel.clone())?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut command = redis::cmd("SENTINEL");
        command
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&*self.named.master);
        let address: Option<Address> = command.query_async(&mut connection).await?;
        let address = address.ok_or_else(|| no_master("a sentinel knows no such name"))?;
        let node = match present.filter(|node| node.address == address) {
            Some(node) => node,
            None => Arc::new(Node::at(&self.named.redis, address)?),
        };
        let said: RedisResult<Vec<Value>> =
            node.ask(Request::Command(&redis::cmd("ROLE"))).await.into();
        let role = said?.pop().map(Value::extract_error).transpose()?;
        match role {
            Some(Value::Array(role))
                if role.first() == Some(&Value::BulkString(b"master".into())) =>
            {
                Ok(node)
            }
            _ => Err(no_master("whom a sentinel named is no master")),
        }
    }
}

/// Before version 7 the code of an error in a script was hidden in its text.
fn is_no_master(outcome: &Outcome) -> bool {
    outcome
        .error()
        .is_some_and(|(code, rest)| code == "READONLY" || rest.contains("-READONLY "))
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
        // What a silent server has done is not known, so no other one is asked instead.
        let silence = io::Error::other("-READONLY ").into();
        assert!(!is_no_master(&Outcome::Unreachable(silence)));
    }
}
