//! The official `NATS-tss-v1_0-3ffb9-simple` folder: `meta.pickle.pbz2` and one
//! `000000.pickle.pbz2` … `015624.pickle.pbz2` an architecture, 5 GB of pickles
//! (format notes, section 6.3).
//!
//! Files are read one at a time and only the table's numbers are kept. Reading
//! takes minutes, so a folder is converted once with
//! [`Nasbench201Table::write_csv`](crate::Nasbench201Table::write_csv).

mod error;
mod folder;
mod record;

pub use error::{NatsError, RecordError};
pub use folder::{NatsFolder, Verification};
