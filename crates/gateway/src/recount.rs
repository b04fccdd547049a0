//! Owns the recount of a lottery: whether what a gateway publishes about a draw agrees with itself, and
//! which place a ticket has by it.
//!
//! It takes what everybody can have: the status of a queue, its list of drawn tickets, the list of all
//! that took part, and the own proof; and needs no key and no store. `docs/LOTTERY.md` says how to
//! use it and how to do the same without it.

mod counted;
mod disagreement;
mod published;

use counted::Place;
use published::{Draw, Listed, Proof};

use crate::merkle::{Tree, root_by};
use crate::queue::Seed;

pub use counted::Counted;
pub use disagreement::Disagreement;
pub use published::{Published, Source, SourceInvalid, Unreadable};

/// What somebody noted before the lots were given out.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// The commitment, before the doors opened.
    pub commitment: Option<String>,
    /// The root, when they had opened.
    pub root: Option<String>,
}

impl Published {
    /// The place of a ticket, computed from the seed, if everything published agrees; also with what was
    /// `noted` before.
    ///
    /// # Errors
    /// The first thing that does not agree.
    pub fn recount(&self, ticket: u64, noted: &Noted) -> Result<Counted, Disagreement> {
        let draw = self.draw.as_ref().ok_or(Disagreement::NoLottery)?;
        let commitment = draw.commitment.clone();
        if let Some(noted) = other_than(noted.commitment.as_ref(), &commitment) {
            let published = commitment;
            return Err(Disagreement::CommitmentChanged { published, noted });
        }
        let not_drawn = || Disagreement::NotDrawn(commitment.clone());
        let root = draw.root.clone().ok_or_else(not_drawn)?;
        if let Some(noted) = other_than(noted.root.as_ref(), &root) {
            let published = root;
            return Err(Disagreement::RootChanged { published, noted });
        }
        let last_ticket = draw.last_ticket.ok_or_else(not_drawn)?;
        let key = draw.key_of(&root)?.ok_or_else(not_drawn)?;
        self.check_entrants(draw, &root)?;
        self.check_proof(&root)?;
        self.check_list(&key, last_ticket)?;
        let lot = key.lot(ticket);
        let place = if ticket > last_ticket {
            Place::NotDrawn
        } else {
            match self.listed.binary_search_by_key(&lot, |it| it.lot) {
                Ok(before) => Place::InLine(before + 1),
                Err(before) => Place::NotInLine(before),
            }
        };
        let before = |all: &Vec<u64>| all.iter().filter(|it| key.lot(**it) < lot).count();
        let took_part = self.entrants.as_ref().filter(|all| all.contains(&ticket));
        let proof = self.proof.as_ref();
        Ok(Counted {
            commitment,
            root,
            entrants: draw.entrants.unwrap_or(0),
            is_complete: self.entrants.is_some(),
            is_proven: proof.is_some_and(|proof| proof.ticket_number == ticket),
            listed: self.listed.len(),
            ticket,
            lot,
            drawn_place: took_part.map(|all| before(all) + 1),
            place,
        })
    }

    /// Whether exactly those who are listed took part.
    fn check_entrants(&self, draw: &Draw, root: &str) -> Result<(), Disagreement> {
        let Some(all) = &self.entrants else {
            return Ok(());
        };
        let computed = Tree::new(all.clone()).root();
        let entrants = draw.entrants.unwrap_or(0);
        if computed != root || all.len() as u64 != entrants {
            return Err(Disagreement::EntrantsChanged {
                count: all.len(),
                computed,
                entrants,
                published: root.to_owned(),
            });
        }
        let stranger = |it: &&Listed| all.binary_search(&it.ticket_number).is_err();
        match self.listed.iter().find(stranger) {
            Some(stranger) => Err(Disagreement::NotAnEntrant(stranger.ticket_number)),
            None => Ok(()),
        }
    }

    fn check_proof(&self, root: &str) -> Result<(), Disagreement> {
        let Some(Proof {
            ticket_number,
            path,
        }) = &self.proof
        else {
            return Ok(());
        };
        if root_by(*ticket_number, path).as_deref() == Some(root) {
            Ok(())
        } else {
            Err(Disagreement::ProofWrong(*ticket_number))
        }
    }

    fn check_list(&self, key: &Seed, last_ticket: u64) -> Result<(), Disagreement> {
        let mut lowest_free = 0;
        for &Listed { ticket_number, lot } in &self.listed {
            let computed = key.lot(ticket_number);
            if lot != computed {
                return Err(Disagreement::LotChanged {
                    ticket: ticket_number,
                    listed: lot,
                    computed,
                });
            }
            if ticket_number > last_ticket {
                return Err(Disagreement::TooLate(ticket_number));
            }
            if lot < lowest_free {
                return Err(Disagreement::OutOfOrder(ticket_number));
            }
            lowest_free = lot + 1;
        }
        match &self.next {
            Some(cursor) => Err(Disagreement::NotWhole(cursor.clone())),
            None => Ok(()),
        }
    }
}

