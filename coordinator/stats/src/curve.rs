//! Performance as a function of what it cost: the reported test accuracy of the
//! incumbent against charged queries and against simulated seconds, over the runs
//! of a set.
//!
//! A run has no value before its first query; such a run is missing from a point,
//! never zero. A point is given only where at least half of the finished runs have
//! a value, and says how many do.

use reprise_domain::Dataset;

use crate::sample::{Run, RunSet, datasets};
use crate::summary::Summary;

/// Most points of a curve: about twice what a printed panel can show.
const MOST_POINTS: usize = 500;

/// Intervals of the common grid of simulated seconds.
const TIME_STEPS: usize = 200;

/// What a curve is drawn against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Charged queries, from 1.
    Queries,
    /// Simulated seconds charged by the benchmark.
    SimulatedSeconds,
}

impl Axis {
    /// Both, in the order of the panels.
    pub const ALL: [Self; 2] = [Self::Queries, Self::SimulatedSeconds];

    /// The name as written in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::SimulatedSeconds => "simulated seconds",
        }
    }
}

/// The runs of a set at one position of the axis. Accuracies in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Queries or simulated seconds.
    pub x: f64,
    /// Mean test accuracy of the incumbents.
    pub mean: f64,
    /// Their median.
    pub median: f64,
    /// Their first quartile.
    pub q1: f64,
    /// Their third quartile.
    pub q3: f64,
    /// Runs that have an incumbent here.
    pub runs: usize,
}

/// The curve of one method.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Row label.
    pub label: String,
    /// Finished runs of the set, whether they reach a point or not.
    pub finished: usize,
    /// Points by ascending `x`.
    pub points: Vec<CurvePoint>,
}

/// The curves of all methods on one data set against one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Data set.
    pub dataset: Dataset,
    /// Horizontal axis.
    pub axis: Axis,
    /// One curve a method, in the order of the sets; empty ones included.
    pub curves: Vec<Curve>,
}

/// Both panels of every data set.
pub fn panels(sets: &[RunSet]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for dataset in datasets(sets) {
        let sets: Vec<_> = sets.iter().filter(|set| set.dataset() == dataset).collect();
        for axis in Axis::ALL {
            let grid = grid(&sets, axis);
            let curves = sets
                .iter()
                .map(|set| Curve {
                    label: set.label().to_owned(),
                    finished: set.finished(),
                    points: points(set, axis, &grid),
                })
                .collect();
            panels.push(Panel {
                dataset,
                axis,
                curves,
            });
        }
    }
    panels
}

/// Where a run ends on `axis`.
fn end(run: Run<'_>, axis: Axis) -> f64 {
    match axis {
        Axis::Queries => run.end.queries as f64,
        Axis::SimulatedSeconds => run.end.simulated.get(),
    }
}

/// The incumbent's test accuracy at `x`, in percent.
///
/// Against queries a run that has ended is missing. Against time it goes on
/// recommending its last incumbent, so that the mean stays over the same runs
/// although each ends with another query's cost.
fn at(run: Run<'_>, axis: Axis, x: f64) -> Option<f64> {
    let steps = run.steps;
    let made = match axis {
        Axis::Queries if x > end(run, axis) => return None,
        Axis::Queries => steps.partition_point(|step| f64::from(step.query) <= x),
        Axis::SimulatedSeconds => steps.partition_point(|step| step.seconds <= x),
    };
    Some(steps[made.checked_sub(1)?].test)
}

/// Half of the runs, rounded up, and at least one.
fn half(runs: usize) -> usize {
    runs.div_ceil(2).max(1)
}

/// The position that half of the runs reach; zero when there are none.
fn reach(set: &RunSet, axis: Axis) -> f64 {
    let mut ends: Vec<f64> = set.runs().map(|run| end(run, axis)).collect();
    ends.sort_unstable_by(|a, b| b.total_cmp(a));
    ends.get(half(ends.len()) - 1).copied().unwrap_or(0.0)
}

