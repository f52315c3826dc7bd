//! Tasks over a pair of pipes, as a worker gives them.

use std::io::{BufReader, PipeReader, PipeWriter, pipe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use reprise_child::TorchDevice;
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::task::ModelSizes;
use reprise_domain::{ArchIndex, Dataset, EvaluateSpec, ModelName, Recipe, Seed, SpaceName};

use super::*;

/// The other end.
struct Worker {
    to: Option<PipeWriter>,
    from: BufReader<PipeReader>,
    abandoned: Arc<AtomicBool>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Worker {
    fn start() -> Self {
        let (input, to) = pipe().unwrap();
        let (from, output) = pipe().unwrap();
        let abandoned = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&abandoned);
        let served = thread::spawn(move || {
            crate::use_one_thread();
            serve(input, output, move || mark.store(true, Ordering::Relaxed))
        });
        let mut worker = Self {
            to: Some(to),
            from: BufReader::new(from),
            abandoned,
            served,
        };
        let (hello, _) = frame::read::<Hello>(&mut worker.from).unwrap().unwrap();
        assert_eq!(hello.protocol, PROTOCOL);
        assert_eq!(hello.libtorch, LIBTORCH_VERSION);
        worker
    }

    fn send(&mut self, message: &ToChild, body: &[u8]) {
        let to = self.to.as_mut().unwrap();
        frame::write(to, message, body).unwrap();
    }

    fn give(&mut self, task: Task, body: &[u8]) {
        self.send(&ToChild::Start { task }, body);
    }

    /// The next message that is no sign of life.
    fn next(&mut self) -> (FromChild, Vec<u8>) {
        loop {
            let said = frame::read::<FromChild>(&mut self.from).unwrap().unwrap();
            if said.0 != FromChild::Heartbeat {
                return said;
            }
        }
    }

    /// What comes before the outcome, and the outcome.
    fn rest(&mut self) -> (Vec<(FromChild, Vec<u8>)>, Outcome) {
        let mut before = Vec::new();
        loop {
            match self.next() {
                (FromChild::Ended { outcome }, _) => return (before, outcome),
                said => before.push(said),
            }
        }
    }

    fn leave(mut self) -> Result<(), ServeError> {
        self.to = None;
        self.served.join().unwrap()
    }
}

fn training(arch: u32) -> Task {
    Task::Evaluate {
        spec: EvaluateSpec {
            space: SpaceName::Nasbench201,
            arch: ArchIndex(arch),
            dataset: Dataset::Digits,
            recipe: Recipe::DigitsSmall,
            seed: Seed(1),
        },
    }
}

fn pretraining(seed: u64) -> PretrainSpec {
    PretrainSpec {
        space: SpaceName::Nasbench201,
        model: ModelName::Arch2vec,
        sizes: ModelSizes {
            hidden: 8,
            latent: 2,
            layers: 1,
            dropout: 0.3,
        },
        epochs: 1,
        batch: 512,
        learning_rate: 1e-3,
        clip: 5.0,
        latent_points: 100,
        quirks: Quirks::of(Protocol::Reference).pretrain,
        seed: Seed(seed),
    }
}

fn pack(members: u32) -> Task {
    Task::Pack {
        device: TorchDevice::Cpu,
        members,
        save_every_ms: 3_600_000,
    }
}

#[test]
fn trainings_follow_each_other_in_one_process() {
    let mut worker = Worker::start();
    let mut results = Vec::new();
    for arch in [1_462, 1_462] {
        worker.give(training(arch), &[]);
        let (_, outcome) = worker.rest();
        let Outcome::Evaluated { result, training } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(training.get() > 0.0);
        results.push(result);
    }
    assert_eq!(results[0], results[1]);
    worker.give(training(1_000_000), &[]);
    let (_, outcome) = worker.rest();
    let Outcome::Failed { permanent, reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        permanent && reason[1] == "the space has no such architecture",
        "{reason:?}"
    );
    assert!(worker.leave().is_ok());
}

#[test]
fn a_pack_is_saved_when_it_is_stopped_and_gives_every_member_at_its_end() {
    let mut worker = Worker::start();
    let specs = [pretraining(1), pretraining(2)];
    let mut checkpoints = vec![Vec::new(); 2];
    worker.give(pack(2), &[]);
    // Before the first step is made.
    for spec in specs {
        worker.send(&ToChild::Member { spec }, &[]);
    }
    worker.send(&ToChild::Stop { save: true }, &[]);
    let (before, outcome) = worker.rest();
    assert_eq!(outcome, Outcome::Stopped);
    for (message, body) in before {
        if let FromChild::Checkpoint { member, .. } = message {
            checkpoints[member as usize] = body;
        }
    }
    assert!(checkpoints.iter().all(|checkpoint| !checkpoint.is_empty()));

    worker.give(pack(2), &[]);
    for (spec, checkpoint) in specs.into_iter().zip(&checkpoints) {
        worker.send(&ToChild::Member { spec }, checkpoint);
    }
    worker.send(&ToChild::Discard { member: 0 }, &[]);
    let (before, outcome) = worker.rest();
    assert_eq!(outcome, Outcome::Packed);
    let said = before.iter().map(|(message, body)| match message {
        FromChild::Progress { .. } => "progress",
        FromChild::Trained { member: 1, epochs } if epochs.len() == 1 && !body.is_empty() => {
            "trained"
        }
        FromChild::Embedded { member: 1 } if !body.is_empty() => "embedded",
        _ => "something else",
    });
    let mut said: Vec<_> = said.collect();
    said.dedup();
    // Nobody wants what the first one found.
    assert_eq!(said, ["progress", "trained", "embedded"]);
    assert!(worker.leave().is_ok());
}

#[test]
fn a_pack_that_cannot_be_is_refused() {
    let mut worker = Worker::start();
    worker.give(pack(0), &[]);
    let (_, outcome) = worker.rest();
    let Outcome::Failed { permanent, reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(permanent, "{reason:?}");
    assert_eq!(
        reason,
        ["start pretraining", "a pack has at least one member"]
    );
    worker.give(pack(1), &[]);
    let spec = pretraining(1);
    worker.send(&ToChild::Member { spec }, b"no checkpoint");
    let (_, outcome) = worker.rest();
    assert!(
        matches!(
            outcome,
            Outcome::Failed {
                permanent: true,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(worker.leave().is_ok());
}

#[test]
fn a_fixture_is_compared() {
    let mut worker = Worker::start();
    let fixture = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/arch2vec-nasbench101.safetensors"
    ));
    worker.give(Task::Selftest, fixture);
    let (_, outcome) = worker.rest();
    let Outcome::Compared { compared } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(compared.len(), 16);
    let is_ok = |row: &reprise_child::Compared| row.difference.is_some_and(|d| d <= row.tolerance);
    assert!(compared.iter().all(is_ok), "{compared:?}");
    assert!(worker.leave().is_ok());
}

#[test]
fn a_task_that_panics_is_reported_and_ends_the_program() {
    let (mut from, output) = pipe().unwrap();
    let (orders, work) = mpsc::sync_channel(1);
    let start = Order::Start(Task::Selftest, Vec::new(), Arc::default());
    orders.send(start).unwrap();
    let output = Output::new(output);
    let ended = work_on(&work, &output, |_, _, _, _, _| panic!("not enough memory"));
    assert!(matches!(ended, Err(ServeError::Panicked)));
    let (said, _) = frame::read::<FromChild>(&mut from).unwrap().unwrap();
    let outcome = Outcome::Failed {
        permanent: false,
        reason: vec!["task panicked: not enough memory".to_owned()],
    };
    assert_eq!(said, FromChild::Ended { outcome });
}

#[test]
fn what_is_out_of_turn_ends_the_program() {
    let mut worker = Worker::start();
    let spec = pretraining(1);
    worker.send(&ToChild::Member { spec }, &[]);
    assert!(matches!(
        worker.leave(),
        Err(ServeError::OutOfTurn {
            found: "a member",
            ..
        })
    ));

    let mut worker = Worker::start();
    worker.give(pack(2), &[]);
    worker.give(training(1), &[]);
    assert!(matches!(
        worker.leave(),
        Err(ServeError::OutOfTurn {
            found: "a task",
            ..
        })
    ));
}

#[test]
fn a_worker_that_is_gone_is_noticed_in_the_middle_of_a_task() {
    let mut worker = Worker::start();
    let specs = [pretraining(1)];
    worker.give(pack(1), &[]);
    for spec in specs {
        worker.send(&ToChild::Member { spec }, &[]);
    }
    assert!(matches!(worker.next().0, FromChild::Progress { .. }));
    worker.to = None;
    let abandoned = Arc::clone(&worker.abandoned);
    let (_, outcome) = worker.rest();
    assert_eq!(outcome, Outcome::Packed);
    assert!(abandoned.load(Ordering::Relaxed));
    assert!(worker.leave().is_ok());
}
