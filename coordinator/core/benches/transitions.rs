//! How fast the core is and how much memory a task takes: 100,000 tasks from
//! submission to the last result, without journal, network and work.
//!
//! `cargo bench -p reprise-core --bench transitions [-- search]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its numbers")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures time and memory; the core itself must not"
)]

use std::collections::VecDeque;
use std::time::Instant;

use reprise_core::Timestamp;
use reprise_core::lifecycle::{Action, AttemptEnd, Core, Event, Input, Settings, Step};
use reprise_core::plan::{plan, study_digest};
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::study::{
    DatasetBudget, MethodPlan, NoopPlan, OnFailure, Pairing, PretrainPlan, RetryPolicy, SearchPlan,
    Seeds, StudySpec,
};
use reprise_domain::task::ModelSizes;
use reprise_domain::{
    AttemptId, BenchmarkRef, Budget, Capability, Dataset, Device, Digest, Limits, MethodSpec,
    ModelName, Seconds, SpaceName, WorkerId,
};

const TASKS: u32 = 100_000;

fn main() {
    // One study a process: what the first one has freed would hide what the second
    // one takes.
    match std::env::args().find(|argument| argument == "search") {
        None => measure("noop", &noops()),
        Some(name) => measure(&name, &searches()),
    }
}

fn measure(name: &str, spec: &StudySpec) {
    let before = resident_bytes();
    let clock = Instant::now();
    let planned = plan(spec, &|_| Vec::new()).expect("the study is well formed");
    let tasks = planned.len();
    println!(
        "{name}: {tasks} tasks planned in {:.3} s",
        clock.elapsed().as_secs_f64()
    );
    let mut core = Core::new(Settings::default());
    let mut journal = Vec::new();
    let submit = Input::Submit {
        spec: spec.clone(),
        digest: study_digest(spec),
        plan: planned,
        amend: false,
        by: reprise_core::lifecycle::Actor::Admin,
    };
    let clock = Instant::now();
    record(&mut journal, accept(&mut core, submit));
    println!("  submitted in {:.3} s", clock.elapsed().as_secs_f64());
    let text = serde_json::to_string(&journal).expect("events serialise");
    println!(
        "  journal of the submission: {} bytes a task",
        text.len() / tasks
    );
    drop(text);
    // The plan in the journal is dropped, as a shell drops what it has written.
    journal.clear();
    println!(
        "  at most {} bytes of memory a queued task",
        resident_bytes().saturating_sub(before) / tasks as u64
    );

    for number in 0..8 {
        let hello = Input::Hello {
            again: false,
            worker: WorkerId(uuid::Uuid::from_u128(number)),
            capability: offer(),
            holding: Vec::new(),
        };
        record(&mut journal, accept(&mut core, hello));
    }
    let clock = Instant::now();
    let mut finished = 0u32;
    let step = core.schedule(Timestamp(1));
    let mut started = starts(&step);
    record(&mut journal, step);
    // The least favourable way: a round of leasing after every single report.
    while let Some((worker, attempt)) = started.pop_front() {
        let end = AttemptEnd::Finished {
            result: attempt.task.0,
            seconds: Seconds::new(0.002).expect("a duration"),
        };
        record(
            &mut journal,
            accept(
                &mut core,
                Input::Report {
                    worker,
                    attempt,
                    end,
                },
            ),
        );
        let step = core.schedule(Timestamp(1));
        started.extend(starts(&step));
        record(&mut journal, step);
        finished += 1;
    }
    let seconds = clock.elapsed().as_secs_f64();
    println!(
        "  {finished} leases and results in {seconds:.3} s: {:.0} transitions/s",
        f64::from(2 * finished) / seconds
    );

    let clock = Instant::now();
    let mut rebuilt = Core::new(Settings::default());
    rebuilt
        .replay(&resubmission(spec), Timestamp(0))
        .and_then(|()| {
            journal
                .iter()
                .try_for_each(|event| rebuilt.replay(event, Timestamp(1)))
        })
        .expect("the journal fits");
    println!(
        "  planned again and replayed in {:.3} s",
        clock.elapsed().as_secs_f64()
    );
}

fn accept(core: &mut Core, input: Input) -> Step {
    core.handle(input, Timestamp(0)).expect("nothing to refuse")
}

fn record(journal: &mut Vec<Event>, step: Step) {
    journal.extend(step.events);
}

fn starts(step: &Step) -> VecDeque<(WorkerId, AttemptId)> {
    let mut started = VecDeque::new();
    for action in &step.actions {
        if let Action::Start { worker, attempts } = action {
            started.extend(attempts.iter().map(|attempt| (*worker, *attempt)));
        }
    }
    started
}

fn resubmission(spec: &StudySpec) -> Event {
    Event::StudySubmitted {
        owner: None,
        spec: spec.clone(),
        digest: study_digest(spec),
        plan: plan(spec, &|_| Vec::new()).expect("the study is well formed"),
    }
}

/// Memory of this process, zero where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4096)
}

fn offer() -> Capability {
    Capability {
        slots: 2,
        host: "host".to_owned(),
        device: Device::Cpu {
            model: "cpu".to_owned(),
        },
        version: "1".to_owned(),
        libtorch: "2".to_owned(),
        ..Capability::default()
    }
}

fn study() -> StudySpec {
    StudySpec {
        name: "bench".parse().expect("a name"),
        space: Some(SpaceName::Nasbench201),
        protocol: Protocol::Reference,
        quirks: Quirks::of(Protocol::Reference),
        pretrain: Vec::new(),
        search: None,
        evaluate: None,
        noop: None,
        experiments: Vec::new(),
        retry: RetryPolicy::default(),
        on_failure: OnFailure::Continue,
        audit: None,
    }
}

fn noops() -> StudySpec {
    let noop = Some(NoopPlan {
        tasks: TASKS,
        hold_ms: 0,
        failures: 0,
        limits: Limits::NONE,
    });
    StudySpec { noop, ..study() }
}

fn searches() -> StudySpec {
    let pretrain = PretrainPlan {
        name: None,
        level: Vec::new(),
        model: ModelName::Arch2vec,
        sizes: ModelSizes::default(),
        epochs: 10,
        batch: 32,
        learning_rate: 0.001,
        clip: 5.0,
        latent_points: 10_000,
        quirks: None,
        seeds: Seeds::range(1, 10),
        limits: Limits::NONE,
    };
    let dngo = MethodSpec::Dngo {
        initial: 16,
        batch: 1,
        epochs: 100,
        target: 1.0,
    };
    let search = SearchPlan {
        datasets: vec![DatasetBudget {
            dataset: Dataset::Cifar10,
            budget: Budget::Queries(100),
        }],
        benchmark: BenchmarkRef::Table {
            digest: Digest::from_bytes([1; 32]),
        },
        methods: vec![MethodPlan {
            label: "dngo".to_owned(),
            level: Vec::new(),
            method: dngo,
            encoding: Some(ModelName::Arch2vec.to_string()),
            quirks: None,
            limits: Limits::NONE,
        }],
        seeds: Seeds::range(1, u64::from(TASKS)),
        pairing: Pairing::InTurn,
    };
    StudySpec {
        pretrain: vec![pretrain],
        search: Some(search),
        ..study()
    }
}
