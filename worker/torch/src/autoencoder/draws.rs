//! Random numbers for the steps of a pack. All cores draw them while the device works
//! on earlier steps.
//!
//! Not here: which numbers are drawn; the members' courses fix them.

use std::num::NonZero;
use std::ops::Range;
use std::thread;

use reprise_model::course::Course;
use tch::Device;

use super::packed::Draws;

/// Steps that are drawn in one go.
const AT_ONCE: u64 = 8;

/// Cores that are kept free for the thread that launches the device's work and for the
/// thread that hands out the pieces.
const CORES_LEFT: usize = 2;

/// The draws of some steps of one epoch.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    /// The members' courses, alike but for their seeds.
    courses: &'a [&'a Course],
    epoch: u32,
    steps: Range<u64>,
}

/// Buffers for the drawn numbers, `[steps, members, rows, latent]` each. They are
/// reused, because allocating them again takes longer than drawing.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    noise: Vec<f32>,
    dropout: Vec<f32>,
}

/// The numbers of one member at one step.
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
    /// its draws on `device` if it is a training step.
    pub(crate) fn for_each(
        &self,
        device: Device,
        buffers: &mut Buffers,
        mut act: impl FnMut(Range<usize>, Option<Draws>),
    ) {
        let course = self.courses[0];
        if !course.is_training(self.epoch) {
            for step in self.steps.clone() {
                act(course.batch(step), None);
            }
            return;
        }
        let mut steps = self.following(self.steps.start);
        let mut ready = self.draw(steps.clone(), buffers);
        while let Some(draws) = ready {
            let following = self.following(steps.end);
            ready = thread::scope(|scope| {
                let ahead = scope.spawn(|| self.draw(following.clone(), buffers));
                let draws = draws.to_device(device);
                for (position, step) in steps.clone().enumerate() {
                    act(course.batch(step), Some(draws.of_step(position)));
                }
                ahead.join().expect("drawing numbers does not panic")
            });
            steps = following;
        }
    }

    /// The steps from `start` on that are drawn in one go, because their batches have
    /// the same size.
    fn following(&self, start: u64) -> Range<u64> {
        let end = self.steps.end.min(start + AT_ONCE);
        let size = |step| self.courses[0].batch(step).len();
        let alike = (start..end).take_while(|&step| size(step) == size(start));
        start..start + alike.count() as u64
    }

    /// The draws of steps whose batches have the same size, on the host.
    fn draw(&self, steps: Range<u64>, buffers: &mut Buffers) -> Option<Draws> {
        if steps.is_empty() {
            return None;
        }
        let course = self.courses[0];
        let latent = course.spec.sizes.latent as usize;
        let rows = course.batch(steps.start).len() * course.graphs.dims().nodes;
        let (width, members) = (rows * latent, self.courses.len());
        let Buffers { noise, dropout } = buffers;
        let length = (steps.end - steps.start) as usize * members * width;
        for buffer in [&mut *noise, &mut *dropout] {
            buffer.resize(length, 0.0);
        }
        let places = steps.flat_map(|step| self.courses.iter().map(move |course| (step, *course)));
        let parts = noise
            .chunks_exact_mut(width)
            .zip(dropout.chunks_exact_mut(width));
        let shares = places
            .zip(parts)
            .map(|((step, course), (noise, dropout))| Share {
                course,
                step,
                noise,
                dropout,
            });
        let mut work: Vec<_> = shares.collect();
        on_cores(&mut work, CORES_LEFT, |share| {
            let Share {
                course,
                step,
                noise,
                dropout,
            } = share;
            course.draw(self.epoch, *step, noise, dropout);
        });
        Some(Draws::new(noise, dropout, [members, rows, latent]))
    }
}

/// Does each piece of `work` on the processor's cores, except for `left` of them.
pub(crate) fn on_cores<T: Send>(work: &mut [T], left: usize, act: impl Fn(&mut T) + Sync) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let cores = cores.saturating_sub(left).max(1);
    let share = work.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        for part in work.chunks_mut(share) {
            scope.spawn(|| part.iter_mut().for_each(&act));
        }
    });
}
