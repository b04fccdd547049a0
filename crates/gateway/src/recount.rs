//! Owns the recount of a lottery: whether what a gateway publishes about a draw agrees with itself, and
//! which place a ticket has by it.
//!
//! It takes what everybody can have, the status of a queue and its list of drawn tickets, and needs no
//! key and no store. `docs/LOTTERY.md` says how to use it and how to do the same without it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::queue::Seed;

/// For each answer of the gateway.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where the published answers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The address of a queue at a gateway: `http://…/api/v1/queues/main`.
    Address(Url),
    /// A file with the status of the queue and all pages of its list, one answer after the other.
    File(PathBuf),
}

/// Begins like an address and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a queue")]
pub struct SourceInvalid;

/// What a gateway published about a draw.
#[derive(Debug, Clone, Default)]
pub struct Published {
    draw: Option<Draw>,
    listed: Vec<Listed>,
    next: Option<String>,
}

/// What came out, when all agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    commitment: String,
    entrants: u64,
    listed: usize,
    ticket: u64,
    lot: u64,
    place: Place,
}

/// The place of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Counted from 1.
    InLine(usize),
    /// Drawn and not in line any more: inside, left or passed by. So many have a lower lot.
    NotInLine(usize),
    /// It came after the doors had opened: behind all who were drawn.
    NotDrawn,
}

/// Why there is no place that can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// The queue has no lottery, or the answers are not those of a queue.
    #[error("no lottery is published here")]
    NoLottery,
    /// The doors are closed.
    #[error("the doors have not opened yet, so nothing was drawn; note the commitment {0}")]
    NotDrawn(String),
    /// Not a seed.
    #[error("the seed is not 64 hex digits")]
    SeedInvalid,
    /// The seed was changed, or the commitment.
    #[error("the commitment is {published}, but the seed's SHA-256 is {computed}")]
    SeedChanged {
        /// As the gateway says.
        published: String,
        /// As it is.
        computed: String,
    },
    /// Another seed was announced before the doors opened.
    #[error("the commitment is {published} now, but {noted} was noted before the draw")]
    CommitmentChanged {
        /// As the gateway says.
        published: String,
        /// As somebody noted it.
        noted: String,
    },
    /// A ticket was given another lot.
    #[error("ticket {ticket} is listed with lot {listed}, but the seed gives it {computed}")]
    LotChanged {
        /// Its number.
        ticket: u64,
        /// As the gateway says.
        listed: u64,
        /// As it is.
        computed: u64,
    },
    /// A ticket that came too late is listed as drawn.
    #[error("ticket {0} is listed, but it came after the doors had opened")]
    TooLate(u64),
    /// Not in the order of lots, or listed twice.
    #[error("ticket {0} is not listed in the order of lots")]
    OutOfOrder(u64),
    /// The list has more pages.
    #[error("the list goes on with cursor={0}")]
    NotWhole(String),
}

/// The answers could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The gateway did not give them.
    #[error("{0}")]
    Gateway(#[from] reqwest::Error),
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// They are not what a gateway answers.
    #[error("not what a gateway answers: {0}")]
    Answer(#[from] serde_json::Error),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Draw {
    commitment: String,
    seed: Option<String>,
    last_ticket: Option<u64>,
    entrants: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    ticket_number: u64,
    lot: u64,
}

#[derive(Deserialize)]
struct Status {
    lottery: Option<Draw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    items: Vec<Listed>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(List),
    Status(Status),
}

impl FromStr for Source {
    type Err = SourceInvalid;

    fn from_str(text: &str) -> Result<Self, SourceInvalid> {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return Ok(Self::File(text.into()));
        }
        let address = text.trim_end_matches('/').parse();
        address.map(Self::Address).map_err(|_| SourceInvalid)
    }
}

impl Published {
    /// Reads the status and the whole list.
    ///
    /// # Errors
    /// What stands in the way of reading; whether it agrees is for [`Published::recount`] to say.
    pub async fn read(source: &Source) -> Result<Self, Unreadable> {
        match source {
            Source::Address(queue) => Self::fetch(queue).await,
            Source::File(path) => Ok(Self::parse(&fs::read_to_string(path)?)?),
        }
    }

    async fn fetch(queue: &Url) -> Result<Self, Unreadable> {
        let client = Client::builder().timeout(ANSWER_WITHIN).build()?;
        let status: Status = get(&client, queue.as_str()).await?;
        let mut published = Self::default();
        published.take(Answer::Status(status));
        loop {
            let cursor = published.next.as_ref();
            let cursor = cursor.map_or_else(String::new, |it| format!("&cursor={it}"));
            let page = format!("{queue}/lottery?limit=200{cursor}");
            published.take(Answer::List(get(&client, &page).await?));
            if published.next.is_none() {
                return Ok(published);
            }
        }
    }

