//! Random numbers for the steps of a pack, drawn by all cores while the device works
//! on the steps before.
//!
//! Not here: which numbers these are, which the members' courses fix.

use std::num::NonZero;
use std::ops::Range;
use std::thread;

use super::course::Course;
use super::packed::Draws;

/// Steps that are drawn in one go.
const AT_ONCE: u64 = 8;

/// The draws of some steps of one epoch.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    /// The members' courses, alike but for their seeds.
    courses: &'a [&'a Course],
    epoch: u32,
    steps: Range<u64>,
}

/// What one member gets at one step.
struct Share<'a> {
    course: &'a Course,
    step: u64,
    noise: &'a mut [f32],
    dropout: &'a mut [f32],
}

impl<'a> Drawing<'a> {
    pub(crate) fn new(courses: &'a [&'a Course], epoch: u32, steps: Range<u64>) -> Self {
        Self {
            courses,
            epoch,
            steps,
        }
    }

    /// Calls `act` for each step with its place in the order of the data, and with
    /// its draws if it is a training step.
    pub(crate) fn for_each(&self, mut act: impl FnMut(Range<usize>, Option<Draws>)) {
        let course = self.courses[0];
        if !course.is_training(self.epoch) {
            for step in self.steps.clone() {
                act(course.batch(step), None);
            }
            return;
        }
        let next = |start: u64| start..self.steps.end.min(start + AT_ONCE);
        let mut steps = next(self.steps.start);
        let mut ready = self.draw(steps.clone());
        while !steps.is_empty() {
            let following = next(steps.end);
            ready = thread::scope(|scope| {
                let ahead = scope.spawn(|| self.draw(following.clone()));
                for (step, draws) in steps.clone().zip(ready.drain(..)) {
                    act(course.batch(step), Some(draws));
                }
                ahead.join().expect("drawing numbers does not panic")
            });
            steps = following;
        }
    }

    fn draw(&self, steps: Range<u64>) -> Vec<Draws> {
        let course = self.courses[0];
        let latent = course.spec.sizes.latent as usize;
        let width = |step| course.batch(step).len() * course.graphs.dims().nodes * latent;
        let members = self.courses.len();
        let mut drawn: Vec<_> = steps
            .clone()
            .map(|step| {
                let zeros = vec![0.0; members * width(step)];
                (zeros.clone(), zeros)
            })
            .collect();
        let mut work = Vec::new();
        for (step, (noise, dropout)) in steps.zip(&mut drawn) {
            let noise = noise.chunks_exact_mut(width(step));
            let parts = noise.zip(dropout.chunks_exact_mut(width(step)));
            for (&course, (noise, dropout)) in self.courses.iter().zip(parts) {
                work.push(Share {
                    course,
                    step,
                    noise,
                    dropout,
                });
            }
        }
        on_all_cores(&mut work, |share| {
            let Share {
                course,
                step,
                noise,
                dropout,
            } = share;
            course.draw(self.epoch, *step, noise, dropout);
        });
        drawn
            .into_iter()
            .map(|(noise, dropout)| Draws::new(&noise, &dropout, members, latent))
            .collect()
    }
}

/// Does each piece of `work`, spread over the processor's cores.
pub(crate) fn on_all_cores<T: Send>(work: &mut [T], act: impl Fn(&mut T) + Sync) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = work.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        for part in work.chunks_mut(share) {
            scope.spawn(|| part.iter_mut().for_each(&act));
        }
    });
}
