//! Owns how what a gateway published is read, from its address or from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::merkle::Step;

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
    pub(super) draw: Option<Draw>,
    pub(super) listed: Vec<Listed>,
    pub(super) next: Option<String>,
    pub(super) entrants: Option<Vec<u64>>,
    pub(super) proof: Option<Proof>,
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
    /// A line of the list of who took part is no ticket.
    #[error("not a list of tickets: {0}")]
    Entrants(#[from] std::num::ParseIntError),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Draw {
    pub(super) commitment: String,
    pub(super) seed: Option<String>,
    pub(super) last_ticket: Option<u64>,
    pub(super) entrants: Option<u64>,
    pub(super) root: Option<String>,
    pub(super) beacon_value: Option<String>,
    pub(super) key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    pub(super) ticket_number: u64,
    pub(super) path: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) ticket_number: u64,
    pub(super) lot: u64,
}

#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) lottery: Option<Draw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    pub(super) items: Vec<Listed>,
    pub(super) next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    List(List),
    Proof(Proof),
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

    /// Adds the list of all who took part, a ticket on each line, from a file.
    ///
    /// # Errors
    /// It cannot be read, or is no such list.
    pub fn with_entrants(mut self, path: &Path) -> Result<Self, Unreadable> {
        self.entrants = Some(tickets(&fs::read_to_string(path)?)?);
        Ok(self)
    }

    /// Adds the proof of a ticket, as the gateway answered it, from a file.
    ///
    /// # Errors
    /// It cannot be read, or is no proof.
    pub fn with_proof(mut self, path: &Path) -> Result<Self, Unreadable> {
        self.proof = Some(serde_json::from_str(&fs::read_to_string(path)?)?);
        Ok(self)
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
                break;
            }
        }
        if published.draw.as_ref().is_some_and(|it| it.root.is_some()) {
            let list = client.get(format!("{queue}/lottery/entrants"));
            let list = list.send().await?.error_for_status()?.text().await?;
            published.entrants = Some(tickets(&list)?);
        }
        Ok(published)
    }

    pub(super) fn parse(answers: &str) -> Result<Self, serde_json::Error> {
        let mut published = Self::default();
        for answer in serde_json::Deserializer::from_str(answers).into_iter() {
            published.take(answer?);
        }
        Ok(published)
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Status(status) => self.draw = status.lottery,
            Answer::Proof(proof) => self.proof = Some(proof),
            Answer::List(list) => {
                self.listed.extend(list.items);
                self.next = list.next_cursor;
            }
        }
    }
}

fn tickets(lines: &str) -> Result<Vec<u64>, std::num::ParseIntError> {
    lines.lines().map(|line| line.trim().parse()).collect()
}

async fn get<T: DeserializeOwned>(client: &Client, url: &str) -> Result<T, Unreadable> {
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}
