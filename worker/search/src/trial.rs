//! One search trial: asks a method, charges a benchmark, until the budget is
//! spent. The method is told the guiding validation accuracy alone; what is
//! reported is looked up after the trial has ended (INV-9).

use reprise_domain::bounds;
use reprise_domain::{Accuracy, ArchIndex, Budget, Seconds, Trajectory};

use crate::method::{Ask, SearchMethod};

/// Most queries of a trial, so that one on a benchmark that charges nothing ends.
const MAX_QUERIES: usize = bounds::search::QUERIES.most as usize;

/// The answer to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guiding {
    /// The validation accuracy that guides the search.
    pub validation: Accuracy,
    /// Simulated seconds charged.
    pub cost: Seconds,
}

/// What is reported of an architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Validation accuracy, mean over training seeds.
    pub validation: Accuracy,
    /// Test accuracy, mean over training seeds.
    pub test: Accuracy,
}

/// Why an oracle did not answer.
pub type OracleError = Box<dyn std::error::Error + Send + Sync>;

/// Where accuracies come from.
pub trait Oracle {
    /// Answers a query of the search.
    fn guiding(&mut self, arch: ArchIndex) -> Result<Guiding, OracleError>;

    /// What is reported of an architecture; asked after the trial only.
    fn reported(&self, arch: ArchIndex) -> Result<Reported, OracleError>;
}

/// A trial that did not end.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The caller asked to stop.
    #[error("stopped after {0} queries")]
    Stopped(usize),
    /// The benchmark charges so little that the budget is out of reach.
    #[error("{queries} queries cost {} s in all, and the budget is not spent: expected a benchmark that charges for them", spent.get())]
    Endless {
        /// Queries so far.
        queries: usize,
        /// Simulated seconds charged so far.
        spent: Seconds,
    },
    /// The oracle has no answer.
    #[error("query {query} asks for architecture `{arch}`")]
    Oracle {
        /// Number of the query, from 1.
        query: usize,
        /// What was asked for.
        arch: ArchIndex,
        /// Why there is no answer.
        #[source]
        source: OracleError,
    },
}

/// Runs a trial to its end. `keep_going` is asked before every query with the
/// number of queries so far.
pub fn run_trial(
    budget: Budget,
    method: &mut dyn SearchMethod,
    oracle: &mut dyn Oracle,
    keep_going: &mut dyn FnMut(usize) -> bool,
) -> Result<Trajectory, TrialError> {
    let mut trajectory = Trajectory::default();
    let mut spent = Seconds::ZERO;
    while has_budget(budget, trajectory.len(), spent) {
        let query = trajectory.len() + 1;
        if query > MAX_QUERIES {
            return Err(TrialError::Endless {
                queries: MAX_QUERIES,
                spent,
            });
        }
        if !keep_going(query - 1) {
            return Err(TrialError::Stopped(query - 1));
        }
        let Ask::Buy(arch) = method.ask() else { break };
        let answer = oracle.guiding(arch).map_err(|source| TrialError::Oracle {
            query,
            arch,
            source,
        })?;
        spent = spent + answer.cost;
        trajectory.arch.push(arch);
        trajectory.validation.push(answer.validation);
        trajectory.cost.push(answer.cost);
        method.tell(arch, answer.validation);
    }
    for query in 0..trajectory.len() {
        let arch = trajectory.arch[query];
        let reported = oracle.reported(arch).map_err(|source| TrialError::Oracle {
            query: query + 1,
            arch,
            source,
        })?;
        trajectory.reported_validation.push(reported.validation);
        trajectory.test.push(reported.test);
    }
    Ok(trajectory)
}

/// The released code looks at the budget before each query, so the last one may
/// pass it (protocol notes, section 5a).
fn has_budget(budget: Budget, queries: usize, spent: Seconds) -> bool {
    match budget {
        Budget::Queries(most) => queries < most as usize,
        Budget::Simulated(most) => spent < most,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(u32);

    impl SearchMethod for Counting {
        fn ask(&mut self) -> Ask {
            self.0 += 1;
            if self.0 > 50 {
                Ask::Exhausted
            } else {
                Ask::Buy(ArchIndex(self.0))
            }
        }

        fn tell(&mut self, _: ArchIndex, _: Accuracy) {}

        fn snapshot(&self) -> String {
            self.0.to_string()
        }
    }

    /// Refuses to answer queries once something was reported.
    struct Strict(Cell<bool>);

    impl Oracle for Strict {
        fn guiding(&mut self, _: ArchIndex) -> Result<Guiding, OracleError> {
            assert!(!self.0.get(), "a query after a report");
            Ok(Guiding {
                validation: Accuracy::new(0.5)?,
                cost: Seconds::new(4.0)?,
            })
        }

        fn reported(&self, _: ArchIndex) -> Result<Reported, OracleError> {
            self.0.set(true);
            Ok(Reported {
                validation: Accuracy::new(0.5)?,
                test: Accuracy::new(0.4)?,
            })
        }
    }

    fn check(budget: Budget, queries: usize) {
        let mut oracle = Strict(Cell::new(false));
        let trajectory =
            run_trial(budget, &mut Counting::default(), &mut oracle, &mut |_| true).unwrap();
        assert_eq!(trajectory.len(), queries);
        assert!(trajectory.is_rectangular());
    }

    #[test]
    fn a_trial_ends_with_its_budget_and_reports_only_then() {
        check(Budget::Queries(7), 7);
        // 4 s each: the third query starts at 8 s and passes 10 s.
        check(Budget::Simulated(Seconds::new(10.0).unwrap()), 3);
        check(Budget::Simulated(Seconds::ZERO), 0);
        check(Budget::Queries(1_000), 50);
    }

    /// Charges nothing, for ever.
    #[derive(Debug)]
    struct Free;

    impl SearchMethod for Free {
        fn ask(&mut self) -> Ask {
            Ask::Buy(ArchIndex(0))
        }

        fn tell(&mut self, _: ArchIndex, _: Accuracy) {}

        fn snapshot(&self) -> String {
            String::new()
        }
    }

    impl Oracle for Free {
        fn guiding(&mut self, _: ArchIndex) -> Result<Guiding, OracleError> {
            Ok(Guiding {
                validation: Accuracy::new(0.5)?,
                cost: Seconds::ZERO,
            })
        }

        fn reported(&self, _: ArchIndex) -> Result<Reported, OracleError> {
            Err("an endless trial has no report".into())
        }
    }

    #[test]
    fn a_budget_out_of_reach_is_an_error() {
        let budget = Budget::Simulated(Seconds::new(1.0).unwrap());
        let endless = run_trial(budget, &mut Free, &mut Free, &mut |_| true);
        assert!(matches!(
            endless,
            Err(TrialError::Endless {
                queries: MAX_QUERIES,
                ..
            })
        ));
    }

    #[test]
    fn a_stop_is_obeyed_before_the_next_query() {
        let mut oracle = Strict(Cell::new(false));
        let stopped = run_trial(
            Budget::Queries(9),
            &mut Counting::default(),
            &mut oracle,
            &mut |n| n < 4,
        );
        assert!(matches!(stopped, Err(TrialError::Stopped(4))));
    }
}
