//! Owns the settling of a draw: first which tickets take part is fixed by a root over them (`entrants.rs`), then
//! the key is made of seed, root and beacon, then everybody gets the place of their lot.
//!
//! Until the root is fixed nobody can know a lot, since a ticket more or less makes another key; and
//! once it is fixed nobody can join. Any gateway may do each step, and several at once: the script
//! takes one root, a key follows from what is fixed, and a lot is given only to who still has the very
//! place that was read.

use std::sync::Arc;

use super::draw::{Draw, LOTS, Seed};
use super::entrants::Reading;
use crate::merkle::Tree;
use crate::queue::policy::Policy;
use crate::queue::snapshot::QueueLookup;
use crate::queue::store::keys::Keys;
use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, QueueId, Queues, StoreError};

/// Places that one script gives their lots, and tickets that one reads.
pub(super) const PAGE: usize = 500;
/// Pages of one step: some tenths of a second, in which other queues of this gateway let nobody in.
pub(super) const PAGES: usize = 20;

/// What an operator reveals when it is fixed who takes part.
#[derive(Debug, Clone, Default)]
pub struct Revealed {
    /// The seed that was kept.
    pub seed: Option<Seed>,
    /// What the beacon said.
    pub beacon: Option<String>,
}

/// Not what a beacon can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`beacon` is 1 to 256 of A-Z a-z 0-9 . _ -")]
pub struct BeaconInvalid;

impl Revealed {
    /// What a beacon said.
    ///
    /// # Errors
    /// When it is too long, or could not be written into the recipe as it is.
    pub fn beacon(said: String) -> Result<Self, BeaconInvalid> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=256).contains(&said.len()) || !said.bytes().all(is_plain) {
            return Err(BeaconInvalid);
        }
        Ok(Self {
            seed: None,
            beacon: Some(said),
        })
    }
}

/// Why nothing is revealed by this.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// It is not fixed yet who takes part: what is revealed now could be used.
    #[error("it is not fixed yet who takes part")]
    TooEarly,
    /// The lots are given out.
    #[error("the lots are given out already")]
    TooLate,
    /// Another seed was promised.
    #[error("this is not the seed that was promised")]
    OtherSeed,
    /// A seed or a beacon was announced and is not there.
    #[error("the draw needs {0} too")]
    Missing(&'static str),
    /// Those of the queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl Queue {
    /// Step: settles the draw as far as it can be now. Whether it went on by this.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub(in crate::queue) async fn settle(&self) -> Result<bool, QueueError> {
        let keys = &self.entry.keys;
        let seen = match self.queues.lookup(keys, Priority::Background).await? {
            QueueLookup::Present(seen) => *seen,
            QueueLookup::Removed(_) | QueueLookup::Gone => return Ok(false),
        };
        // Who lost their place with the store shall be back before it is fixed who takes part.
        let Some(draw) = seen.draw.filter(|_| !seen.recovering) else {
            return Ok(false);
        };
        if let Some(key) = &draw.key {
            return self.place_some(&draw, key).await;
        }
        // Another step of this gateway may be at it.
        let Ok(mut reading) = self.entry.reading.try_lock() else {
            return Ok(false);
        };
        let root = match &draw.root {
            Some(root) => {
                *reading = Reading::default();
                root.clone()
            }
            None => match self.fix_root(&draw, &mut reading).await? {
                Some(root) => root,
                None => return Ok(true),
            },
        };
        let is_alone = draw.beacon_of(&seen.policy).is_none();
        let seed = draw.seed.as_ref().filter(|_| is_alone);
        let is_known = seed.is_some();
        self.write_key(&root, draw.entrants, seed, "").await?;
        Ok(is_known)
    }

    async fn page(
        &self,
        lane: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        let mut read = redis::cmd("ZRANGEBYSCORE");
        read.arg(lane).arg(from).arg(to);
        read.arg("WITHSCORES").arg("LIMIT").arg(0).arg(PAGE);
        self.store().command(&read).await
    }

    pub(super) async fn write_key(
        &self,
        root: &str,
        entrants: u64,
        seed: Option<&Seed>,
        beacon: &str,
    ) -> Result<(), QueueError> {
        let mut call = self.store().call(&script::SETTLE, &self.entry.keys);
        call.arg(root).arg(entrants);
        let key = seed.map(|seed| seed.key(root, beacon));
        call.arg(seed.map_or("", Seed::reveal)).arg(beacon);
        call.arg(key.as_ref().map_or("", Seed::reveal));
        let _: Reply = self.store().run(Priority::Background, &call).await?;
        Ok(())
    }

    /// Gives many the place of their lot, page by page. Whether somebody had another one.
    async fn place_some(&self, draw: &Draw, key: &Seed) -> Result<bool, QueueError> {
        let (mut is_placed, mut pages) = (false, 0);
        for (from, to) in unplaced(draw) {
            while pages < PAGES {
                let page = self.page(&self.entry.keys.waiting, &from, &to).await?;
                if page.is_empty() {
                    break;
                }
                (is_placed, pages) = (true, pages + 1);
                let mut call = self.store().call(&script::PLACE, &self.entry.keys);
                for (user, before) in &page {
                    let ticket = ticket_of(draw, *before).unwrap_or(0);
                    let lot = i64::try_from(key.lot(ticket)).unwrap_or(0);
                    call.arg(user).arg(*before).arg(lot - LOTS);
                }
                let _: Reply = self.store().run(Priority::Background, &call).await?;
            }
        }
        Ok(is_placed)
    }

    /// The tickets that take part in the draw that was last settled.
    ///
    /// # Errors
    /// `StoreUnavailable`; `None` while it is not fixed who takes part, or when the list was lost.
    pub async fn entrants(&self) -> Result<Option<Arc<Tree>>, QueueError> {
        let snapshot = self.snapshot();
        let Some(root) = snapshot.draw.as_ref().and_then(|it| it.root.clone()) else {
            return Ok(None);
        };
        if let Some(tree) = self.entry.tree(&root) {
            return Ok(Some(tree));
        }
        let mut get = redis::cmd("GET");
        let bytes: Option<Vec<u8>> = self
            .store()
            .command(get.arg(self.entry.keys.entrants(&root)))
            .await?;
        let tree = Tree::of_bytes(&bytes.unwrap_or_default());
        let Some(tree) = tree.filter(|tree| tree.root() == root).map(Arc::new) else {
            return Ok(None);
        };
        self.entry.keep_tree(Arc::clone(&tree));
        Ok(Some(tree))
    }
}