/// Positions common to all methods of a panel, up to the farthest reach of one.
fn grid(sets: &[&RunSet], axis: Axis) -> Vec<f64> {
    let end = sets.iter().map(|set| reach(set, axis)).fold(0.0, f64::max);
    match axis {
        Axis::Queries => {
            let last = end as usize;
            let count = last.min(MOST_POINTS);
            // Whole queries, evenly thinned when there are very many; the first
            // and the last always belong.
            let mut grid: Vec<f64> = (0..count)
                .map(|step| (1 + step * (last - 1) / (count - 1).max(1)) as f64)
                .collect();
            grid.dedup();
            grid
        }
        Axis::SimulatedSeconds => (1..=TIME_STEPS)
            .map(|step| end * step as f64 / TIME_STEPS as f64)
            .collect(),
    }
}

/// The points that half of the runs have reached and have an incumbent at.
fn points(set: &RunSet, axis: Axis, grid: &[f64]) -> Vec<CurvePoint> {
    let end = reach(set, axis);
    grid.iter()
        .filter(|&&x| x <= end)
        .filter_map(|&x| {
            let values: Vec<f64> = set.runs().filter_map(|run| at(run, axis, x)).collect();
            let summary = Summary::of(&values)?;
            (summary.n >= half(set.finished())).then_some(CurvePoint {
                x,
                mean: summary.mean,
                median: summary.median,
                q1: summary.q1,
                q3: summary.q3,
                runs: summary.n,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, run, run_set};

    /// Three runs; the third ends early and has a worse second query.
    fn set() -> RunSet {
        run_set(
            "random",
            vec![
                run(
                    1,
                    &[(80.0, 81.0, 10.0), (90.0, 91.0, 10.0), (85.0, 95.0, 10.0)],
                ),
                run(
                    2,
                    &[(70.0, 71.0, 40.0), (92.0, 93.0, 10.0), (93.0, 92.0, 10.0)],
                ),
                run(3, &[(88.0, 89.0, 20.0), (60.0, 99.0, 5.0)]),
            ],
        )
    }

    fn curve(axis: Axis) -> Vec<CurvePoint> {
        let mut panels = panels(&[set()]);
        panels.retain(|panel| panel.axis == axis);
        panels.swap_remove(0).curves.swap_remove(0).points
    }

    #[test]
    fn against_queries_the_incumbent_is_chosen_by_validation() {
        let points = curve(Axis::Queries);
        let found: Vec<_> = points.iter().map(|p| (p.x, p.runs)).collect();
        assert_eq!(found, [(1.0, 3), (2.0, 3), (3.0, 2)]);
        assert_close(points[0].mean, (81.0 + 71.0 + 89.0) / 3.0);
        // Run 3 keeps 89: its second query is better on test only.
        assert_close(points[1].mean, (91.0 + 93.0 + 89.0) / 3.0);
        assert_close(points[1].median, 91.0);
        assert_close(points[2].mean, f64::midpoint(91.0, 92.0));
    }

    #[test]
    fn against_time_a_run_without_an_incumbent_is_missing() {
        let points = curve(Axis::SimulatedSeconds);
        // Two of three runs reach 30 s; the grid ends there.
        assert_close(points.last().unwrap().x, 30.0);
        // Before 20 s only run 1 has an incumbent, fewer than half.
        assert!(points[0].x >= 20.0);
        assert_eq!(points[0].runs, 2);
        assert_close(points[0].mean, f64::midpoint(91.0, 89.0));
        // Run 3 ended at 25 s and keeps its incumbent.
        assert_eq!(points.last().unwrap().runs, 2);
    }

    #[test]
    fn panels_of_nothing_are_empty() {
        assert_eq!(panels(&[]), []);
        let empty = run_set("random", vec![run(1, &[])]);
        for panel in panels(&[empty, run_set("none", vec![])]) {
            assert!(panel.curves.iter().all(|curve| curve.points.is_empty()));
        }
    }

    #[test]
    fn very_long_runs_are_thinned_to_their_ends() {
        let queries: Vec<_> = (0..2_000)
            .map(|i| (f64::from(i) / 25.0, 50.0, 1.0))
            .collect();
        let panels = panels(&[run_set("random", vec![run(1, &queries)])]);
        let points = &panels[0].curves[0].points;
        assert_eq!(points.len(), MOST_POINTS);
        assert_close(points[0].x, 1.0);
        assert_close(points[MOST_POINTS - 1].x, 2_000.0);
    }
}
