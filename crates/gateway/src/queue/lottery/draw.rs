//! Owns the lottery as this gateway knows it: the seed, the key that is made of it, what the key gives
//! to a ticket, and what of it may be seen by everybody.
//!
//! Before the doors open only the seed's hash is shown, afterwards the seed, so that anybody can
//! compute every place again; `docs/LOTTERY.md` is the recipe with an example. The scripts compute
//! the same in `draw.lua`; `settle.rs` makes the key. No seed is ever shown by `Debug`, in a log or
//! in an error.

use std::fmt;
use std::str::FromStr;

use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

use crate::queue::policy::{Order, Policy};
use crate::queue::store::reply::Reply;
use crate::queue::{Queue, QueueError, StoreError};

/// Bits of one half of a ticket number.
const HALF_BITS: u32 = 26;
/// The largest half.
const HALF: u64 = (1 << HALF_BITS) - 1;
/// So many lots there are; a place that was drawn has the key `lot - LOTS`.
pub(super) const LOTS: i64 = 1 << (2 * HALF_BITS);
/// Added to the key of a place that will be drawn, it is the ticket number.
const UNDRAWN: i64 = 2 * LOTS;
/// Whether the place of this key was drawn.
pub(in crate::queue) fn has_lot(key: i64) -> bool {
    (-LOTS..0).contains(&key)
}

/// Times that the halves are mixed.
const ROUNDS: u32 = 6;

/// The secret of one draw, or the key that is made of it: 64 hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(String);

/// A text that is no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seed is 64 hex digits")]
pub struct SeedInvalid;

/// What everybody may know of a draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lottery {
    /// SHA-256 of the seed's 64 digits, in hex: known before anybody has a ticket.
    pub commitment: String,
    /// How many seeds were chosen in this life of the queue.
    pub seeds: u64,
    /// What takes part; none before the doors open.
    pub entry: Option<Entry>,
    /// The outcome; none before it is settled.
    pub drawn: Option<Drawn>,
}

/// Which tickets take part, as it is known when the doors have opened and before the lots are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The root over the tickets, see [`crate::merkle`].
    pub root: String,
    /// Tickets up to this number take part; later ones stand behind in order of arrival.
    pub last_ticket: u64,
    /// How many take part.
    pub entrants: u64,
}

/// What everybody may know after the draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The seed's 64 digits.
    pub seed: String,
    /// What was added to seed and root; empty where nothing was announced.
    pub beacon: String,
    /// SHA-256 of seed, root and beacon with colons between: it gives the lots.
    pub key: String,
}

/// A place that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawnPlace {
    /// The number of the ticket.
    pub ticket: u64,
    /// What the key gave it; places are in the order of lots.
    pub lot: u64,
}

/// Which part of the places is asked for.
#[derive(Debug, Clone, Copy)]
pub struct DrawnPage {
    /// Only higher lots: that of the last place of the page before.
    pub after_lot: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What a gateway knows of the draw of a queue, with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Draw {
    pub commitment: String,
    /// None while the operator keeps it.
    pub seed: Option<Seed>,
    pub seeds: u64,
    /// Highest ticket that takes part; 0 before the doors open.
    pub last_ticket: u64,
    pub entrants: u64,
    /// Over all tickets that take part.
    pub root: Option<String>,
    pub beacon: String,
    /// The name of the beacon when it was fixed who takes part, empty for none; `None` before.
    pub announced: Option<String>,
    /// Gives out the lots.
    pub key: Option<Seed>,
    /// Places are being brought into another order.
    pub is_unsorted: bool,
}

impl Seed {
    /// A seed that nobody knows.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(hex(&bytes))
    }

    /// The key of the draw among the tickets with this root.
    pub fn key(&self, root: &str, beacon: &str) -> Self {
        Self(hex(&Sha256::digest(format!("{}:{root}:{beacon}", self.0))))
    }

    /// What is published before the draw.
    pub fn commitment(&self) -> String {
        hex(&Sha256::digest(&self.0))
    }

    /// The lot of a ticket, below 2^52. No two tickets below 2^52 have the same.
    pub fn lot(&self, ticket: u64) -> u64 {
        let (mut left, mut right) = (ticket >> HALF_BITS & HALF, ticket & HALF);
        for round in 1..=ROUNDS {
            (left, right) = (right, left ^ self.mixed(round, right));
        }
        left << HALF_BITS | right
    }

    /// The ticket that has this lot.
    pub fn ticket(&self, lot: u64) -> u64 {
        let (mut left, mut right) = (lot >> HALF_BITS & HALF, lot & HALF);
        for round in (1..=ROUNDS).rev() {
            (left, right) = (right ^ self.mixed(round, left), left);
        }
        left << HALF_BITS | right
    }