impl Queues {
    /// Takes the seed that the operator kept, and what the beacon said, when it is fixed who takes part.
    ///
    /// # Errors
    /// Those of [`RevealError`].
    pub async fn reveal(&self, id: &QueueId, revealed: Revealed) -> Result<(), RevealError> {
        let lookup = self.lookup(&Keys::of(id), Priority::Background).await;
        let QueueLookup::Present(seen) = lookup.map_err(QueueError::from)? else {
            return Err(QueueError::Unknown.into());
        };
        let draw = seen.draw.as_ref().ok_or(RevealError::TooEarly)?;
        let root = draw.root.as_ref().ok_or(RevealError::TooEarly)?;
        if draw.key.is_some() {
            return Err(RevealError::TooLate);
        }
        let (seed, beacon) = complete(draw, &seen.policy, revealed)?;
        let queue = self.open(id).await?;
        queue
            .write_key(root, draw.entrants, Some(&seed), &beacon)
            .await?;
        let _ = queue.admit().await;
        Ok(())
    }
}

impl Queue {
    /// The beacon that the draw waits for: it is fixed who takes part, and the seed is known here.
    pub fn awaited_beacon(&self) -> Option<String> {
        let snapshot = self.snapshot();
        let draw = snapshot.draw.as_ref()?;
        let is_awaited = draw.root.is_some() && draw.seed.is_some() && draw.key.is_none();
        let named = draw.beacon_of(&snapshot.policy);
        named.filter(|_| is_awaited).map(str::to_owned)
    }
}

fn complete(
    draw: &Draw,
    policy: &Policy,
    revealed: Revealed,
) -> Result<(Seed, String), RevealError> {
    let seed = draw.seed.clone().or(revealed.seed);
    let seed = seed.ok_or(RevealError::Missing("`seed`"))?;
    if seed.commitment() != draw.commitment {
        return Err(RevealError::OtherSeed);
    }
    let beacon = match draw.beacon_of(policy) {
        Some(_) => revealed.beacon.ok_or(RevealError::Missing("`beacon`"))?,
        None => String::new(),
    };
    Ok((seed, beacon))
}

/// The keys of those who take part and have no lot yet: who joined when the lottery was declared, and who
/// was in line before.
fn unplaced(draw: &Draw) -> [(String, String); 2] {
    [
        ((-2 * LOTS).to_string(), format!("({}", -LOTS)),
        ("0".to_owned(), draw.last_ticket.to_string()),
    ]
}

fn ticket_of(draw: &Draw, key: i64) -> Option<u64> {
    match u64::try_from(key) {
        Ok(ticket) => Some(ticket),
        Err(_) => draw.ticket_at(key),
    }
}
