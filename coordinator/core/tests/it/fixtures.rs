//! Studies, workers and failures to test with.

use reprise_core::lifecycle::{Actor, Input, StudyControl};
use reprise_core::plan::{Plan, plan, study_digest};
use reprise_domain::program::{Needs, ProgramLimits, Scalar};
use reprise_domain::protocol::{Protocol, Quirks};
use reprise_domain::study::{
    DatasetBudget, ExperimentPlan, GridFactor, MethodPlan, MetricPlan, NoopPlan, OnFailure,
    Pairing, PretrainPlan, RetryPolicy, SearchPlan, Seeds, StudySpec,
};
use reprise_domain::task::ModelSizes;
use reprise_domain::{
    BenchmarkRef, Budget, Capability, Dataset, Device, Digest, Failure, FailureClass, Limits,
    MethodSpec, ModelName, Seconds, SpaceName, StudyName, WorkerId,
};
use uuid::Uuid;

/// A study that asks for nothing yet.
pub(crate) fn empty(name: &str) -> StudySpec {
    StudySpec {
        name: name.parse().unwrap(),
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

/// A study of tasks that do nothing; equal numbers plan equal tasks.
pub(crate) fn noops(name: &str, tasks: u32) -> StudySpec {
    let noop = Some(NoopPlan {
        tasks,
        hold_ms: 0,
        failures: 0,
        limits: Limits::NONE,
    });
    StudySpec {
        noop,
        ..empty(name)
    }
}

/// The same study with limits for its no-op tasks, which a slow cluster passes.
pub(crate) fn limited(mut spec: StudySpec) -> StudySpec {
    if let Some(noop) = &mut spec.noop {
        noop.limits = Limits {
            time: Some(seconds(90.0)),
            silence: Some(seconds(60.0)),
        };
    }
    spec
}

/// A pretraining entry.
pub(crate) fn pretraining(model: ModelName, seeds: Seeds) -> PretrainPlan {
    PretrainPlan {
        name: None,
        level: Vec::new(),
        model,
        sizes: ModelSizes::default(),
        epochs: 1,
        batch: 32,
        learning_rate: 0.001,
        clip: 5.0,
        latent_points: 10,
        quirks: None,
        seeds,
        limits: Limits::NONE,
    }
}

/// A method with its published settings.
pub(crate) fn method(label: &str, encoding: Option<ModelName>) -> MethodPlan {
    let method = match encoding {
        None => MethodSpec::Random,
        Some(_) => MethodSpec::Dngo {
            initial: 16,
            batch: 1,
            epochs: 100,
            target: 1.0,
        },
    };
    MethodPlan {
        label: label.to_owned(),
        level: Vec::new(),
        method,
        encoding: encoding.map(|model| model.to_string()),
        quirks: None,
        limits: Limits::NONE,
    }
}

/// Searches of `methods` on CIFAR-10.
pub(crate) fn searches(methods: Vec<MethodPlan>, seeds: Seeds) -> SearchPlan {
    SearchPlan {
        datasets: vec![DatasetBudget {
            dataset: Dataset::Cifar10,
            budget: Budget::Queries(10),
        }],
        benchmark: BenchmarkRef::Table {
            digest: Digest::from_bytes([9; 32]),
        },
        methods,
        seeds,
        pairing: Pairing::InTurn,
    }
}

/// A program that is run with two sizes and so many seeds.
pub(crate) fn experiment(name: &str, seeds: u64) -> ExperimentPlan {
    ExperimentPlan {
        name: name.to_owned(),
        command: ["train", "{size}", "{seed}"].map(str::to_owned).to_vec(),
        files: Vec::new(),
        grid: vec![GridFactor {
            name: "size".to_owned(),
            values: vec![Scalar::Whole(8), Scalar::Whole(16)],
        }],
        metrics: vec![MetricPlan {
            name: "loss".to_owned(),
            unit: None,
            goal: None,
        }],
        needs: Needs::default(),
        uses: ProgramLimits::default(),
        seeds: Seeds::range(1, seeds),
        limits: Limits::NONE,
    }
}

/// A study of pretrainings and of searches on their embeddings.
pub(crate) fn embedded(name: &str, pretrainings: u64, trials: u64) -> StudySpec {
    let model = ModelName::Arch2vec;
    StudySpec {
        pretrain: vec![pretraining(model, Seeds::range(1, pretrainings))],
        search: Some(searches(
            vec![method("dngo", Some(model))],
            Seeds::range(1, trials),
        )),
        ..empty(name)
    }
}

/// The plan of a study that names no architectures.
pub(crate) fn planned(spec: &StudySpec) -> Plan {
    plan(spec, &|_| Vec::new()).unwrap()
}

/// The submission of a study.
pub(crate) fn submission(spec: &StudySpec, amend: bool) -> Input {
    Input::Submit {
        digest: study_digest(spec),
        plan: planned(spec),
        spec: spec.clone(),
        amend,
        by: Actor::Admin,
    }
}

/// An admin's control of a study.
pub(crate) fn control(study: StudyName, control: StudyControl) -> Input {
    Input::Control {
        study,
        control,
        by: Actor::Admin,
    }
}

/// A worker by number.
pub(crate) fn worker(number: u128) -> WorkerId {
    WorkerId(Uuid::from_u128(number))
}

/// What a worker with so many slots offers.
pub(crate) fn offer(slots: u32) -> Capability {
    Capability {
        slots,
        host: "host".to_owned(),
        device: Device::Cpu {
            model: "cpu".to_owned(),
        },
        version: "1".to_owned(),
        libtorch: "2".to_owned(),
        ..Capability::default()
    }
}

/// A failure of a class.
pub(crate) fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        message: "it broke".to_owned(),
        log: vec!["the last line".to_owned()],
    }
}

/// A result by number.
pub(crate) fn result(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

pub(crate) fn seconds(seconds: f64) -> Seconds {
    Seconds::new(seconds).unwrap()
}
