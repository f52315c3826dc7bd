//! How much work there is, from the summaries of the coordinator's studies.

use reprise_domain::status::{StudyState, StudySummary};

/// The work of all studies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workload {
    /// Tasks that a worker has.
    pub running: u64,
    /// Tasks that a worker could have now or soon, those that run included.
    pub runnable: u64,
    /// Tasks that have not ended, whatever they wait for.
    pub remaining: u64,
}

impl Workload {
    /// Adds the work of a study.
    pub fn add(&mut self, study: &StudySummary) {
        let tasks = &study.tasks;
        match study.state {
            StudyState::Done | StudyState::Cancelled => return,
            StudyState::Paused | StudyState::Stopped => self.runnable += tasks.running,
            // A task that waits after a failure can run in a while that is shorter
            // than what a worker takes to come.
            StudyState::Running => {
                self.runnable += tasks.running + tasks.ready + tasks.backing_off;
            }
        }
        self.running += tasks.running;
        self.remaining += tasks.remaining();
    }
}

#[cfg(test)]
mod tests {
    use reprise_domain::Digest;
    use reprise_domain::status::TaskCounts;

    use super::*;

    fn check(state: StudyState, expected: [u64; 3]) {
        let study = StudySummary {
            name: "small".parse().unwrap(),
            digest: Digest::from_bytes([0; 32]),
            owner: None,
            state,
            tasks: TaskCounts {
                planned: 20,
                finished: 2,
                running: 3,
                ready: 4,
                waiting: 5,
                backing_off: 6,
                ..TaskCounts::default()
            },
            audits: reprise_domain::status::AuditCounts::default(),
            submitted_at_ms: 0,
            started_at_ms: None,
            finished_at_ms: None,
        };
        let mut load = Workload::default();
        load.add(&study);
        assert_eq!([load.running, load.runnable, load.remaining], expected);
    }

    #[test]
    fn tasks_that_wait_for_others_count_later() {
        check(StudyState::Running, [3, 13, 18]);
    }

    #[test]
    fn held_studies_need_only_what_runs_and_ended_ones_nothing() {
        check(StudyState::Paused, [3, 3, 18]);
        check(StudyState::Stopped, [3, 3, 18]);
        check(StudyState::Cancelled, [0, 0, 0]);
    }
}
