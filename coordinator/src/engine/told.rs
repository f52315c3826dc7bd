//! What happened, for those who want to know: the newest events, and a stream of
//! those that come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Event, Reopening};
use reprise_core::plan::Plan;
use reprise_domain::record::Occurrence;
use reprise_domain::{AttemptId, StudyName, TaskKey, WorkerId};
use tokio::sync::broadcast;

/// Events that are kept at least, if there were so many.
const KEPT: u64 = 1000;

/// Commits that a reader may be behind before it misses some.
const BEHIND: usize = 256;

/// The events of one commit.
#[derive(Debug)]
pub(super) struct Told {
    at: Timestamp,
    /// Number of the first of them.
    first: u64,
    events: Vec<Event>,
}

/// Where the engine tells what happens.
#[derive(Debug)]
pub(super) struct Teller {
    next: u64,
    recent: Recent,
    sender: broadcast::Sender<Arc<Told>>,
}

type Recent = Arc<Mutex<VecDeque<Arc<Told>>>>;

/// Where others hear it.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    recent: Recent,
    sender: broadcast::Sender<Arc<Told>>,
}

/// Somebody who hears.
#[derive(Debug)]
pub struct Listener {
    recent: VecDeque<Arc<Told>>,
    /// Nothing for those who want to know of the past only.
    coming: Option<broadcast::Receiver<Arc<Told>>>,
    /// Number of the next event to tell.
    next: u64,
}

impl Teller {
    pub(super) fn new() -> (Self, Ear) {
        let (sender, _) = broadcast::channel(BEHIND);
        let recent = Recent::default();
        let ear = Ear {
            recent: Arc::clone(&recent),
            sender: sender.clone(),
        };
        let teller = Self {
            next: 0,
            recent,
            sender,
        };
        (teller, ear)
    }

    /// Tells the events of a commit.
    pub(super) fn tell(&mut self, at: Timestamp, mut events: Vec<Event>) {
        for event in &mut events {
            // What is told of a study fits a line; its plan may be large.
            if let Event::StudySubmitted { plan, .. } = event {
                *plan = Plan::default();
            }
        }
        let count = events.len() as u64;
        let told = Arc::new(Told {
            at,
            first: self.next,
            events,
        });
        self.next += count;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(Arc::clone(&told));
        while recent
            .get(1)
            .is_some_and(|second| second.first + KEPT <= self.next)
        {
            recent.pop_front();
        }
        // Told while the lock is held, so that a listener misses nothing between
        // what it takes of the past and what comes. Nobody may be listening.
        let _ = self.sender.send(told);
    }
}

impl Ear {
    /// Listens to the newest `recent` events, and to what comes where `follow` says
    /// so.
    pub(super) fn listen(&self, recent: u64, follow: bool) -> Listener {
        let kept = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = follow.then(|| self.sender.subscribe());
        let end = kept
            .back()
            .map_or(0, |last| last.first + last.events.len() as u64);
        Listener {
            next: end.saturating_sub(recent.min(KEPT)),
            recent: kept.clone(),
            coming,
        }
    }
}

