//! Where a round of the scheduler begins to look, so that a round looks at few things
//! and all of them are looked at in turn.

/// What the next round begins with; the first one of all without any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookFrom<T>(pub(super) Option<T>);

impl<T> Default for LookFrom<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// No part of the state that a replay gives.
impl<T> PartialEq for LookFrom<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
