//! Damage at random to the state directory of a study, and what `reprise run` makes of
//! it: the same tables as undisturbed, or an error that names what is damaged. Never
//! another table with exit code 0.
//!
//! Each case is drawn from a seed and its number alone, so that any one of them can be
//! done again by itself. The programs are the real ones.

pub mod bytes;
pub mod injury;
pub mod kind;
pub mod rows;
pub mod stand;
pub mod tally;
pub mod trial;
