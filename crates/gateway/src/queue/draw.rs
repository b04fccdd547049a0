//! Owns the lottery as this gateway knows it: the seed, what it gives to a ticket, and what of it
//! may be seen by everybody.
//!
//! Before the doors open only the seed's hash is shown, afterwards the seed, so that anybody can
//! compute every place again; `docs/LOTTERY.md` is the recipe with an example. The scripts compute
//! the same in `draw.lua`. No seed is ever shown by `Debug`, in a log or in an error.

use std::fmt;
use std::str::FromStr;

use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

use super::policy::Order;
use super::reply::Reply;
use super::{Queue, QueueError, StoreError};

/// Bits of one half of a ticket number.
const HALF_BITS: u32 = 26;
/// The largest half.
const HALF: u64 = (1 << HALF_BITS) - 1;
/// So many lots there are; a place that was drawn has the key `lot - LOTS`.
const LOTS: i64 = 1 << (2 * HALF_BITS);
/// Times that the halves are mixed.
const ROUNDS: u32 = 6;

/// The secret of one draw: 64 hex digits.
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
    /// The outcome; none before the doors open.
    pub drawn: Option<Drawn>,
}

/// What everybody may know after the draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The seed's 64 digits.
    pub seed: String,
    /// Tickets up to this number took part; later ones stand behind in order of arrival.
    pub last_ticket: u64,
    /// How many took part; 0 when that was lost with the store.
    pub entrants: u64,
}

/// A place that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawnPlace {
    /// The number of the ticket.
    pub ticket: u64,
    /// What the seed gave it; places are in the order of lots.
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
pub(super) struct Draw {
    pub seed: Seed,
    /// Highest ticket that took part; 0 before the doors open.
    pub last_ticket: u64,
    pub entrants: u64,
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
        let seed: String = reply.get("seed")?;
        if seed.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            seed: seed.parse().map_err(|_| StoreError::Odd("seed"))?,
            last_ticket: reply.get("drawn")?,
            entrants: reply.get("entrants")?,
            is_unsorted: reply.get("unsorted")?,
        }))
    }

    /// Whether places were drawn and may be seen.
    pub fn is_held(&self) -> bool {
        self.last_ticket > 0 && !self.is_unsorted
    }

    /// Whether nobody may see a place now.
    pub fn is_secret(&self, order: Order) -> bool {
        self.is_unsorted || (self.last_ticket == 0 && order == Order::Lottery)
    }

    /// The ticket whose place has the negative key `key`.
    pub fn ticket_at(&self, key: i64) -> Option<u64> {
        Some(
            self.seed
                .ticket(u64::try_from(key.checked_add(LOTS)?).ok()?),
        )
    }

    /// What everybody may know.
    pub fn public(&self) -> Lottery {
        let drawn = || Drawn {
            seed: self.seed.reveal().to_owned(),
            last_ticket: self.last_ticket,
            entrants: self.entrants,
        };
        Lottery {
            commitment: self.seed.commitment(),
            drawn: (self.last_ticket > 0).then(drawn),
        }
    }
}

impl Queue {
    /// The places that were drawn and are still in line, in their order: with the seed, all that is
    /// needed to check one's own. Empty before the draw. One command in the background.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn drawn(&self, page: DrawnPage) -> Result<Vec<DrawnPlace>, QueueError> {
        let snapshot = self.snapshot();
        // What was held once is held for ever, so an old snapshot is no danger.
        let Some(draw) = snapshot.draw.as_ref().filter(|draw| draw.is_held()) else {
            return Ok(Vec::new());
        };
        let from = page.after_lot.map_or("-inf".to_owned(), |lot| {
            let key = i64::try_from(lot).unwrap_or(LOTS).min(LOTS) - LOTS;
            format!("({key}")
        });
        let mut read = redis::cmd("ZRANGEBYSCORE");
        read.arg(&self.entry.keys.waiting).arg(from).arg("(0");
        read.arg("WITHSCORES").arg("LIMIT").arg(0).arg(page.limit);
        let read: Vec<(Vec<u8>, i64)> = self.store().command(&read).await?;
        let place = |(_, key): (Vec<u8>, i64)| {
            let lot = u64::try_from(key.checked_add(LOTS)?).ok()?;
            let ticket = draw.seed.ticket(lot);
            // A draw that began since has another seed.
            (ticket <= draw.last_ticket).then_some(DrawnPlace { ticket, lot })
        };
        Ok(read.into_iter().filter_map(place).collect())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Seed;

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
            (1_764_000_000_000_001, 1_045_731_160_196_781),
            (1_764_000_000_000_002, 1_933_727_600_528_449),
            (1_764_000_000_123_456, 2_831_292_943_081_933),
            (1_764_000_600_000_000, 3_721_224_979_469_575),
        ];
        for (ticket, lot) in lots {
            assert_eq!(seed().lot(ticket), lot);
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
