//! A stand-in for `reprise-torch`: a shell script that speaks as much of the protocol as
//! a test needs, and breaks it where a test wants that. The real program cannot be made
//! to crash or to hang on demand.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reprise_child::{
    FromChild, Hello, Outcome, PROTOCOL, Reached, Task, ToChild, TorchDevice, frame,
};
use reprise_domain::{
    Accuracy, ArchIndex, Dataset, EvaluateResult, EvaluateSpec, PretrainSpec, Recipe, Seconds,
    Seed, SpaceName,
};
use serde::Serialize;

/// The script with the files that it writes from.
#[derive(Debug)]
pub(crate) struct Double {
    directory: tempfile::TempDir,
}

impl Double {
    /// One whose first child does `first` with its first task, in words of the shell,
    /// and trains if it lives on. All others train.
    pub(crate) fn new(first: &str) -> anyhow::Result<Self> {
        let double = Self::empty()?;
        let progress = FromChild::Progress {
            reached: Reached {
                done: 5,
                ..Reached::default()
            },
            measures: Vec::new(),
        };
        let evaluated = Outcome::Evaluated {
            result: result()?,
            training: Seconds::new(0.25)?,
        };
        double.frames("progress", &[progress])?;
        double.frames("trained", &[ended(evaluated)])?;
        double.frames("heartbeat", &[FromChild::Heartbeat])?;
        double.frames("of-another-task", &[ended(Outcome::Packed)])?;
        double.frames("stopped", &[ended(Outcome::Stopped)])?;
        let stop = double.frames("stop", &[ToChild::Stop { save: false }])?;
        let task = Task::Evaluate { spec: evaluation() };
        let task = double.frames("task", &[ToChild::Start { task }])?;
        double.script(&format!(
            "stop={stop}
while head -c {task} >taken && [ -s taken ]; do
    if [ \"$(wc -l <starts)\" -eq 1 ] && [ ! -e broken ]; then
        touch broken
        {first}
    fi
    cat progress trained
done
"
        ))?;
        Ok(double)
    }

    /// One whose first child lacks the memory for a pack of two such seeds. Those after
    /// it take packs of one, which they say to have failed.
    pub(crate) fn of_packs(seeds: [PretrainSpec; 2]) -> anyhow::Result<Self> {
        let double = Self::empty()?;
        let start = |members| ToChild::Start {
            task: Task::Pack {
                device: TorchDevice::Cpu,
                members,
                save_every_ms: 10_000,
            },
        };
        let [first, second] = seeds.map(|spec| ToChild::Member { spec });
        let one = double.frames("one", &[start(1), first.clone()])?;
        let two = double.frames("two", &[start(2), first, second])?;
        let failed = FromChild::MemberFailed {
            member: 0,
            reason: vec!["as it was told".to_owned()],
        };
        double.frames("done", &[failed, ended(Outcome::Packed)])?;
        double.script(&format!(
            "if [ \"$(wc -l <starts)\" -eq 1 ]; then
    head -c {two} >taken
    echo \"terminate called after throwing an instance of 'std::bad_alloc'\" >&2
    kill -ABRT $$
fi
while head -c {one} >taken && [ -s taken ]; do
    cat done
done
"
        ))?;
        Ok(double)
    }

    /// One that says hello.
    fn empty() -> anyhow::Result<Self> {
        let double = Self {
            directory: tempfile::tempdir()?,
        };
        let hello = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            libtorch: "2.11.0".to_owned(),
            ..Hello::default()
        };
        double.frames("hello", &[hello])?;
        Ok(double)
    }

    /// Makes the program.
    fn script(&self, rest: &str) -> anyhow::Result<()> {
        let script = format!(
            "#!/bin/sh\ncd \"${{0%/*}}\" || exit 1\necho start >>starts\ncat hello\n{rest}"
        );
        let program = self.program();
        fs::write(&program, script)?;
        Ok(fs::set_permissions(
            &program,
            Permissions::from_mode(0o755),
        )?)
    }

    /// Has it say something else than its hello.
    pub(crate) fn says_first(self, bytes: &[u8]) -> anyhow::Result<Self> {
        fs::write(self.path("hello"), bytes)?;
        Ok(self)
    }

    /// The program.
    pub(crate) fn program(&self) -> PathBuf {
        self.path("reprise-torch")
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        let starts = fs::read_to_string(self.path("starts"));
        starts.map_or(0, |starts| starts.lines().count())
    }

    /// Makes a file of messages; its size.
    fn frames(&self, name: &str, messages: &[impl Serialize]) -> anyhow::Result<usize> {
        let mut bytes = Vec::new();
        for message in messages {
            frame::write(&mut bytes, message, &[])?;
        }
        fs::write(self.path(name), &bytes)?;
        Ok(bytes.len())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}

fn ended(outcome: Outcome) -> FromChild {
    FromChild::Ended { outcome }
}

/// The task that it takes.
pub(crate) fn evaluation() -> EvaluateSpec {
    EvaluateSpec {
        space: SpaceName::Nasbench201,
        arch: ArchIndex(13_671),
        dataset: Dataset::Digits,
        recipe: Recipe::DigitsSmall,
        seed: Seed(1),
    }
}

/// What it finds.
pub(crate) fn result() -> anyhow::Result<EvaluateResult> {
    Ok(EvaluateResult {
        validation: Accuracy::new(0.75)?,
        test: Accuracy::new(0.5)?,
        parameters: 3_938,
        flops: 62_112,
    })
}