    /// The digits of a key that everybody may know.
    pub fn published(&self) -> String {
        self.0.clone()
    }

    /// Commitment and seed, for `change.lua`.
    pub(in crate::queue) fn promised(&self) -> String {
        format!("{} {}", self.commitment(), self.0)
    }

    /// For the scripts alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    fn mixed(&self, round: u32, half: u64) -> u64 {
        let digest = sha1_smol::Sha1::from(format!("{}:{round}:{half}", self.0)).digest();
        let [one, two, three, four, ..] = digest.bytes();
        u64::from(u32::from_be_bytes([one, two, three, four]) >> 4) & HALF
    }
}

impl FromStr for Seed {
    type Err = SeedInvalid;

    fn from_str(text: &str) -> Result<Self, SeedInvalid> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SeedInvalid)
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Seed(of {})", self.commitment())
    }
}

impl Draw {
    /// From the reply of `snapshot.lua`; none where no lottery is to come or was held.
    pub fn read(reply: &Reply) -> Result<Option<Self>, StoreError> {
        let commitment: String = reply.get("commitment")?;
        if commitment.is_empty() {
            return Ok(None);
        }
        let (seed, key): (String, String) = (reply.get("seed")?, reply.get("key")?);
        let digits = |text: String| (!text.is_empty()).then(|| text.parse()).transpose();
        let odd = |_: SeedInvalid| StoreError::Odd("seed");
        let root: String = reply.get("root")?;
        Ok(Some(Self {
            commitment,
            seed: digits(seed).map_err(odd)?,
            seeds: reply.get("seeds")?,
            last_ticket: reply.get("drawn")?,
            entrants: reply.get("entrants")?,
            root: (!root.is_empty()).then_some(root),
            beacon: reply.get("beacon")?,
            announced: reply.get("announced")?,
            key: digits(key).map_err(odd)?,
            is_unsorted: reply.get("unsorted")?,
        }))
    }

    /// For `revive.lua`.
    pub fn remembered(&self) -> String {
        let seed = |seed: &Option<Seed>| seed.as_ref().map_or("", Seed::reveal).to_owned();
        let root = self.root.clone().unwrap_or_default();
        let (own, key) = (seed(&self.seed), seed(&self.key));
        let (seeds, commitment) = (self.seeds.to_string(), self.commitment.clone());
        let announced = self.announced.as_ref();
        // A name may have commas, so it is the last.
        let announced = announced.map_or_else(|| "-".to_owned(), |name| format!("+{name}"));
        let beacon = self.beacon.clone();
        [seeds, commitment, own, root, beacon, key, announced].join(",")
    }

    /// The beacon that is added: the one that was named when it was fixed who takes part, and until then
    /// the one that the rules name. With a choice afterwards an operator could choose among draws.
    pub fn beacon_of<'a>(&'a self, policy: &'a Policy) -> Option<&'a str> {
        let named = self.announced.as_ref().or(policy.beacon.as_ref());
        named.map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Whether places were drawn and may be seen.
    pub fn is_held(&self) -> bool {
        self.key.is_some() && !self.is_unsorted
    }

    /// Whether nobody may see a place now.
    pub fn is_secret(&self, order: Order) -> bool {
        self.is_unsorted || (self.last_ticket == 0 && order == Order::Lottery)
    }

    /// The ticket whose place has the negative key `key`.
    pub fn ticket_at(&self, key: i64) -> Option<u64> {
        if key < -LOTS {
            return u64::try_from(key.checked_add(UNDRAWN)?).ok();
        }
        let lot = u64::try_from(key.checked_add(LOTS)?).ok()?;
        self.key.as_ref().map(|it| it.ticket(lot))
    }

    /// What everybody may know.
    pub fn public(&self) -> Lottery {
        let entry = |root: &String| Entry {
            root: root.clone(),
            last_ticket: self.last_ticket,
            entrants: self.entrants,
        };
        let drawn = |(key, seed): (&Seed, &Seed)| Drawn {
            seed: seed.reveal().to_owned(),
            beacon: self.beacon.clone(),
            key: key.reveal().to_owned(),
        };
        Lottery {
            commitment: self.commitment.clone(),
            seeds: self.seeds,
            entry: self.root.as_ref().map(entry),
            drawn: self.key.as_ref().zip(self.seed.as_ref()).map(drawn),
        }
    }
}

impl Queue {
    /// The places that were drawn and are still in line, in their order: with the key, all that is
    /// needed to check one's own. Empty before the draw. One command in the background.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn drawn(&self, page: DrawnPage) -> Result<Vec<DrawnPlace>, QueueError> {
        let snapshot = self.snapshot();
        // What was held once is held for ever, so an old snapshot is no danger.
        let draw = snapshot.draw.as_ref().filter(|draw| draw.is_held());
        let Some((draw, lots)) = draw.and_then(|draw| Some((draw, draw.key.as_ref()?))) else {
            return Ok(Vec::new());
        };
        let from = page.after_lot.map_or((-LOTS).to_string(), |lot| {
            let key = i64::try_from(lot).unwrap_or(LOTS).min(LOTS) - LOTS;
            format!("({key}")
        });
        let mut read = redis::cmd("ZRANGEBYSCORE");
        read.arg(&self.entry.keys.waiting).arg(from).arg("(0");
        read.arg("WITHSCORES").arg("LIMIT").arg(0).arg(page.limit);
        let read: Vec<(Vec<u8>, i64)> = self.store().command(&read).await?;
        let place = |(_, key): (Vec<u8>, i64)| {
            let lot = u64::try_from(key.checked_add(LOTS)?).ok()?;
            let ticket = lots.ticket(lot);
            // A draw that began since has another key.
            (ticket <= draw.last_ticket).then_some(DrawnPlace { ticket, lot })
        };
        Ok(read.into_iter().filter_map(place).collect())
    }
}