impl Draw {
    /// The key of the draw, if it was held and all of it agrees.
    fn key_of(&self, root: &str) -> Result<Option<Seed>, Disagreement> {
        let Some(seed) = &self.seed else {
            return Ok(None);
        };
        let seed: Seed = seed.parse().map_err(|_| Disagreement::SeedInvalid)?;
        let (published, computed) = (self.commitment.clone(), seed.commitment());
        if computed != published {
            return Err(Disagreement::SeedChanged {
                published,
                computed,
            });
        }
        let beacon = self.beacon_value.as_deref().unwrap_or_default();
        let key = seed.key(root, beacon);
        match &self.key {
            Some(published) if *published != key.published() => Err(Disagreement::KeyChanged {
                published: published.clone(),
                computed: key.published(),
            }),
            _ => Ok(Some(key)),
        }
    }
}

/// What was noted, if it is another than what is published.
fn other_than(noted: Option<&String>, published: &str) -> Option<String> {
    let other = noted.filter(|noted| !noted.eq_ignore_ascii_case(published));
    other.cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Disagreement, Noted, Place, Proof, Published, Source, SourceInvalid};
    use crate::merkle::Tree;
    use crate::queue::Seed;

    /// The example of `docs/LOTTERY.md`.
    const SEED: &str = "6f0c1a5e9d2b47838e6a1f30c4d7b25990ab13ce57f0248d6b9ea2417c358fd1";
    const COMMITMENT: &str = "cd373ee672cfb8a2d962ec0e2e64d80e0143832aa41a18fd6f9a594a4734cb76";
    const TICKETS: [u64; 4] = [
        1_764_000_000_000_001,
        1_764_000_000_000_002,
        1_764_000_000_123_456,
        1_764_000_600_000_000,
    ];

    fn tree() -> Tree {
        Tree::new(TICKETS.to_vec())
    }

    fn key() -> Seed {
        let seed: Seed = SEED.parse().expect("a seed");
        seed.key(&tree().root(), "round-7")
    }

    /// Tickets and lots, in the order of lots.
    fn drawn() -> Vec<(u64, u64)> {
        let mut drawn: Vec<_> = TICKETS.map(|it| (it, key().lot(it))).to_vec();
        drawn.sort_by_key(|(_, lot)| *lot);
        drawn
    }

    fn status() -> Value {
        json!({ "queue": "main", "waiting": 3, "lottery": {
            "commitment": COMMITMENT, "seed": SEED, "lastTicket": 1_764_000_600_000_000_u64, "entrants": 4,
            "root": tree().root(), "beaconValue": "round-7", "key": key().published(),
        } })
    }

    fn list(drawn: &[(u64, u64)], next: Option<&str>) -> Value {
        let item = |(ticket, lot): &(u64, u64)| json!({ "ticketNumber": ticket, "lot": lot });
        let items: Vec<_> = drawn.iter().map(item).collect();
        json!({ "items": items, "nextCursor": next })
    }

    /// Each answer on a line, as `curl` leaves them in a file.
    fn published(answers: &[Value]) -> Published {
        let lines: Vec<_> = answers.iter().map(Value::to_string).collect();
        Published::parse(&lines.join("\n")).expect("answers")
    }

    /// All but the first of the draw are in line still.
    fn example() -> Published {
        let drawn = drawn();
        let pages = [list(&drawn[1..3], Some("7")), list(&drawn[3..], None)];
        let mut example = published(&[status(), pages[0].clone(), pages[1].clone()]);
        example.entrants = Some(TICKETS.to_vec());
        example
    }

    fn refused(answers: &[Value]) -> Disagreement {
        let counted = published(answers).recount(TICKETS[0], &Noted::default());
        counted.expect_err("they do not agree")
    }

    fn noted(commitment: &str, root: &str) -> Noted {
        Noted {
            commitment: Some(commitment.to_owned()),
            root: Some(root.to_owned()),
        }
    }

    #[test]
    fn a_ticket_has_the_place_of_its_lot() {
        let noted = noted(COMMITMENT, &tree().root());
        let counted = |ticket| example().recount(ticket, &noted).expect("all agrees");
        let drawn = drawn();
        assert_eq!(counted(drawn[1].0).place, Place::InLine(1));
        assert_eq!(counted(drawn[1].0).drawn_place, Some(2));
        assert_eq!(counted(drawn[0].0).place, Place::NotInLine(0));
        assert_eq!(counted(1_764_000_600_000_001).place, Place::NotDrawn);
        assert_eq!(counted(1_764_000_600_000_001).drawn_place, None);
        let told = counted(drawn[3].0).to_string();
        assert!(told.ends_with("and place 3."), "{told}");
    }

    #[test]
    fn a_seed_a_root_or_a_key_that_is_not_the_one_that_was_promised_is_told() {
        let other = "0".repeat(64);
        let counted = |noted: &Noted| example().recount(TICKETS[0], noted);
        let told = counted(&noted(&other, &tree().root()));
        assert!(matches!(told, Err(Disagreement::CommitmentChanged { .. })));
        let told = counted(&noted(COMMITMENT, &other));
        assert!(matches!(told, Err(Disagreement::RootChanged { .. })));
        let changed = |member: &str, value: &str| {
            let mut changed = status();
            changed["lottery"][member] = value.into();
            refused(&[changed, list(&[], None)])
        };
        let told = changed("seed", &other);
        assert!(matches!(told, Disagreement::SeedChanged { .. }), "{told}");
        for (member, value) in [("key", other.as_str()), ("beaconValue", "round-8")] {
            let told = changed(member, value);
            assert!(matches!(told, Disagreement::KeyChanged { .. }), "{told}");
        }
        assert_eq!(changed("seed", "secret"), Disagreement::SeedInvalid);
    }

    #[test]
    fn a_ticket_that_is_missing_or_too_much_is_told() {
        let with = |entrants: &[u64]| {
            let mut example = example();
            example.entrants = Some(entrants.to_vec());
            example.recount(TICKETS[0], &Noted::default())
        };
        assert!(with(&TICKETS).is_ok());
        let mut more = TICKETS.to_vec();
        more.push(1_764_000_600_000_000 - 5);
        for odd in [&TICKETS[1..], &TICKETS[..3], &[], &more] {
            let told = with(odd);
            assert!(matches!(told, Err(Disagreement::EntrantsChanged { .. })));
        }
        let stranger = 1_764_000_000_000_009;
        let listed = [(stranger, key().lot(stranger))];
        let mut forged = published(&[status(), list(&listed, None)]);
        forged.entrants = Some(TICKETS.to_vec());
        let told = forged.recount(TICKETS[0], &Noted::default());
        assert_eq!(told, Err(Disagreement::NotAnEntrant(stranger)));
    }

    #[test]
    fn a_proof_leads_from_the_ticket_to_the_root() {
        let with = |ticket_number, path| {
            let mut example = example();
            example.proof = Some(Proof {
                ticket_number,
                path,
            });
            example.recount(TICKETS[2], &Noted::default())
        };
        let path = tree().path(TICKETS[2]).expect("it takes part");
        let told = with(TICKETS[2], path.clone()).expect("all agrees");
        assert!(told.to_string().contains("leads to the root"), "{told}");
        let wrong = Err(Disagreement::ProofWrong(TICKETS[1]));
        assert_eq!(with(TICKETS[1], path.clone()), wrong);
        let wrong = Err(Disagreement::ProofWrong(TICKETS[2]));
        assert_eq!(with(TICKETS[2], path[1..].to_vec()), wrong);
    }

    #[test]
    fn a_list_that_was_tampered_with_is_told() {
        let drawn = drawn();
        let listed = |drawn: &[(u64, u64)]| refused(&[status(), list(drawn, None)]);
        let (first, lot) = drawn[0];
        let told = listed(&[(first, lot + 1)]);
        assert!(matches!(told, Disagreement::LotChanged { .. }), "{told}");
        let (second, third) = (drawn[1], drawn[2]);
        assert_eq!(listed(&[third, second]), Disagreement::OutOfOrder(second.0));
        assert_eq!(
            listed(&[second, second]),
            Disagreement::OutOfOrder(second.0)
        );
        let late = 1_764_000_600_000_001;
        let told = listed(&[(late, key().lot(late))]);
        assert_eq!(told, Disagreement::TooLate(late));
        let told = refused(&[status(), list(&[second], Some("7"))]);
        assert_eq!(told, Disagreement::NotWhole("7".into()));
    }

    #[test]
    fn without_a_draw_there_is_no_place() {
        assert_eq!(refused(&[]), Disagreement::NoLottery);
        assert_eq!(
            refused(&[json!({ "lottery": null })]),
            Disagreement::NoLottery
        );
        let mut closed = status();
        for member in [
            "seed",
            "lastTicket",
            "root",
            "entrants",
            "key",
            "beaconValue",
        ] {
            closed["lottery"][member] = Value::Null;
        }
        let told = refused(&[closed, list(&[], None)]);
        assert_eq!(told, Disagreement::NotDrawn(COMMITMENT.into()));
        assert!(Published::parse("no JSON").is_err());
    }

    #[test]
    fn a_source_is_an_address_or_a_file() {
        let queue = "http://127.0.0.1:8080/api/v1/queues/main";
        let parsed = format!("{queue}/").parse::<Source>();
        assert_eq!(parsed, Ok(Source::Address(queue.parse().expect("a URL"))));
        assert_eq!("http://".parse::<Source>(), Err(SourceInvalid));
        assert_eq!("draw.json".parse(), Ok(Source::File("draw.json".into())));
    }
}
