//! The NAS-Bench-201 table: rows in memory, what a query costs, and the plain
//! CSV form that every other form is converted to.

mod charge;
mod csv_form;
mod nasbench201;

pub use charge::{EpochTimes, TimesError};
pub use nasbench201::{DatasetRow, Nasbench201Row, Nasbench201Table, RowsError};

/// Number of architectures in the space.
pub const ARCHITECTURES: usize = 15_625;
