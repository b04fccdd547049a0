//! Owns how it is found who takes part in a draw: some pages in each step, then the list is kept, piece by
//! piece, then its root is fixed.
//!
//! What was read is remembered by this gateway alone, so one that dies leaves nothing behind and each other
//! goes on by itself. A page is one script over all lanes; of several roots the script of `settle.rs` takes one.

use std::mem;
use std::sync::Arc;

use super::draw::Draw;
use super::settle::{PAGE, PAGES};
use crate::merkle::Tree;
use crate::queue::snapshot::QueueLookup;
use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, StoreError};

/// Tickets of the list, 8 bytes each, that are written at once, ...
const PIECE: usize = 1 << 17;
/// ... and pieces of one step.
const PIECES: usize = 8;
/// As long as anybody may want to check a draw: 90 days, in seconds.
const KEPT_S: u64 = 7_776_000;

/// How far one gateway has come with one draw.
#[derive(Debug, Default)]
pub(in crate::queue) struct Reading {
    commitment: String,
    last_ticket: u64,
    /// Over the tickets that are read.
    tree: Tree,
    /// All are read.
    is_whole: bool,
    /// The root of the tree, once all are read.
    root: Option<String>,
    /// Pieces of the list that are written.
    written: usize,
}

impl Reading {
    fn of(draw: &Draw) -> Self {
        Self {
            commitment: draw.commitment.clone(),
            last_ticket: draw.last_ticket,
            ..Self::default()
        }
    }

    fn is_of(&self, draw: &Draw) -> bool {
        (&self.commitment, self.last_ticket) == (&draw.commitment, draw.last_ticket)
    }
}

impl Queue {
    /// Step: goes on with reading who takes part, keeps the list, and fixes its root. The root that is fixed, once
    /// one is.
    pub(super) async fn fix_root(
        &self,
        draw: &Draw,
        reading: &mut Reading,
    ) -> Result<Option<String>, QueueError> {
        if !reading.is_of(draw) {
            *reading = Reading::of(draw);
        }
        if !self.read_some(reading).await? {
            return Ok(None);
        }
        let root = reading.root.get_or_insert_with(|| reading.tree.root());
        let root = root.clone();
        if !self.keep_some(&root, reading).await? {
            return Ok(None);
        }
        let tree = mem::take(reading).tree;
        let entrants = tree.tickets().len() as u64;
        self.write_key(&root, entrants, None, "").await?;
        self.entry.keep_tree(Arc::new(tree));
        self.fixed_root().await.map(Some)
    }

    /// Whether all are read by it.
    async fn read_some(&self, reading: &mut Reading) -> Result<bool, QueueError> {
        let (mut tickets, mut pages) = (Vec::new(), 0);
        while !reading.is_whole && pages < PAGES {
            let known = tickets.last().or(reading.tree.tickets().last());
            let mut call = self.store().call(&script::ENTRANTS, &self.entry.keys);
            call.arg(reading.last_ticket).arg(known.unwrap_or(&0));
            let reply: Reply = self
                .store()
                .run(Priority::Background, call.arg(PAGE))
                .await?;
            if reply.verdict() != "page" {
                // Another gateway was faster.
                *reading = Reading::default();
                return Ok(false);
            }
            let page: Vec<u64> = reply.get("tickets")?;
            reading.is_whole = page.len() < PAGE;
            pages += 1;
            tickets.extend(page);
        }
        reading.tree.extend(&tickets);
        Ok(reading.is_whole && pages < PAGES)
    }

    /// Whether the whole list is written by it. It is written by ranges, so that two gateways with the same list
    /// write the same.
    async fn keep_some(&self, root: &str, reading: &mut Reading) -> Result<bool, QueueError> {
        let key = self.entry.keys.entrants(root);
        let pieces = reading.tree.tickets().chunks(PIECE).enumerate();
        for (number, piece) in pieces.skip(reading.written).take(PIECES) {
            let mut write = redis::cmd("SETRANGE");
            write.arg(&key).arg(number * PIECE * 8);
            write.arg(Tree::bytes_of(piece));
            self.store().command::<()>(&write).await?;
            reading.written = number + 1;
        }
        let mut expire = redis::cmd("EXPIRE");
        let expire = expire.arg(&key).arg(KEPT_S);
        self.store().command::<()>(expire).await?;
        Ok(reading.written * PIECE >= reading.tree.tickets().len())
    }

    /// Of those that several gateways may have said, the one that was taken.
    async fn fixed_root(&self) -> Result<String, QueueError> {
        let keys = &self.entry.keys;
        match self.queues.lookup(keys, Priority::Background).await? {
            QueueLookup::Present(seen) => {
                let root = seen.draw.and_then(|it| it.root);
                Ok(root.ok_or(StoreError::Odd("a draw without a root"))?)
            }
            QueueLookup::Removed(_) | QueueLookup::Gone => Err(QueueError::Unknown),
        }
    }
}