    fn parse(answers: &str) -> Result<Self, serde_json::Error> {
        let mut published = Self::default();
        for answer in serde_json::Deserializer::from_str(answers).into_iter() {
            published.take(answer?);
        }
        Ok(published)
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Status(status) => self.draw = status.lottery,
            Answer::List(list) => {
                self.listed.extend(list.items);
                self.next = list.next_cursor;
            }
        }
    }

    /// The place of a ticket, computed from the seed, if everything published agrees; also with the
    /// commitment that was `noted` before the doors opened.
    ///
    /// # Errors
    /// The first thing that does not agree.
    pub fn recount(&self, ticket: u64, noted: Option<&str>) -> Result<Counted, Disagreement> {
        let draw = self.draw.as_ref().ok_or(Disagreement::NoLottery)?;
        let published = draw.commitment.clone();
        if let Some(noted) = noted
            && !noted.eq_ignore_ascii_case(&published)
        {
            let noted = noted.to_owned();
            return Err(Disagreement::CommitmentChanged { published, noted });
        }
        let (Some(seed), Some(last_ticket)) = (&draw.seed, draw.last_ticket) else {
            return Err(Disagreement::NotDrawn(published));
        };
        let seed: Seed = seed.parse().map_err(|_| Disagreement::SeedInvalid)?;
        let computed = seed.commitment();
        if computed != published {
            return Err(Disagreement::SeedChanged {
                published,
                computed,
            });
        }
        self.check_list(&seed, last_ticket)?;
        let lot = seed.lot(ticket);
        let place = if ticket > last_ticket {
            Place::NotDrawn
        } else {
            match self.listed.binary_search_by_key(&lot, |it| it.lot) {
                Ok(before) => Place::InLine(before + 1),
                Err(before) => Place::NotInLine(before),
            }
        };
        Ok(Counted {
            commitment: published,
            entrants: draw.entrants.unwrap_or(0),
            listed: self.listed.len(),
            ticket,
            lot,
            place,
        })
    }

    fn check_list(&self, seed: &Seed, last_ticket: u64) -> Result<(), Disagreement> {
        let mut lowest_free = 0;
        for &Listed { ticket_number, lot } in &self.listed {
            let computed = seed.lot(ticket_number);
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

impl fmt::Display for Counted {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commitment,
            entrants,
            listed,
            ticket,
            lot,
            place,
        } = self;
        writeln!(to, "The seed is the one that was promised: {commitment}.")?;
        writeln!(
            to,
            "{entrants} took part, {listed} of them are still in line, all in the order of their lots."
        )?;
        write!(to, "Ticket {ticket} ")?;
        match place {
            Place::InLine(place) => write!(to, "has lot {lot} and place {place}."),
            Place::NotInLine(before) => write!(
                to,
                "has lot {lot} and is not in line; {before} of those in line have a lower one."
            ),
            Place::NotDrawn => write!(
                to,
                "came after the doors had opened: it stands behind all who were drawn."
            ),
        }
    }
}

async fn get<T: DeserializeOwned>(client: &Client, url: &str) -> Result<T, Unreadable> {
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Disagreement, Place, Published, Source, SourceInvalid};

    /// The example of `docs/LOTTERY.md`.
    const SEED: &str = "6f0c1a5e9d2b47838e6a1f30c4d7b25990ab13ce57f0248d6b9ea2417c358fd1";
    const COMMITMENT: &str = "cd373ee672cfb8a2d962ec0e2e64d80e0143832aa41a18fd6f9a594a4734cb76";
    const DRAWN: [(u64, u64); 3] = [
        (1_764_000_000_000_001, 1_045_731_160_196_781),
        (1_764_000_000_123_456, 2_831_292_943_081_933),
        (1_764_000_600_000_000, 3_721_224_979_469_575),
    ];

    fn status() -> Value {
        json!({ "queue": "main", "waiting": 3, "lottery": {
            "commitment": COMMITMENT, "seed": SEED, "lastTicket": 1_764_000_600_000_000_u64, "entrants": 4,
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

    fn example() -> Published {
        let pages = [
            list(&DRAWN[..2], Some("2831292943081933")),
            list(&DRAWN[2..], None),
        ];
        published(&[status(), pages[0].clone(), pages[1].clone()])
    }

    fn refused(answers: &[Value]) -> Disagreement {
        let counted = published(answers).recount(DRAWN[0].0, None);
        counted.expect_err("they do not agree")
    }

    #[test]
    fn a_ticket_has_the_place_of_its_lot() {
        let place = |ticket| {
            let counted = example().recount(ticket, Some(COMMITMENT));
            counted.expect("all agrees").place
        };
        assert_eq!(place(DRAWN[1].0), Place::InLine(2));
        assert_eq!(place(1_764_000_000_000_002), Place::NotInLine(1));
        assert_eq!(place(1_764_000_600_000_001), Place::NotDrawn);
        let counted = example().recount(DRAWN[2].0, None).expect("all agrees");
        assert!(
            counted
                .to_string()
                .ends_with("lot 3721224979469575 and place 3.")
        );
    }

    #[test]
    fn a_seed_that_is_not_the_one_that_was_promised_is_told() {
        let other = "0".repeat(64);
        let noted = example().recount(DRAWN[0].0, Some(&other));
        assert!(matches!(noted, Err(Disagreement::CommitmentChanged { .. })));
        let mut changed = status();
        changed["lottery"]["seed"] = other.into();
        let told = refused(&[changed.clone(), list(&[], None)]);
        assert!(matches!(told, Disagreement::SeedChanged { .. }), "{told}");
        changed["lottery"]["seed"] = "secret".into();
        assert_eq!(refused(&[changed]), Disagreement::SeedInvalid);
    }

    #[test]
    fn a_list_that_was_tampered_with_is_told() {
        let [(first, lot), second, third] = DRAWN;
        let listed = |drawn: &[(u64, u64)]| refused(&[status(), list(drawn, None)]);
        assert!(matches!(
            listed(&[(first, lot + 1)]),
            Disagreement::LotChanged { .. }
        ));
        assert_eq!(listed(&[third, second]), Disagreement::OutOfOrder(second.0));
        assert_eq!(
            listed(&[second, second]),
            Disagreement::OutOfOrder(second.0)
        );
        let mut earlier = status();
        earlier["lottery"]["lastTicket"] = second.0.into();
        let told = refused(&[earlier, list(&[third], None)]);
        assert_eq!(told, Disagreement::TooLate(third.0));
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
        closed["lottery"]["seed"] = Value::Null;
        closed["lottery"]["lastTicket"] = Value::Null;
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
