//! How many workers there should be: a decision without clock or engine.
//!
//! It scales up at once. It scales down only idle workers, and only after a while. It
//! ends the fleet when nothing is left to do or to spend. Only the coordinator knows
//! which worker holds which task, so a worker that is up counts as idle only when no
//! task runs at all. Workers that still wait for a machine can be given back at any
//! time.

use std::time::Duration;

/// Bounds that the fleet keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that one worker runs at once.
    pub slots: u32,
    /// Workers that are kept even with nothing to do.
    pub min: u32,
    /// Workers that are never exceeded.
    pub max: u32,
    /// How long workers have to be too many before some are taken down.
    pub idle: Duration,
    /// Device time that a worker may still use between the decision to end the
    /// fleet and its leaving.
    pub margin: Duration,
    /// Whether the fleet waits for further studies when all are done.
    pub stay: bool,
}

/// What is known at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Tasks that a worker could have now, those that run included.
    pub runnable: u64,
    /// Tasks that have not ended.
    pub remaining: u64,
    /// Workers that were asked for and wait for a machine.
    pub queued: u32,
    /// Workers that have a machine.
    pub up: u32,
    /// Those of `up` that are known to have nothing to do.
    pub idle: u32,
    /// Device time that the budget still allows.
    pub left: Option<Duration>,
}

impl Observation {
    /// Workers that are up or on their way.
    pub fn alive(&self) -> u32 {
        self.queued.saturating_add(self.up)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Keep,
    /// So many more workers.
    Grow(u32),
    /// So many fewer: first those that wait for a machine, then idle ones.
    Shrink(u32),
    /// All of them down, and no more.
    End(End),
}

/// Why a fleet ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every study is done.
    Done,
    /// The budget is spent.
    BudgetSpent,
}

/// Decides, and remembers since when workers are too many.
#[derive(Debug, Clone)]
pub struct Policy {
    limits: Limits,
    surplus_since: Option<Duration>,
}

