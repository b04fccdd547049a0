//! Owns what happens when Redis lost a line: how it is noticed, how the queue comes back (`revive.lua`), its
//! visits (`restore.lua`), and which of them are over for good (`over.lua`).
//!
//! What it works with is what gateways remember and what tokens prove; nothing is read from a disk.

pub(super) mod loss;
