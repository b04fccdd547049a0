//! Owns the proof of work that a place may cost, so that a thousand places cost a thousand times
//! as much.
//!
//! A challenge is text of ours: bits, end, a number used once, and a seal over these with queue
//! and user, so it is good at every gateway and for nobody else. The client looks for a `nonce`
//! such that SHA-256 of `challenge + ":" + nonce` begins with so many zero bits. Each gateway
//! takes a challenge once. The more places are paid for at a gateway, the more bits it asks for: who
//! only asks raises no price. Where the gateway makes user ids, the challenge names the id to come.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::time::Timestamp;
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::queue::{QueueId, UserId};
use crate::token::KeyRing;

/// A telephone needs some seconds for a usual challenge.
const LIFE: TimeDelta = TimeDelta::seconds(120);
/// Longest `nonce`, in bytes.
const LONGEST_NONCE: usize = 64;
/// Accepted proofs per second of one gateway up to which nothing is added.
const USUAL_PER_SECOND: u64 = 100;
/// Most bits that are ever asked for, with what a crowd adds: 2 million hashes on average, which a
/// telephone does within the life of a challenge.
pub const MOST_BITS: u32 = 21;
/// Over how long proofs are counted.
const WINDOW_S: i64 = 10;
/// Challenges that are remembered as used. Each cost somebody the work.
const MOST_SPENT: usize = 100_000;
/// Bytes of the number used once.
const SERIAL_BYTES: usize = 12;

/// What a place costs at this gateway.
pub struct ProofOfWork {
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
    accepted: u64,
    accepted_before: u64,
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
pub enum ProofError {
    /// Nothing was shown.
    #[error("a proof of work is needed")]
    Missing(Challenge),
    /// Not a solution, not of our challenge, of another user or queue, too late, or used before.
    #[error("the proof of work is not good")]
    Invalid(Challenge),
}

impl ProofOfWork {
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
    ) -> Result<(), ProofError> {
        if self.bits == 0 {
            return Ok(());
        }
        let challenge = || {
            let added = self.memory().added_bits(now);
            let bits = (self.bits + added).min(MOST_BITS);
            self.challenge(queue, user, bits, now)
        };
        let Some(solution) = solution else {
            return Err(ProofError::Missing(challenge()));
        };
        match self.serial_of(queue, user, solution, now) {
            Some(serial) if self.memory().spend(serial, now) => Ok(()),
            _ => Err(ProofError::Invalid(challenge())),
        }
    }

    fn challenge(&self, queue: &QueueId, user: &UserId, bits: u32, now: Timestamp) -> Challenge {
        let expires_at = now + LIFE;
        let serial = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; SERIAL_BYTES]>());
        let head = format!("{bits}.{}.{serial}.{user}", expires_at.timestamp());
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

impl Solution<'_> {
    /// The user whom the challenge names. Only [`ProofOfWork::take`] says whether it is one of ours.
    pub fn user(&self) -> Option<UserId> {
        let named = self.challenge.split('.').nth(3)?;
        Uuid::parse_str(named).ok().map(UserId)
    }
}

impl Memory {
    /// What the crowd adds: a bit for each doubling of the usual rate of accepted proofs.
    fn added_bits(&mut self, now: Timestamp) -> u32 {
        self.turn_window(now);
        let per_second = self.accepted.max(self.accepted_before) / WINDOW_S.unsigned_abs();
        let times = per_second / USUAL_PER_SECOND;
        times.checked_ilog2().map_or(0, |it| it + 1)
    }

    fn turn_window(&mut self, now: Timestamp) {
        let window = now.timestamp() / WINDOW_S;
        if window == self.window {
            return;
        }
        self.accepted_before = if window == self.window + 1 {
            self.accepted
        } else {
            0
        };
        (self.window, self.accepted) = (window, 0);
    }

    /// Whether this serial was not used before; from now on it is, and counts.
    fn spend(&mut self, serial: &str, now: Timestamp) -> bool {
        self.turn_window(now);
        let is_new = self.remember(serial, now.timestamp());
        self.accepted += u64::from(is_new);
        is_new
    }

    fn remember(&mut self, serial: &str, now: i64) -> bool {
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

    use super::{Challenge, LIFE, Memory, ProofError, ProofOfWork, Solution, zero_bits};
    use crate::queue::{QueueId, UserId};

    const KEYS: &str = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";

    fn queue() -> QueueId {
        "main".parse().expect("a name")
    }

    fn work(bits: u32) -> ProofOfWork {
        ProofOfWork::new(bits, KEYS.parse().expect("a key"))
    }

    fn asked(work: &ProofOfWork, user: &UserId, now: Timestamp) -> Challenge {
        match work.take(&queue(), user, None, now) {
            Err(ProofError::Missing(challenge)) => challenge,
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
        let work = work(20);
        let user = UserId(Uuid::from_u128(1));
        let now = Timestamp::default();
        let challenge = asked(&work, &user, now).text;
        let easier = challenge.replacen("20.", "0.", 1);
        for challenge in [challenge.as_str(), &easier, "", "0.9999999999.x.y", "...."] {
            let solution = Some(Solution {
                challenge,
                nonce: "0",
            });
            let refused = work.take(&queue(), &user, solution, now);
            assert!(
                matches!(refused, Err(ProofError::Invalid(_))),
                "{challenge}"
            );
        }
    }

    #[test]
    fn proofs_that_are_accepted_make_it_harder_and_questions_do_not() {
        let mut memory = Memory::default();
        let now = Timestamp::default();
        let mut number = 0;
        let mut after = |proofs: usize, now| {
            for _ in 0..proofs {
                number += 1;
                assert!(memory.spend(&number.to_string(), now));
                assert!(!memory.spend(&number.to_string(), now), "counts once");
            }
            memory.added_bits(now)
        };
        assert_eq!(after(999, now), 0);
        assert_eq!(after(1, now), 1, "as many as usual, and more to come");
        assert_eq!(after(3_000, now), 3);
        assert_eq!(after(0, now + TimeDelta::seconds(10)), 3);
        assert_eq!(after(0, now + TimeDelta::seconds(30)), 0);
        let work = work(20);
        let user = UserId(Uuid::from_u128(1));
        for _ in 0..10_000 {
            assert_eq!(
                asked(&work, &user, now).bits,
                20,
                "who only asks pays nothing"
            );
        }
    }

    #[test]
    fn no_crowd_makes_it_harder_than_a_telephone_can() {
        let work = work(20);
        let user = UserId(Uuid::from_u128(1));
        let now = Timestamp::default();
        for number in 0..50_000 {
            assert!(work.memory().spend(&number.to_string(), now));
        }
        assert_eq!(asked(&work, &user, now).bits, 21);
    }

    #[test]
    fn a_challenge_names_the_user_whom_it_is_for() {
        let user = UserId(Uuid::from_u128(7));
        let challenge = asked(&work(1), &user, Timestamp::default());
        let named = |challenge| {
            let nonce = "0";
            Solution { challenge, nonce }.user()
        };
        assert_eq!(named(&challenge.text), Some(user));
        assert_eq!(named("1.2.3"), None);
        assert_eq!(named("1.2.3.x.y"), None);
    }

    #[test]
    fn without_bits_nothing_is_asked_for() {
        let user = UserId(Uuid::from_u128(1));
        let taken = work(0).take(&queue(), &user, None, Timestamp::default());
        assert!(taken.is_ok());
    }
}
