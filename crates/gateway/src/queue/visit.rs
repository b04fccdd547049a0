//! Owns the verbs of a visit, from joining to leaving: who takes a place, who is there, who is let in.
//!
//! Each is one script; `join.lua` takes many users at once. Those without a file of Rust here (touch, admit,
//! leave) are called in `queue.rs`.

pub(super) mod joins;
pub(super) mod present;
mod ranks;
pub(super) mod secret;
mod together;
