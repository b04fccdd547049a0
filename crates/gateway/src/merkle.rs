//! Owns the tree of hashes over all tickets of a draw: its root says exactly which tickets take part, and a
//! path shows that one of them does.
//!
//! A leaf is SHA-256 of the byte 0 and the ticket number (8 bytes, big endian); a node is SHA-256 of the
//! byte 1 and its two children. The tickets are in ascending order; of an odd level the last goes up
//! as it is. `docs/LOTTERY.md` has the recipe. Nothing here knows a queue.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Hashes of so many leaves are computed again for each path rather than kept.
const BLOCK: usize = 256;

type Hash = [u8; 32];

/// The tickets of a draw and what is needed to show that one is among them: 8 bytes a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    tickets: Vec<u64>,
    /// The roots over blocks of tickets.
    blocks: Vec<Hash>,
}

/// One step of a path: the hash of the neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// On which side the neighbour stands.
    pub side: Side,
    /// Its hash, 64 hex digits.
    pub hash: String,
}

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Before the own hash.
    Left,
    /// Behind it.
    Right,
}

impl Tree {
    /// Over these tickets, in whatever order they come; one that comes twice is one.
    pub fn new(mut tickets: Vec<u64>) -> Self {
        tickets.sort_unstable();
        tickets.dedup();
        let mut tree = Self::default();
        tree.extend(&tickets);
        tree
    }

    /// Adds tickets in ascending order that are above all that are there.
    pub fn extend(&mut self, more: &[u64]) {
        // The last block may be filled by them.
        let whole = self.tickets.len() / BLOCK;
        self.blocks.truncate(whole);
        self.tickets.extend_from_slice(more);
        let blocks = self.tickets[whole * BLOCK..].chunks(BLOCK);
        self.blocks.extend(blocks.map(|block| root(leaves(block))));
    }

    /// From bytes that [`Tree::bytes`] gave; `None` for others.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers = numbers.iter().map(|it| u64::from_be_bytes(*it));
        rest.is_empty().then(|| Self::new(numbers.collect()))
    }

    /// The tickets, 8 bytes each, in ascending order.
    pub fn bytes(&self) -> Vec<u8> {
        Self::bytes_of(&self.tickets)
    }

    /// Some of them in the same form.
    pub fn bytes_of(tickets: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(tickets.len() * 8);
        for ticket in tickets {
            bytes.extend_from_slice(&ticket.to_be_bytes());
        }
        bytes
    }

    /// The tickets in ascending order.
    pub fn tickets(&self) -> &[u64] {
        &self.tickets
    }

    /// What stands for exactly these tickets: 64 hex digits.
    pub fn root(&self) -> String {
        hex(&root(self.blocks.clone()))
    }

    /// The steps from a ticket to the root, if it is among them.
    pub fn path(&self, ticket: u64) -> Option<Vec<Step>> {
        let index = self.tickets.binary_search(&ticket).ok()?;
        let block = self.tickets.chunks(BLOCK).nth(index / BLOCK)?;
        let mut steps = steps(leaves(block), index % BLOCK);
        steps.extend(self::steps(self.blocks.clone(), index / BLOCK));
        Some(steps)
    }
}

/// The root that a path leads to from this ticket; `None` for a path that is none.
pub fn root_by(ticket: u64, path: &[Step]) -> Option<String> {
    let up = |own: Hash, step: &Step| {
        let other = unhex(&step.hash)?;
        Some(match step.side {
            Side::Left => node(&other, &own),
            Side::Right => node(&own, &other),
        })
    };
    let root = path.iter().try_fold(leaf(ticket), up)?;
    Some(hex(&root))
}

fn leaf(ticket: u64) -> Hash {
    let mut hash = Sha256::new_with_prefix([0]);
    hash.update(ticket.to_be_bytes());
    hash.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new_with_prefix([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

fn leaves(tickets: &[u64]) -> Vec<Hash> {
    tickets.iter().map(|ticket| leaf(*ticket)).collect()
}

fn above(level: &[Hash]) -> Vec<Hash> {
    let pair = |pair: &[Hash]| match pair {
        [left, right] => node(left, right),
        alone => alone[0],
    };
    level.chunks(2).map(pair).collect()
}

/// Of nothing it is the hash of nothing.
fn root(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = above(&level);
    }
    let nothing = || Sha256::digest([]).into();
    level.first().copied().unwrap_or_else(nothing)
}

fn steps(mut level: Vec<Hash>, mut index: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while level.len() > 1 {
        let side = if index.is_multiple_of(2) {
            Side::Right
        } else {
            Side::Left
        };
        if let Some(neighbour) = level.get(index ^ 1) {
            let hash = hex(neighbour);
            steps.push(Step { side, hash });
        }
        level = above(&level);
        index /= 2;
    }
    steps
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (at, byte) in hash.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hex.then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::{Tree, root_by};

    #[test]
    fn every_ticket_has_a_path_to_the_root_and_no_other_number_has() {
        for count in [1, 2, 3, 5, 8, 255, 256, 257, 300, 513, 1_000] {
            let tickets: Vec<u64> = (0..count).map(|n| 1_764_000_000_000_000 + n * 7).collect();
            let tree = Tree::new(tickets.clone());
            for ticket in tickets {
                let path = tree.path(ticket).expect("it takes part");
                assert_eq!(root_by(ticket, &path), Some(tree.root()), "{count}");
                assert_ne!(root_by(ticket + 1, &path), Some(tree.root()));
                assert_eq!(tree.path(ticket + 1), None);
            }
            assert_eq!(Tree::of_bytes(&tree.bytes()), Some(tree));
        }
    }

    #[test]
    fn a_tree_that_grew_piece_by_piece_is_the_tree_of_all() {
        let tickets: Vec<u64> = (1..=1_000).map(|n| n * 3).collect();
        for piece in [1, 100, 255, 256, 257, 999] {
            let mut tree = Tree::default();
            for more in tickets.chunks(piece) {
                tree.extend(more);
            }
            tree.extend(&[]);
            assert_eq!(tree, Tree::new(tickets.clone()), "{piece}");
        }
    }

    #[test]
    fn a_root_stands_for_exactly_these_tickets_in_whatever_order_they_came() {
        let root = |tickets: &[u64]| Tree::new(tickets.to_vec()).root();
        assert_eq!(root(&[3, 1, 2]), root(&[1, 2, 3, 3]));
        for other in [&[1, 2][..], &[1, 2, 3, 4], &[1, 2, 4], &[]] {
            assert_ne!(root(other), root(&[1, 2, 3]), "{other:?}");
        }
        // `printf` of nothing, and of the byte 0 and the number 1 in eight bytes, into sha256sum.
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(root(&[]), nothing);
        assert_eq!(root_by(1, &[]), Some(root(&[1])));
        assert!(Tree::of_bytes(&[1, 2, 3]).is_none());
    }
}
