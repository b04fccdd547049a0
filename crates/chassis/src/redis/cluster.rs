//! Owns which master of a cluster has a slot.
//!
//! Each master has a connection and a breaker of its own, so a hung master delays only its own keys.
//! The map of slots is refreshed from any master that answers: at first use, when a master says that a
//! slot has moved, and when one cannot be reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::select_ok;
use redis::{ConnectionInfo, RedisResult, Value, from_redis_value_ref as read};
use tokio::time::Instant;

use super::node::{Address, Node, Outcome, Request};
use super::refresh::{REFRESH_PAUSE, Refresher, no_master};
use super::slot;

/// All masters.
pub(super) struct Cluster {
    /// How to log in anywhere.
    login: ConnectionInfo,
    /// Where to ask first, and last.
    seeds: Vec<Arc<Node>>,
    map: RwLock<Arc<Map>>,
    refresher: Refresher,
}

/// Who has which slots.
#[derive(Default)]
struct Map {
    /// By the first slot of a range: the last one, and the master.
    ranges: BTreeMap<u16, (u16, Arc<Node>)>,
    masters: HashMap<Address, Arc<Node>>,
}

/// One range of slots as a server tells it: first, last, master.
type Range = (u16, u16, Address);

impl Cluster {
    /// Nobody is asked yet.
    pub fn new(seeds: &[ConnectionInfo]) -> RedisResult<Self> {
        let login = seeds.first().cloned();
        let nodes = seeds
            .iter()
            .map(|seed| Ok(Arc::new(Node::new(seed.clone())?)));
        Ok(Self {
            login: login.ok_or_else(|| no_master("it has no address"))?,
            seeds: nodes.collect::<RedisResult<_>>()?,
            map: RwLock::default(),
            refresher: Refresher::default(),
        })
    }

    pub fn is_circuit_open(&self) -> bool {
        let map = self.map();
        map.masters.values().any(|node| node.is_circuit_open())
    }

    pub fn in_flight(&self) -> usize {
        self.map()
            .masters
            .values()
            .map(|node| node.in_flight())
            .sum()
    }

    pub async fn ask(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        let begun = Instant::now();
        let Some(key) = request.key() else {
            return self.ask_any(request).await;
        };
        let slot = slot::of(key);
        let node = match self.map().owner(slot) {
            Some(node) => node,
            None => self.find(slot, begun, None).await?,
        };
        let outcome = node.ask(request).await;
        if matches!(outcome.error(), Some(("MOVED", _))) {
            // A server that refuses a slot has changed nothing, so its master may be asked.
            let node = self.find(slot, Instant::now(), Some(node)).await?;
            return node.ask(request).await.into();
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
                match self.map().owner(slot) {
                    Some(master) if !Arc::ptr_eq(&master, &node) => {
                        master.ask(request).await.into()
                    }
                    _ => Err(cause),
                }
            }
        }
    }

    /// Asks all and takes the first answer.
    async fn ask_any(&self, request: Request<'_>) -> RedisResult<Vec<Value>> {
        let asking = self
            .all()
            .into_iter()
            .map(|node| Box::pin(async move { RedisResult::from(node.ask(request).await) }));
        Ok(select_ok(asking).await?.0)
    }

    fn map(&self) -> Arc<Map> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&map)
    }

    /// Masters that are known, and seeds that are none of them.
    fn all(&self) -> Vec<Arc<Node>> {
        let map = self.map();
        let others = self.seeds.iter();
        let others = others.filter(|seed| !map.masters.contains_key(&seed.address));
        map.masters.values().chain(others).cloned().collect()
    }

    async fn find(
        &self,
        slot: u16,
        began: Instant,
        teller: Option<Arc<Node>>,
    ) -> RedisResult<Arc<Node>> {
        self.refresh(began, teller).await?;
        let owner = self.map().owner(slot);
        owner.ok_or_else(|| no_master("no master has the slot"))
    }

    /// Makes the map anew, unless another caller does.
    async fn refresh_once(&self) {
        self.refresher.try_once(self.read_map(None)).await;
    }

    /// Makes the map anew for all who `began` before it was answered. The `teller` of a news is asked
    /// first: other masters may not have heard of it yet.
    async fn refresh(&self, began: Instant, teller: Option<Arc<Node>>) -> RedisResult<()> {
        let pause = teller.as_ref().map_or(REFRESH_PAUSE, |_| Duration::ZERO);
        let read = self.read_map(teller);
        self.refresher.since(began, pause, read).await
    }

    async fn read_map(&self, teller: Option<Arc<Node>>) -> RedisResult<()> {
        let ranges = self.ranges(teller).await?;
        let known = self.map();
        let mut map = Map::default();
        for (first, last, address) in ranges {
            let master = match map.masters.get(&address).or(known.masters.get(&address)) {
                Some(node) => Arc::clone(node),
                None => self.meet(&address)?,
            };
            map.masters.insert(address, Arc::clone(&master));
            map.ranges.insert(first, (last, master));
        }
        let mut current = self.map.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(map);
        Ok(())
    }

    async fn ranges(&self, teller: Option<Arc<Node>>) -> RedisResult<Vec<Range>> {
        if let Some(node) = teller
            && let Ok(ranges) = ranges_of(node).await
        {
            return Ok(ranges);
        }
        let asking = self.all().into_iter().map(|node| Box::pin(ranges_of(node)));
        Ok(select_ok(asking).await?.0)
    }

    /// A master that was not known.
    fn meet(&self, address: &Address) -> RedisResult<Arc<Node>> {
        let (host, port) = address;
        log::info!("a master of the cluster is at {host}:{port}");
        let seed = self.seeds.iter().find(|seed| seed.address == *address);
        match seed {
            Some(seed) => Ok(Arc::clone(seed)),
            None => Ok(Arc::new(Node::at(&self.login, address.clone())?)),
        }
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Arc<Node>> {
        let (_, (last, node)) = self.ranges.range(..=slot).next_back()?;
        (slot <= *last).then(|| Arc::clone(node))
    }
}