impl Listener {
    /// What happened next, with the number of events before it that are missed;
    /// nothing when there is no more to come.
    pub async fn hear(&mut self) -> Option<Vec<Occurrence>> {
        loop {
            let told = match self.recent.pop_front() {
                Some(told) => told,
                None => match self.coming.as_mut()?.recv().await {
                    Ok(told) => told,
                    // What is missed shows in the number of the next event.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            };
            let end = told.first + told.events.len() as u64;
            if end <= self.next {
                continue;
            }
            let skipped = self.next.saturating_sub(told.first) as usize;
            let missed = told.first.saturating_sub(self.next);
            self.next = end;
            let mut heard: Vec<_> = told.events[skipped..]
                .iter()
                .map(|event| occurrence(event, told.at))
                .collect();
            if let Some(first) = heard.first_mut() {
                first.missed = missed;
            }
            return Some(heard);
        }
    }
}

/// What an event is about.
#[derive(Default)]
struct About<'a> {
    study: Option<&'a StudyName>,
    task: Option<TaskKey>,
    attempt: Option<AttemptId>,
    worker: Option<WorkerId>,
}

fn occurrence(event: &Event, at: Timestamp) -> Occurrence {
    let (kind, about, text) = words(event);
    Occurrence {
        at_ms: at.0,
        kind: kind.to_owned(),
        study: about.study.cloned(),
        task: about.task.or(about.attempt.map(|attempt| attempt.task)),
        attempt: about.attempt.map(|attempt| attempt.number),
        worker: about.worker,
        text,
        missed: 0,
    }
}

fn words(event: &Event) -> (&'static str, About<'_>, String) {
    let of_study = |study| About {
        study: Some(study),
        ..About::default()
    };
    let of_worker = |worker: &WorkerId| About {
        worker: Some(*worker),
        ..About::default()
    };
    let of_attempt = |attempt: &AttemptId| About {
        attempt: Some(*attempt),
        ..About::default()
    };
    match event {
        Event::StudySubmitted { spec, .. } => (
            "study-submitted",
            of_study(&spec.name),
            format!("study `{}` was submitted", spec.name),
        ),
        Event::StudyReopened { study } => (
            "study-reopened",
            of_study(study),
            format!("study `{study}` was submitted again"),
        ),
        Event::StudyContinued { study } => (
            "study-continued",
            of_study(study),
            format!("study `{study}` goes on after its stop"),
        ),
        Event::StudyCancelled { study } => (
            "study-cancelled",
            of_study(study),
            format!("study `{study}` was cancelled"),
        ),
        Event::StudyPaused { study } => (
            "study-paused",
            of_study(study),
            format!("study `{study}` was paused"),
        ),
        Event::StudyResumed { study } => (
            "study-resumed",
            of_study(study),
            format!("study `{study}` was resumed"),
        ),
        Event::StudyStopped { study } => (
            "study-stopped",
            of_study(study),
            format!("study `{study}` stopped itself: too many of its tasks failed"),
        ),
        Event::StudyDeleted { study } => (
            "study-deleted",
            of_study(study),
            format!("study `{study}` was deleted"),
        ),
        Event::WorkerJoined { worker, capability } => (
            "worker-joined",
            of_worker(worker),
            format!(
                "worker `{worker}` on `{}` offers {} slots of {}",
                capability.host, capability.slots, capability.device
            ),
        ),
        Event::WorkerLeft { worker } => (
            "worker-left",
            of_worker(worker),
            format!("worker `{worker}` left"),
        ),
        Event::WorkerDrained { worker, drained } => (
            "worker-drained",
            of_worker(worker),
            format!(
                "worker `{worker}` is given {}",
                if *drained {
                    "nothing more"
                } else {
                    "work again"
                }
            ),
        ),
        Event::Leased { worker, attempts } => (
            "leased",
            of_worker(worker),
            format!(
                "{} were given to worker `{worker}`",
                counted(attempts.len())
            ),
        ),
        Event::Adopted { worker, attempts } => (
            "adopted",
            of_worker(worker),
            format!(
                "worker `{worker}` came back with {}",
                counted(attempts.len())
            ),
        ),
        Event::Doubled { worker, attempt } => (
            "doubled",
            About {
                worker: Some(*worker),
                ..of_attempt(attempt)
            },
            format!(
                "attempt {} was given to a second worker, `{worker}`",
                short(attempt)
            ),
        ),
        Event::Finished {
            attempt, seconds, ..
        } => (
            "finished",
            of_attempt(attempt),
            format!(
                "attempt {} finished in {:.1} s",
                short(attempt),
                seconds.get()
            ),
        ),
        Event::Unarchived { attempt, by, .. } => (
            "unarchived",
            of_attempt(attempt),
            format!(
                "the result of attempt {} came back from an archive of {}",
                short(attempt),
                by.as_deref().unwrap_or("an admin")
            ),
        ),
        Event::Failed {
            attempt, failure, ..
        } => (
            "failed",
            of_attempt(attempt),
            format!(
                "attempt {} failed ({}): {}",
                short(attempt),
                failure.class.as_str(),
                failure.message
            ),
        ),
        Event::Returned { attempt } => (
            "returned",
            of_attempt(attempt),
            format!("attempt {} was handed back", short(attempt)),
        ),
        Event::Checkpointed { attempt, done, .. } => (
            "checkpointed",
            of_attempt(attempt),
            format!("attempt {} saved where it is: {done} done", short(attempt)),
        ),
        Event::CheckpointLost { attempt } => (
            "checkpoint-lost",
            of_attempt(attempt),
            format!(
                "the checkpoint of attempt {} is lost or damaged; its task begins anew",
                short(attempt)
            ),
        ),
        Event::Lost {
            worker,
            counted: running,
            unbegun,
            quarantined,
        } => (
            "lost",
            of_worker(worker),
            format!(
                "worker `{worker}` was lost with {}",
                counted(running.len() + unbegun.len() + quarantined.len())
            ),
        ),
        Event::Woken { tasks } => (
            "woken",
            About::default(),
            format!("{} tasks may be tried again", tasks.len()),
        ),
        Event::AuditBegun { worker, attempt } => (
            "audit-begun",
            About {
                worker: Some(*worker),
                ..of_attempt(attempt)
            },
            format!(
                "finished task `{}` was given to worker `{worker}` to compare the results",
                attempt.task.0.short()
            ),
        ),
        Event::Audited { attempt, agrees } => (
            "audited",
            of_attempt(attempt),
            format!(
                "attempt {} gave {} result as its task has",
                short(attempt),
                if *agrees { "the same" } else { "another" }
            ),
        ),
        Event::AuditsGivenUp { tasks } => (
            "audits-given-up",
            of_tasks(tasks),
            format!(
                "{} finished tasks are not audited: no other worker is there",
                tasks.len()
            ),
        ),
        Event::Superseded {
            attempt, worker, ..
        } => (
            "superseded",
            About {
                worker: Some(*worker),
                ..of_attempt(attempt)
            },
            format!("a result of attempt {} came too late", short(attempt)),
        ),
        Event::Disputed {
            attempt, worker, ..
        } => (
            "disputed",
            About {
                worker: Some(*worker),
                ..of_attempt(attempt)
            },
            format!(
                "attempt {} gave another result than an earlier one",
                short(attempt)
            ),
        ),
        Event::Reopened { tasks, reason } => (
            "reopened",
            of_tasks(tasks),
            format!(
                "{} finished tasks run again: {}",
                tasks.len(),
                match reason {
                    Reopening::ArtifactLost => "a file of the result is lost",
                    Reopening::Invalidated => "a client asked for it",
                }
            ),
        ),
        Event::Retried { tasks } => (
            "retried",
            of_tasks(tasks),
            format!("{} failed tasks are tried again", tasks.len()),
        ),
        Event::Restored { .. } => (
            "restored",
            About::default(),
            "the journal was restored from a backup".to_owned(),
        ),
    }
}

fn of_tasks(tasks: &[TaskKey]) -> About<'static> {
    let task = match tasks {
        [task] => Some(*task),
        _ => None,
    };
    About {
        task,
        ..About::default()
    }
}