impl Policy {
    /// A policy that has seen nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            surplus_since: None,
        }
    }

    /// Workers that the open tasks need, within the bounds.
    pub fn needed(&self, seen: &Observation) -> u32 {
        let slots = u64::from(self.limits.slots.max(1));
        let tasks = u32::try_from(seen.runnable.div_ceil(slots)).unwrap_or(u32::MAX);
        tasks.max(self.limits.min).min(self.limits.max)
    }

    /// Decides at `now`, counted from any fixed moment.
    pub fn decide(&mut self, now: Duration, seen: &Observation) -> Decision {
        if seen.remaining == 0 && !self.limits.stay && self.limits.min == 0 {
            return Decision::End(End::Done);
        }
        if self.is_spent(seen) {
            return Decision::End(End::BudgetSpent);
        }
        let alive = seen.alive();
        let needed = self.needed(seen);
        let affordable = self.affordable(seen);
        // Those that wait may all come up in the next moment.
        let unaffordable = alive.saturating_sub(affordable).min(seen.queued);
        if unaffordable > 0 {
            return Decision::Shrink(unaffordable);
        }
        if alive <= needed {
            self.surplus_since = None;
            return match needed.min(affordable).saturating_sub(alive) {
                0 => Decision::Keep,
                missing => Decision::Grow(missing),
            };
        }
        if alive > self.limits.max {
            return Decision::Shrink(alive - self.limits.max);
        }
        let since = *self.surplus_since.get_or_insert(now);
        if now.saturating_sub(since) < self.limits.idle {
            return Decision::Keep;
        }
        match (alive - needed).min(seen.queued.saturating_add(seen.idle)) {
            0 => Decision::Keep,
            surplus => Decision::Shrink(surplus),
        }
    }

    /// Whether the workers that are up would overdraw the budget if they did not
    /// leave now.
    fn is_spent(&self, seen: &Observation) -> bool {
        seen.left
            .is_some_and(|left| left <= self.limits.margin.saturating_mul(seen.up.max(1)))
    }

    /// The most workers that there can be without [`Self::is_spent`] being true
    /// as soon as they are up.
    fn affordable(&self, seen: &Observation) -> u32 {
        let Some(left) = seen.left else {
            return u32::MAX;
        };
        let margin = self.limits.margin.as_nanos().max(1);
        let workers = left.as_nanos().saturating_sub(1) / margin;
        u32::try_from(workers).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        slots: 2,
        min: 0,
        max: 8,
        idle: Duration::from_mins(1),
        margin: Duration::from_secs(15),
        stay: false,
    };

    fn seen(runnable: u64, queued: u32, up: u32) -> Observation {
        Observation {
            runnable,
            remaining: runnable,
            queued,
            up,
            idle: if runnable == 0 { up } else { 0 },
            left: None,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_grows_at_once_to_what_the_tasks_fill() {
        let mut policy = Policy::new(LIMITS);
        assert_eq!(policy.decide(at(0), &seen(5, 0, 0)), Decision::Grow(3));
        assert_eq!(policy.decide(at(0), &seen(5, 1, 2)), Decision::Keep);
        assert_eq!(policy.decide(at(0), &seen(500, 1, 2)), Decision::Grow(5));
    }

    #[test]
    fn only_what_waits_for_a_machine_is_given_back_while_tasks_run() {
        let mut policy = Policy::new(LIMITS);
        assert_eq!(policy.decide(at(0), &seen(1, 2, 3)), Decision::Keep);
        assert_eq!(policy.decide(at(59), &seen(1, 2, 3)), Decision::Keep);
        assert_eq!(policy.decide(at(60), &seen(1, 2, 3)), Decision::Shrink(2));
        assert_eq!(policy.decide(at(99), &seen(1, 0, 3)), Decision::Keep);
    }

    #[test]
    fn it_scales_to_zero_when_all_is_done_and_waits_where_it_is_to_stay() {
        let done = seen(0, 0, 3);
        let mut policy = Policy::new(LIMITS);
        assert_eq!(policy.decide(at(0), &done), Decision::End(End::Done));
        let mut policy = Policy::new(Limits {
            stay: true,
            min: 1,
            ..LIMITS
        });
        assert_eq!(policy.decide(at(0), &done), Decision::Keep);
        assert_eq!(policy.decide(at(60), &done), Decision::Shrink(2));
        assert_eq!(policy.decide(at(65), &seen(0, 0, 1)), Decision::Keep);
    }

    #[test]
    fn nobody_is_waited_for_whom_the_budget_cannot_pay() {
        let left = |seconds, queued, up| Observation {
            left: Some(Duration::from_secs(seconds)),
            ..seen(99, queued, up)
        };
        let mut policy = Policy::new(LIMITS);
        assert_eq!(policy.decide(at(0), &left(61, 0, 2)), Decision::Grow(2));
        assert_eq!(policy.decide(at(0), &left(46, 2, 2)), Decision::Shrink(1));
        assert_eq!(policy.decide(at(0), &left(31, 0, 2)), Decision::Keep);
        let spent = Decision::End(End::BudgetSpent);
        assert_eq!(policy.decide(at(0), &left(30, 0, 2)), spent);
        assert_eq!(policy.decide(at(0), &left(15, 0, 0)), spent);
    }

    #[test]
    fn a_lower_maximum_is_kept_at_once() {
        let mut policy = Policy::new(LIMITS);
        assert_eq!(policy.decide(at(0), &seen(99, 0, 11)), Decision::Shrink(3));
    }

    /// A machine park of its own: what is asked for comes up after a while, and
    /// every worker that is up does one task a tick a slot.
    #[derive(Debug)]
    struct Park {
        policy: Policy,
        now: Duration,
        queued: u32,
        up: u32,
        tasks: u64,
        spent: Duration,
        budget: Option<Duration>,
    }

    const TICK: Duration = Duration::from_secs(5);

    impl Park {
        fn observation(&self) -> Observation {
            Observation {
                runnable: self.tasks,
                remaining: self.tasks,
                queued: self.queued,
                up: self.up,
                idle: if self.tasks == 0 { self.up } else { 0 },
                left: self.budget.map(|budget| budget.saturating_sub(self.spent)),
            }
        }

        /// Decides, checks the decision, and lets a tick pass.
        fn step(
            &mut self,
            start: u32,
            lose: bool,
            finish: bool,
        ) -> Result<Option<End>, TestCaseError> {
            let seen = self.observation();
            let needed = self.policy.needed(&seen);
            let limits = self.policy.limits;
            match self.policy.decide(self.now, &seen) {
                Decision::Keep => {}
                Decision::Grow(more) => {
                    prop_assert!(more > 0 && seen.alive() + more <= needed);
                    self.queued += more;
                }
                Decision::Shrink(fewer) => {
                    let saves = self.budget.is_some() && fewer <= seen.queued;
                    prop_assert!(saves || seen.alive() - fewer >= needed, "work remains");
                    prop_assert!(
                        fewer <= seen.queued + seen.idle,
                        "a busy one was taken down"
                    );
                    let waiting = fewer.min(self.queued);
                    self.queued -= waiting;
                    self.up -= fewer - waiting;
                }
                Decision::End(end) => {
                    // Leaving takes what the margin allows beyond a tick.
                    self.spent += limits.margin.saturating_sub(TICK) * self.up;
                    self.up = 0;
                    self.queued = 0;
                    return Ok(Some(end));
                }
            }
            prop_assert!(self.queued + self.up <= limits.max);
            self.spent += TICK * self.up;
            self.now += TICK;
            if finish {
                let done = u64::from(self.up * limits.slots);
                self.tasks = self.tasks.saturating_sub(done);
            }
            let started = start.min(self.queued);
            self.queued -= started;
            self.up += started;
            if lose {
                self.up = self.up.saturating_sub(1);
            }
            Ok(None)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever machines do, busy workers stay, bounds and budget hold, and a
        /// fleet whose machines come ends with its work or its budget.
        #[test]
        fn a_fleet_keeps_its_bounds_and_ends(
            slots in 1..4_u32,
            max in 1..10_u32,
            tasks in 0..200_u64,
            budget in prop::option::of(0..600_u64),
            weather in prop::collection::vec(
                (prop_oneof![4 => Just(0_u32), 1 => 1..9_u32], any::<bool>(), any::<bool>()),
                0..80,
            ),
        ) {
            let limits = Limits { slots, max, ..LIMITS };
            let mut park = Park {
                policy: Policy::new(limits),
                now: Duration::ZERO,
                queued: 0,
                up: 0,
                tasks,
                spent: Duration::ZERO,
                budget: budget.map(Duration::from_secs),
            };
            let calm = std::iter::repeat_n((u32::MAX, false, true), 250);
            let mut end = None;
            for (start, lose, finish) in weather.into_iter().chain(calm) {
                end = park.step(start, lose, finish)?;
                if end.is_some() {
                    break;
                }
            }
            if let Some(budget) = park.budget {
                prop_assert!(park.spent <= budget, "{:?} of {budget:?}", park.spent);
            }
            match end {
                Some(End::Done) => prop_assert_eq!(park.tasks, 0),
                Some(End::BudgetSpent) => prop_assert!(budget.is_some()),
                None => prop_assert!(false, "it never ended: {park:?}"),
            }
            prop_assert_eq!(park.up + park.queued, 0);
        }

        /// Nothing that stays as it is makes a fleet go up and down.
        #[test]
        fn a_steady_load_is_met_once(
            runnable in 0..40_u64,
            queued in 0..12_u32,
            up in 0..12_u32,
            min in 0..3_u32,
        ) {
            let mut policy = Policy::new(Limits { min, stay: true, ..LIMITS });
            let (mut queued, mut up) = (queued, up);
            let mut turns = Vec::new();
            for tick in 0..60 {
                match policy.decide(at(tick * 5), &seen(runnable, queued, up)) {
                    Decision::Keep => {}
                    Decision::Grow(more) => {
                        queued += more;
                        turns.push(true);
                    }
                    Decision::Shrink(fewer) => {
                        let waiting = fewer.min(queued);
                        queued -= waiting;
                        up -= fewer - waiting;
                        turns.push(false);
                    }
                    Decision::End(end) => prop_assert!(false, "{end:?}"),
                }
            }
            // At most: back to the maximum at once, then the surplus once.
            prop_assert!(turns.len() <= 2 && turns.windows(2).all(|pair| pair[0] == pair[1]), "{turns:?}");
        }
    }
}