/// As two hex digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Seed;
    use crate::merkle::Tree;

    /// The example of `docs/LOTTERY.md`.
    const SEED: &str = "6f0c1a5e9d2b47838e6a1f30c4d7b25990ab13ce57f0248d6b9ea2417c358fd1";

    fn seed() -> Seed {
        SEED.parse().expect("a seed")
    }

    #[test]
    fn the_example_of_the_page_is_right() {
        let commitment = "cd373ee672cfb8a2d962ec0e2e64d80e0143832aa41a18fd6f9a594a4734cb76";
        assert_eq!(seed().commitment(), commitment);
        let lots = [
            (1_764_000_600_000_000, 561_237_142_244_222),
            (1_764_000_000_000_002, 1_437_962_577_968_793),
            (1_764_000_000_123_456, 2_086_056_921_163_282),
            (1_764_000_000_000_001, 3_660_436_027_115_276),
        ];
        let root = Tree::new(lots.map(|(ticket, _)| ticket).to_vec()).root();
        let page = "b556dc02979b544e3b6a38f35633041833e9cbc7cbb91badf34bee9d0430d719";
        assert_eq!(root, page);
        let key = seed().key(&root, "");
        let page = "bee47acdce55a7045464d3a451be0a5c75247f8200b27342c2915d587e7cd652";
        assert_eq!(key.published(), page);
        for (ticket, lot) in lots {
            assert_eq!(key.lot(ticket), lot);
        }
    }

    #[test]
    fn every_lot_leads_back_to_its_ticket_and_none_is_given_twice() {
        let tickets = (0..2_000).map(|n| 1_764_000_000_000_000 + n * 37);
        let ends = [0, 1, (1 << 52) - 1, (1 << 26) - 1, 1 << 26];
        let mut lots = BTreeSet::new();
        for ticket in tickets.chain(ends) {
            let lot = seed().lot(ticket);
            assert!(lot < 1 << 52);
            assert_eq!(seed().ticket(lot), ticket);
            assert!(lots.insert(lot), "{ticket}");
        }
    }

    #[test]
    fn lots_are_spread_evenly_also_over_tickets_that_follow_each_other() {
        let mut eighths = [0_u32; 8];
        let mut early_before_late = 0;
        for ticket in (1_764_000_000_000_000..).take(8_000) {
            let lot = seed().lot(ticket);
            eighths[usize::try_from(lot >> 49).expect("small")] += 1;
            early_before_late += u32::from(lot < seed().lot(ticket + 8_000));
        }
        // Six standard deviations.
        assert!(
            eighths.iter().all(|count| count.abs_diff(1_000) < 180),
            "{eighths:?}"
        );
        assert!(
            early_before_late.abs_diff(4_000) < 270,
            "{early_before_late}"
        );
    }

    #[test]
    fn a_seed_is_64_digits_and_is_never_shown() {
        for odd in [
            "",
            "6f",
            &SEED[1..],
            &SEED.to_uppercase(),
            &format!("{SEED}0"),
        ] {
            assert!(odd.parse::<Seed>().is_err(), "{odd}");
        }
        assert!(!format!("{:?}", seed()).contains(SEED));
        assert_ne!(Seed::random(), Seed::random());
    }
}