async fn ranges_of(node: Arc<Node>) -> RedisResult<Vec<Range>> {
    let command = redis::cmd("CLUSTER").arg("SLOTS").take();
    let said: RedisResult<Vec<Value>> = node.ask(Request::Command(&command)).await.into();
    let said = said?.pop().map_or(Ok(Value::Nil), Value::extract_error)?;
    let rows: Vec<Vec<Value>> = redis::from_redis_value(said)?;
    let ranges: Option<Vec<_>> = rows.iter().map(|row| range(row, &node.address)).collect();
    match ranges {
        Some(ranges) if !ranges.is_empty() => Ok(ranges),
        _ => Err(no_master("a server that was asked has no map of slots")),
    }
}

/// `[first, last, [host, port, …], replicas…]`. A server that does not know its own name leaves the host
/// out: it is the one that was asked.
fn range(row: &[Value], (own_host, _): &Address) -> Option<Range> {
    let [first, last, Value::Array(master), ..] = row else {
        return None;
    };
    let host: Option<String> = read(master.first()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let host = host.unwrap_or_else(|| own_host.clone());
    let address = (host, read(master.get(1)?).ok()?);
    Some((read(first).ok()?, read(last).ok()?, address))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redis::Value;

    use super::{Map, Node, range};

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_range_of_a_server_without_a_name_is_of_the_one_that_was_asked() {
        let own = ("here".to_owned(), 1);
        let row = |master: Vec<Value>| {
            [
                Value::Int(0),
                Value::Int(9),
                Value::Array(master),
                Value::Array(Vec::new()),
            ]
        };
        let named = row(vec![
            text("there"),
            Value::Int(7),
            text("id"),
            Value::Array(Vec::new()),
        ]);
        assert_eq!(range(&named, &own), Some((0, 9, ("there".to_owned(), 7))));
        for none in [Value::Nil, text(""), text("?")] {
            let row = row(vec![none, Value::Int(7)]);
            assert_eq!(range(&row, &own), Some((0, 9, ("here".to_owned(), 7))));
        }
        assert_eq!(range(&[Value::Int(0), Value::Int(9)], &own), None);
    }

    #[tokio::test]
    async fn a_slot_between_two_ranges_has_no_master() {
        let info = "redis://127.0.0.1:1"
            .parse::<redis::ConnectionInfo>()
            .expect("a URL");
        let node = Arc::new(Node::new(info).expect("lazy"));
        let mut map = Map::default();
        map.ranges.insert(0, (9, Arc::clone(&node)));
        map.ranges.insert(20, (29, node));
        let owned: Vec<_> = [0, 9, 10, 19, 20, 29, 30]
            .map(|slot| map.owner(slot).is_some())
            .into();
        assert_eq!(owned, [true, true, false, false, true, true, false]);
    }
}
