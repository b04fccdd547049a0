//! Owns the proof of work that a place may cost, so that a thousand places cost a thousand times
//! as much.
//!
//! A challenge is text of ours: bits, end, a number used once, and a seal over these with queue
//! and user, so it is good at every gateway and for nobody else. The client looks for a `nonce`
//! such that SHA-256 of `challenge + ":" + nonce` begins with so many zero bits. Each gateway
//! takes a challenge once. The more ask at a gateway, the more bits it asks for.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::time::Timestamp;
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

use crate::queue::{QueueId, UserId};
use crate::token::KeyRing;

/// A telephone needs some seconds for a usual challenge.
const LIFE: TimeDelta = TimeDelta::seconds(120);
/// Longest `nonce`, in bytes.
const LONGEST_NONCE: usize = 64;
/// Requests per second of one gateway up to which nothing is added.
const USUAL_PER_SECOND: u64 = 100;
/// Most bits that a crowd adds: 256 times the work.
const MOST_ADDED: u32 = 8;
/// Over how long requests are counted.
const WINDOW_S: i64 = 10;
/// Challenges that are remembered as used. Each cost somebody the work.
const MOST_SPENT: usize = 100_000;
/// Bytes of the number used once.
const SERIAL_BYTES: usize = 12;

/// What a place costs at this gateway.
pub struct Work {
    bits: u32,
    keys: KeyRing,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Used in this life span of a challenge, and in the one before.
    spent: HashSet<String>,
    spent_before: HashSet<String>,
    turned_at: i64,
    window: i64,
    asked: u64,
    asked_before: u64,
}

/// What a client has to solve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Goes into the hash, and back to us.
    pub text: String,
    /// Zero bits that the hash must begin with.
    pub bits: u32,
    /// When it is too late.
    pub expires_at: Timestamp,
}

/// What a client found.
#[derive(Debug, Clone, Copy)]
pub struct Solution<'a> {
    /// The text of the challenge.
    pub challenge: &'a str,
    /// What was looked for.
    pub nonce: &'a str,
}

/// Why a place is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// Nothing was shown.
    #[error("a proof of work is needed")]
    Missing(Challenge),
    /// Not a solution, not of our challenge, of another user or queue, too late, or used before.
    #[error("the proof of work is not good")]
    Invalid(Challenge),
}

impl Work {
    /// `bits` of work for each place, 0 for none; challenges are sealed with `keys`.
    pub fn new(bits: u32, keys: KeyRing) -> Self {
        Self {
            bits,
            keys,
            memory: Mutex::default(),
        }
    }

    /// Whether a place costs work at all.
    pub fn is_needed(&self) -> bool {
        self.bits > 0
    }

    /// Takes the proof that `user` has worked for a place in `queue`.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, with a challenge to solve.
    pub fn take(
        &self,
        queue: &QueueId,
        user: &UserId,
        solution: Option<Solution<'_>>,
        now: Timestamp,
    ) -> Result<(), WorkError> {
        if self.bits == 0 {
            return Ok(());
        }
        let added = self.memory().added_bits(now);
        let challenge = || self.challenge(queue, user, self.bits + added, now);
        let Some(solution) = solution else {
            return Err(WorkError::Missing(challenge()));
        };
        match self.serial_of(queue, user, solution, now) {
            Some(serial) if self.memory().spend(serial, now) => Ok(()),
            _ => Err(WorkError::Invalid(challenge())),
        }
    }

    fn challenge(&self, queue: &QueueId, user: &UserId, bits: u32, now: Timestamp) -> Challenge {
        let expires_at = now + LIFE;
        let serial = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; SERIAL_BYTES]>());
        let head = format!("{bits}.{}.{serial}", expires_at.timestamp());
        let seal = self.keys.seal(&sealed(&head, queue, user));
        Challenge {
            text: format!("{head}.{seal}"),
            bits,
            expires_at,
        }
    }

    /// The serial of the challenge, if this is a solution of it that is in time.
    fn serial_of<'a>(
        &self,
        queue: &QueueId,
        user: &UserId,
        solution: Solution<'a>,
        now: Timestamp,
    ) -> Option<&'a str> {
        let (head, seal) = solution.challenge.rsplit_once('.')?;
        let mut parts = head.split('.');
        let (bits, expires_at, serial) = (parts.next()?, parts.next()?, parts.next()?);
        let (bits, expires_at): (u32, i64) = (bits.parse().ok()?, expires_at.parse().ok()?);
        if solution.nonce.len() > LONGEST_NONCE || now.timestamp() >= expires_at {
            return None;
        }
        let solved = zero_bits(solution) >= bits;
        let is_ours = solved && self.keys.is_seal(&sealed(head, queue, user), seal);
        is_ours.then_some(serial)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Counts one request, and says what the crowd adds: a bit for each doubling of the usual rate.
    fn added_bits(&mut self, now: Timestamp) -> u32 {
        let window = now.timestamp() / WINDOW_S;
        if window != self.window {
            self.asked_before = if window == self.window + 1 {
                self.asked
            } else {
                0
            };
            (self.window, self.asked) = (window, 0);
        }
        self.asked += 1;
        let per_second = self.asked.max(self.asked_before) / WINDOW_S.unsigned_abs();
        let times = per_second / USUAL_PER_SECOND;
        times.checked_ilog2().map_or(0, |it| it + 1).min(MOST_ADDED)
    }

    /// Whether this serial was not used before; from now on it is.
    fn spend(&mut self, serial: &str, now: Timestamp) -> bool {
        let now = now.timestamp();
        if now - self.turned_at >= LIFE.num_seconds() || self.spent.len() >= MOST_SPENT {
            self.spent_before = std::mem::take(&mut self.spent);
            self.turned_at = now;
        }
        !self.spent_before.contains(serial) && self.spent.insert(serial.to_owned())
    }
}

