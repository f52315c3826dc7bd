//! Protocol variants: what the released arch2vec code does (`reference`), quirk
//! by quirk, or what it says it does (`corrected`). Any single quirk can be
//! switched, since showing how much each one decides is part of a study.
//!
//! Each quirk names its number in the study's protocol notes. Quirks that
//! pretraining depends on and quirks that searching depends on are separate
//! types: a switched search quirk must not change a pretraining task's key.

use serde::{Deserialize, Serialize};

/// The starting point of a study's quirks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// What the released code does.
    #[default]
    Reference,
    /// Every quirk fixed.
    Corrected,
}

/// Declares a set of named switches, their values under both protocols, and the
/// partial form that a study file may give.
macro_rules! quirks {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$over_doc:meta])* $overrides:ident,
        { $( $(#[$field_doc:meta])* $field:ident ),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $name { $( $(#[$field_doc])* pub $field: bool, )* }

        $(#[$over_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $overrides { $( $(#[$field_doc])* pub $field: Option<bool>, )* }

        impl $name {
            /// All quirks as `protocol` has them.
            pub const fn of(protocol: Protocol) -> Self {
                let on = matches!(protocol, Protocol::Reference);
                Self { $( $field: on, )* }
            }

            /// The same quirks with the given ones switched.
            #[must_use]
            pub fn with(self, overrides: $overrides) -> Self {
                Self { $( $field: overrides.$field.unwrap_or(self.$field), )* }
            }
        }
    };
}

quirks! {
    /// Quirks of pretraining; `true` does as the released code.
    PretrainQuirks,
    /// Switches that a study file sets by name.
    PretrainOverrides,
    {
        /// Q1: the model is left in evaluation mode after the first epoch: no
        /// noise, no dropout, frozen BatchNorm statistics from then on.
        eval_mode_after_first_epoch,
        /// Q2: operations are decoded by a sigmoid and binary cross entropy
        /// instead of softmax and cross entropy.
        ops_decoded_by_sigmoid,
        /// Q3: the KL term is divided by batch times nodes twice.
        kl_divided_twice,
        /// Q4: batches are drawn once and repeated in every epoch.
        batches_never_reshuffled,
        /// Q6: NAS-Bench-201 validity looks at the operations of nodes 0 and
        /// 2..=7 only, never at the adjacency.
        lenient_validity,
    }
}

quirks! {
    /// Quirks of searching; `true` does as the released code.
    SearchQuirks,
    /// Switches that a study file sets by name.
    SearchOverrides,
    {
        /// Q7: Bayesian optimisation may buy an architecture again.
        bo_buys_repeats,
        /// Q8: expected improvement uses the variance where its root belongs.
        ei_uses_variance,
        /// Q8: expected improvement compares with a fixed target instead of the
        /// incumbent.
        ei_fixed_target,
        /// Q9: the marginal likelihood's norm is not squared, its determinant
        /// saturates and the hyper-prior is left out.
        marginal_likelihood_defects,
        /// Section 11: the marginal likelihood is computed in single precision,
        /// where the determinant overflows (`NumPy` 1).
        blr_single_precision,
        /// Q10: REINFORCE uses raw rewards; discounting has no effect.
        rewards_not_discounted,
        /// Q13: NAS-Bench-201 REINFORCE steps to the second nearest neighbour.
        rl_skips_nearest,
        /// Q16: REINFORCE's first architecture is neither charged nor counted.
        rl_first_is_free,
        /// Q12: a 200-epoch training is charged 199 epochs.
        charges_199_epochs,
    }
}

/// All quirks of a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quirks {
    /// Those that decide pretraining.
    pub pretrain: PretrainQuirks,
    /// Those that decide searching.
    pub search: SearchQuirks,
}

impl Quirks {
    /// All quirks as `protocol` has them.
    pub const fn of(protocol: Protocol) -> Self {
        Self {
            pretrain: PretrainQuirks::of(protocol),
            search: SearchQuirks::of(protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_quirk_switches_without_the_others() {
        let overrides = SearchOverrides {
            ei_uses_variance: Some(false),
            ..Default::default()
        };
        let quirks = SearchQuirks::of(Protocol::Reference).with(overrides);
        assert!(!quirks.ei_uses_variance && quirks.ei_fixed_target && quirks.bo_buys_repeats);
        let corrected = SearchQuirks::of(Protocol::Corrected);
        assert!(!corrected.bo_buys_repeats);
    }
}
