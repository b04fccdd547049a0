//! Owns how the line lies in Redis and how it is reached: the names of the keys, how a script is put together,
//! called and answered, for how long one waits, and by which clock.
//!
//! `prelude.lua` and `lanes.lua` are what all scripts share. A verb, its script and what its reply means are
//! elsewhere.

pub(super) mod clock;
pub(super) mod deadline;
mod gateways;
pub(super) mod keys;
mod library;
pub(super) mod ready;
pub(super) mod reply;
pub(super) mod script;
