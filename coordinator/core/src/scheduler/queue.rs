//! The ready tasks of one study.

use std::collections::{BTreeMap, BTreeSet};

use super::positions::Positions;
use crate::lifecycle::TaskIx;

/// Ready tasks by their position in the plan.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ReadyQueue {
    /// All of them.
    order: Positions,
    /// Those that read an input, by input.
    readers: BTreeMap<TaskIx, BTreeSet<u32>>,
}

impl ReadyQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a task with the input that it reads.
    pub(crate) fn insert(&mut self, position: u32, input: Option<TaskIx>) {
        self.order.insert(position);
        if let Some(input) = input {
            self.readers.entry(input).or_default().insert(position);
        }
    }

    /// Takes out a task that reads `input`.
    pub(crate) fn remove(&mut self, position: u32, input: Option<TaskIx>) {
        self.order.remove(position);
        let Some(input) = input else {
            return;
        };
        if let Some(readers) = self.readers.get_mut(&input) {
            readers.remove(&position);
            if readers.is_empty() {
                self.readers.remove(&input);
            }
        }
    }

    /// The position that a worker which has `inputs` at hand does best next;
    /// `input_of` says what the task at a position reads, `suits` whether the worker
    /// may have it.
    ///
    /// Plan order, except that one reader may go before another reader whose
    /// input is not at hand. Tasks without inputs keep their place: pretraining,
    /// which comes first in a plan, unblocks everybody.
    pub(crate) fn pick(
        &self,
        inputs: impl IntoIterator<Item = TaskIx>,
        input_of: impl Fn(u32) -> Option<TaskIx>,
        suits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let head = self.first_that(&suits)?;
        if input_of(head).is_none() {
            return Some(head);
        }
        let at_hand = inputs
            .into_iter()
            .filter_map(|input| self.readers.get(&input))
            .find_map(|readers| readers.iter().find(|position| suits(**position)));
        at_hand.copied().or(Some(head))
    }

    fn first_that(&self, suits: impl Fn(u32) -> bool) -> Option<u32> {
        let mut next = self.order.first();
        while let Some(position) = next {
            if suits(position) {
                return Some(position);
            }
            next = self.order.first_from(position + 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TaskIx = TaskIx(100);
    const B: TaskIx = TaskIx(101);

    fn check(ready: &[(u32, Option<TaskIx>)], at_hand: &[TaskIx], expected: Option<u32>) {
        let mut queue = ReadyQueue::default();
        for &(position, input) in ready {
            queue.insert(position, input);
        }
        assert_eq!(
            queue.pick(
                at_hand.iter().copied(),
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
            queue.remove(position, input);
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
            queue.insert(position, None);
        }
        let pick = |allowed: &[u32]| queue.pick([], |_| None, |place| allowed.contains(&place));
        assert_eq!(pick(&[1, 200]), Some(1));
        assert_eq!(pick(&[200]), Some(200));
        assert_eq!(pick(&[]), None);
    }
}