fn sealed(head: &str, queue: &QueueId, user: &UserId) -> String {
    format!("work:{queue}:{user}:{head}")
}

/// How many zero bits the hash of a solution begins with.
fn zero_bits(solution: Solution<'_>) -> u32 {
    let text = format!("{}:{}", solution.challenge, solution.nonce);
    let mut zeros = 0;
    for byte in Sha256::digest(text) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros
}

#[cfg(test)]
mod tests {
    use chassis::time::Timestamp;
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::{Challenge, LIFE, Memory, Solution, Work, WorkError, zero_bits};
    use crate::queue::{QueueId, UserId};

    const KEYS: &str = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

    fn queue() -> QueueId {
        "main".parse().expect("a name")
    }

    fn work(bits: u32) -> Work {
        Work::new(bits, KEYS.parse().expect("a key"))
    }

    fn asked(work: &Work, user: &UserId, now: Timestamp) -> Challenge {
        match work.take(&queue(), user, None, now) {
            Err(WorkError::Missing(challenge)) => challenge,
            other => panic!("{other:?}"),
        }
    }

    fn solved(challenge: &Challenge) -> String {
        let nonces = (0..u64::MAX).map(|number| number.to_string());
        let fits = |nonce: &String| {
            let challenge = &challenge.text;
            zero_bits(Solution { challenge, nonce }) >= 10
        };
        nonces.into_iter().find(fits).expect("one of them")
    }

    #[test]
    fn work_for_one_user_and_queue_is_taken_once_and_in_time() {
        let (work, twin) = (work(10), work(10));
        let (user, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let now = Timestamp::default();
        let challenge = asked(&work, &user, now);
        assert_eq!(challenge.bits, 10);
        let nonce = solved(&challenge);
        let solution = Some(Solution {
            challenge: &challenge.text,
            nonce: &nonce,
        });
        let vip: QueueId = "vip".parse().expect("a name");
        assert!(work.take(&queue(), &other, solution, now).is_err());
        assert!(work.take(&vip, &user, solution, now).is_err());
        assert!(work.take(&queue(), &user, solution, now + LIFE).is_err());
        assert!(work.take(&queue(), &user, solution, now).is_ok());
        assert!(work.take(&queue(), &user, solution, now).is_err(), "once");
        assert!(
            twin.take(&queue(), &user, solution, now).is_ok(),
            "any gateway knows it"
        );
    }

    #[test]
    fn a_challenge_that_was_made_easier_is_not_ours() {
        let work = work(30);
        let user = UserId(Uuid::from_u128(1));
        let now = Timestamp::default();
        let challenge = asked(&work, &user, now).text;
        let easier = challenge.replacen("30.", "0.", 1);
        for challenge in [challenge.as_str(), &easier, "", "0.9999999999.x.y", "...."] {
            let solution = Some(Solution {
                challenge,
                nonce: "0",
            });
            let refused = work.take(&queue(), &user, solution, now);
            assert!(matches!(refused, Err(WorkError::Invalid(_))), "{challenge}");
        }
    }

    #[test]
    fn a_crowd_makes_it_harder_and_its_end_easier() {
        let mut memory = Memory::default();
        let now = Timestamp::default();
        let mut after = |requests: usize, now| (0..requests).map(|_| memory.added_bits(now)).max();
        assert_eq!(after(999, now), Some(0));
        assert_eq!(after(1, now), Some(1), "as many as usual, and more to come");
        assert_eq!(after(3_000, now), Some(3));
        assert_eq!(after(1, now + TimeDelta::seconds(10)), Some(3));
        assert_eq!(after(1, now + TimeDelta::seconds(30)), Some(0));
        assert_eq!(after(1_000_000, now + TimeDelta::seconds(40)), Some(8));
    }

    #[test]
    fn without_bits_nothing_is_asked_for() {
        let user = UserId(Uuid::from_u128(1));
        let taken = work(0).take(&queue(), &user, None, Timestamp::default());
        assert!(taken.is_ok());
    }
}
