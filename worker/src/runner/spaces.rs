//! Search spaces, enumerated once a process.

use std::sync::{Arc, OnceLock};

use reprise_domain::SpaceName;
use reprise_search::space::{self, SearchSpace};

/// The space of a name.
pub(super) fn open(name: SpaceName) -> Arc<dyn SearchSpace> {
    static NASBENCH101: OnceLock<Arc<dyn SearchSpace>> = OnceLock::new();
    static NASBENCH201: OnceLock<Arc<dyn SearchSpace>> = OnceLock::new();
    let known = match name {
        SpaceName::Nasbench101 => &NASBENCH101,
        SpaceName::Nasbench201 => &NASBENCH201,
    };
    Arc::clone(known.get_or_init(|| space::open(name)))
}
