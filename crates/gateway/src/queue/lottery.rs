//! Owns the draw among those who came before the doors opened: the seed and what it gives (`draw`), who takes
//! part (`entrants`), and how all get the place of their lot (`settle`).
//!
//! Nobody can know a place before it is fixed who takes part, and anybody can compute every place afterwards.

pub(super) mod draw;
pub(super) mod entrants;
pub(super) mod settle;
