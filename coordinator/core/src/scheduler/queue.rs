//! The ready tasks of one study, apart by what a worker must have for them: whoever
//! lacks it does not look at them one by one.

use std::collections::{BTreeMap, BTreeSet};

use reprise_domain::Requirement;

use super::positions::Positions;
use crate::lifecycle::TaskIx;

/// Ready tasks by their position in the plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ReadyQueue {
    /// All of them; no list is empty.
    order: BTreeMap<Requirement, Positions>,
    /// Those that read an input, by what they require and by input.
    readers: BTreeMap<(Requirement, TaskIx), BTreeSet<u32>>,
}

impl ReadyQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What is required for the tasks in it.
    pub(crate) fn requirements(&self) -> impl Iterator<Item = Requirement> {
        self.order.keys().copied()
    }

    /// Adds a task with what it requires and the input that it reads.
    pub(crate) fn insert(
        &mut self,
        position: u32,
        requirement: Requirement,
        input: Option<TaskIx>,
    ) {
        self.order.entry(requirement).or_default().insert(position);
        if let Some(input) = input {
            let readers = self.readers.entry((requirement, input));
            readers.or_default().insert(position);
        }
    }

    /// Takes out a task that requires and reads this.
    pub(crate) fn remove(
        &mut self,
        position: u32,
        requirement: Requirement,
        input: Option<TaskIx>,
    ) {
        if let Some(order) = self.order.get_mut(&requirement) {
            order.remove(position);
            if order.is_empty() {
                self.order.remove(&requirement);
            }
        }
        let Some(input) = input else {
            return;
        };
        let input = (requirement, input);
        if let Some(readers) = self.readers.get_mut(&input) {
            readers.remove(&position);
            if readers.is_empty() {
                self.readers.remove(&input);
            }
        }
    }

    /// The position that a worker which has `inputs` at hand does best next;
    /// `has` says whether it has what is required, `input_of` what the task at a
    /// position reads, `suits` whether the worker may have it.
    ///
    /// Plan order, except that one reader may go before another reader whose
    /// input is not at hand. Tasks without inputs keep their place: pretraining,
    /// which comes first in a plan, unblocks everybody.
    pub(crate) fn pick(
        &self,
        inputs: impl IntoIterator<Item = TaskIx>,
        has: impl Fn(Requirement) -> bool,
        input_of: impl Fn(u32) -> Option<TaskIx>,
        suits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let orders = || self.order.iter().filter(|(required, _)| has(**required));
        let heads = orders().filter_map(|(_, order)| first_that(order, &suits));
        let head = heads.min()?;
        if input_of(head).is_none() {
            return Some(head);
        }
        let at_hand = inputs.into_iter().find_map(|input| {
            let readers =
                orders().filter_map(|(required, _)| self.readers.get(&(*required, input)));
            let mut readers = readers.flatten();
            readers.find(|position| suits(**position))
        });
        at_hand.copied().or(Some(head))
    }
}

fn first_that(order: &Positions, suits: impl Fn(u32) -> bool) -> Option<u32> {
    let mut next = order.first();
    while let Some(position) = next {
        if suits(position) {
            return Some(position);
        }
        next = order.first_from(position + 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use reprise_domain::program::Needs;

    use super::*;

    const A: TaskIx = TaskIx(100);
    const B: TaskIx = TaskIx(101);

    fn check(ready: &[(u32, Option<TaskIx>)], at_hand: &[TaskIx], expected: Option<u32>) {
        let mut queue = ReadyQueue::default();
        for &(position, input) in ready {
            queue.insert(position, Requirement::None, input);
        }
        assert_eq!(
            queue.pick(
                at_hand.iter().copied(),
                |_| true,
                |position| {
                    let task = ready.iter().find(|(ready, _)| *ready == position);
                    task.and_then(|(_, input)| *input)
                },
                |_| true
            ),
            expected,
            "{ready:?} {at_hand:?}"
        );
        for &(position, input) in ready {
            queue.remove(position, Requirement::None, input);
        }
        assert_eq!(queue, ReadyQueue::default());
    }

    #[test]
    fn plan_order_first_then_inputs_at_hand() {
        check(&[], &[A], None);
        check(&[(5, None), (3, None)], &[], Some(3));
        check(&[(3, Some(A)), (4, Some(B)), (5, Some(B))], &[], Some(3));
        check(&[(3, Some(A)), (4, Some(B)), (5, Some(B))], &[B], Some(4));
        check(&[(3, Some(A)), (4, Some(B))], &[B, A], Some(4));
        check(&[(3, Some(A))], &[B], Some(3));
        check(&[(2, None), (4, Some(B))], &[B], Some(2));
    }

    #[test]
    fn what_a_worker_may_not_have_is_passed_over() {
        let mut queue = ReadyQueue::default();
        for position in [1, 200] {
            queue.insert(position, Requirement::None, None);
        }
        let pick = |allowed: &[u32]| {
            let suits = |place| allowed.contains(&place);
            queue.pick([], |_| true, |_| None, suits)
        };
        assert_eq!(pick(&[1, 200]), Some(1));
        assert_eq!(pick(&[200]), Some(200));
        assert_eq!(pick(&[]), None);
    }

    #[test]
    fn what_a_worker_lacks_something_for_is_passed_over() {
        let program = Requirement::Program(Needs::default());
        let mut queue = ReadyQueue::default();
        queue.insert(1, program, None);
        queue.insert(2, Requirement::None, None);
        let pick = |has: &[Requirement]| queue.pick([], |r| has.contains(&r), |_| None, |_| true);
        assert_eq!(pick(&[program, Requirement::None]), Some(1));
        assert_eq!(pick(&[Requirement::None]), Some(2));
        assert_eq!(pick(&[]), None);
        queue.remove(1, program, None);
        assert!(queue.requirements().eq([Requirement::None]));
    }
}
