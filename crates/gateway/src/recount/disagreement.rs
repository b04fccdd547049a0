//! Owns what a recount says when something does not agree.

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
    /// Another root was published when the doors had opened.
    #[error("the root is {published} now, but {noted} was noted before the draw")]
    RootChanged {
        /// As the gateway says.
        published: String,
        /// As somebody noted it.
        noted: String,
    },
    /// The key was not made of seed, root and beacon.
    #[error("the key is {published}, but seed, root and beacon give {computed}")]
    KeyChanged {
        /// As the gateway says.
        published: String,
        /// As it is.
        computed: String,
    },
    /// A ticket is missing in the list of all who took part, or is there too much.
    #[error(
        "{count} tickets are listed with the root {computed}, but {entrants} took part with the root {published}"
    )]
    EntrantsChanged {
        /// How many are listed.
        count: usize,
        /// Their root.
        computed: String,
        /// How many took part, as the gateway says.
        entrants: u64,
        /// The root, as the gateway says.
        published: String,
    },
    /// A ticket is in line by lot, and did not take part.
    #[error("ticket {0} is listed with a lot, but did not take part")]
    NotAnEntrant(u64),
    /// The proof does not lead from the ticket to the root.
    #[error("the proof does not lead from ticket {0} to the root")]
    ProofWrong(u64),
    /// A ticket was given another lot.
    #[error("ticket {ticket} is listed with lot {listed}, but the key gives it {computed}")]
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
