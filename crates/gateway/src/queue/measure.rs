//! Owns what is counted and measured of a queue: what came to pass at the door, how the service behind bears it
//! and what it has left, and what is kept of each minute.
//!
//! Each gateway counts for itself and adds its counts to those of the others. A count that is late or lost
//! changes no place.

pub(super) mod buckets;
pub(super) mod flow;
pub(super) mod minutes;
pub(super) mod rate;
pub(super) mod stock;
pub(super) mod sums;