fn counted(attempts: usize) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    }
}

fn short(attempt: &AttemptId) -> String {
    format!("`{}@{}`", attempt.task.0.short(), attempt.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(number: u128) -> Event {
        Event::WorkerLeft {
            worker: WorkerId(reprise_domain::Uuid::from_u128(number)),
        }
    }

    fn workers(heard: &[Occurrence]) -> Vec<u128> {
        let ids = heard.iter().filter_map(|event| event.worker);
        ids.map(|id| id.0.as_u128()).collect()
    }

    #[tokio::test]
    async fn a_listener_hears_the_newest_and_what_comes() {
        let (mut teller, ear) = Teller::new();
        teller.tell(Timestamp(1), vec![left(1), left(2)]);
        teller.tell(Timestamp(2), vec![left(3)]);
        let mut listener = ear.listen(2, true);
        assert_eq!(workers(&listener.hear().await.unwrap()), [2]);
        assert_eq!(workers(&listener.hear().await.unwrap()), [3]);
        teller.tell(Timestamp(3), vec![left(4)]);
        let heard = listener.hear().await.unwrap();
        assert_eq!((workers(&heard), heard[0].missed), (vec![4], 0));
        let mut past = ear.listen(1, false);
        assert_eq!(workers(&past.hear().await.unwrap()), [4]);
        assert_eq!(past.hear().await, None);
    }

    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_told_how_much_it_missed() {
        let (mut teller, ear) = Teller::new();
        let mut listener = ear.listen(0, true);
        let commits = BEHIND as u128 + 10;
        for number in 0..commits {
            teller.tell(Timestamp(1), vec![left(number), left(number)]);
        }
        let heard = listener.hear().await.unwrap();
        assert_eq!(heard[0].missed, 20);
        assert_eq!(workers(&heard), [10, 10]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut teller, ear) = Teller::new();
        for _ in 0..5000 {
            teller.tell(Timestamp(1), vec![left(1)]);
        }
        assert_eq!(ear.listen(0, false).recent.len() as u64, KEPT);
    }
}
