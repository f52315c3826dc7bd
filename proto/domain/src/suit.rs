//! What a worker must have to run a task, and what it lacks.

use std::fmt;

use crate::capability::{Capability, Device};
use crate::program::Needs;
use crate::task::TaskSpec;

/// What a worker must have to run a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Requirement {
    /// Nothing beyond what every worker has.
    #[default]
    None,
    /// It has libtorch.
    Libtorch,
    /// It runs programs, and has what this one needs.
    Program(Needs),
    /// It computes as an earlier release did. No worker that the coordinator takes does.
    EarlierRelease,
}

/// What a worker does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It has no libtorch.
    Libtorch,
    /// It does not run programs.
    Programs,
    /// It has fewer processor cores.
    Cores,
    /// It has less memory.
    Memory,
    /// It has fewer graphics cards.
    Gpus,
    /// Its algorithms are those of the present release.
    EarlierRelease,
}

impl TaskSpec {
    /// What a worker must have to run it.
    pub const fn requirement(&self) -> Requirement {
        match self {
            Self::Program(spec) => Requirement::Program(spec.needs),
            _ if self.needs_libtorch() => Requirement::Libtorch,
            Self::Pretrain(_) | Self::Search(_) | Self::Evaluate(_) | Self::Noop(_) => {
                Requirement::None
            }
        }
    }
}

impl Capability {
    /// The first thing that a worker lacks for a task. What it does not know of itself
    /// it is taken to have.
    pub fn lack(&self, requirement: Requirement) -> Option<Lack> {
        let needs = match requirement {
            Requirement::None => return None,
            Requirement::Libtorch => return (!self.has_libtorch()).then_some(Lack::Libtorch),
            Requirement::Program(needs) => needs,
            Requirement::EarlierRelease => return Some(Lack::EarlierRelease),
        };
        let gpus = u32::from(matches!(self.device, Device::Cuda { .. }));
        let is_short = |needed: u64, offered: u64| offered != 0 && needed > offered;
        if !self.programs {
            Some(Lack::Programs)
        } else if needs.gpus > gpus {
            Some(Lack::Gpus)
        } else if is_short(u64::from(needs.cores), u64::from(self.cores)) {
            Some(Lack::Cores)
        } else if is_short(needs.memory_bytes.unwrap_or(0), self.memory_bytes) {
            Some(Lack::Memory)
        } else {
            None
        }
    }
}

impl fmt::Display for Requirement {
    /// What is needed, after "a worker with".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = match self {
            Self::None => return f.write_str("nothing special"),
            Self::Libtorch => return f.write_str("`reprise-torch`"),
            Self::Program(needs) => needs,
            Self::EarlierRelease => {
                return f.write_str(
                    "the algorithms of an earlier release (`reprise submit --amend` plans the \
                     study anew)",
                );
            }
        };
        f.write_str("`--allow-programs`")?;
        let plural = |count| if count == 1 { "" } else { "s" };
        if needs.gpus > 0 {
            write!(f, ", {} graphics card{}", needs.gpus, plural(needs.gpus))?;
        }
        if needs.cores > 1 {
            write!(f, ", {} cores", needs.cores)?;
        }
        if let Some(bytes) = needs.memory_bytes {
            write!(f, ", {} of memory", crate::bounds::program::in_units(bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_lacks_what_it_does_not_offer() {
        let mut worker = Capability {
            cores: 4,
            memory_bytes: 8 << 30,
            ..Capability::default()
        };
        let check = |worker: &Capability, cores, memory_bytes, gpus, expected| {
            let needs = Needs {
                cores,
                memory_bytes,
                gpus,
            };
            assert_eq!(
                worker.lack(Requirement::Program(needs)),
                expected,
                "{needs:?}"
            );
        };
        assert_eq!(worker.lack(Requirement::None), None);
        assert_eq!(worker.lack(Requirement::Libtorch), None);
        let without = Capability {
            libtorch: Capability::NO_LIBTORCH.to_owned(),
            ..worker.clone()
        };
        assert_eq!(without.lack(Requirement::Libtorch), Some(Lack::Libtorch));
        check(&worker, 1, None, 0, Some(Lack::Programs));
        worker.programs = true;
        check(&worker, 4, Some(8 << 30), 0, None);
        check(&worker, 5, None, 0, Some(Lack::Cores));
        check(&worker, 1, Some(9 << 30), 0, Some(Lack::Memory));
        check(&worker, 1, None, 1, Some(Lack::Gpus));
        worker.device = Device::Cuda {
            index: 0,
            model: String::new(),
        };
        check(&worker, 1, None, 1, None);
        check(&worker, 1, None, 2, Some(Lack::Gpus));
        worker.cores = 0;
        check(&worker, 99, None, 0, None);
    }

    #[test]
    fn what_is_needed_is_said_in_words() {
        let needs = Needs {
            cores: 2,
            memory_bytes: Some(4 << 30),
            gpus: 1,
        };
        assert_eq!(
            Requirement::Program(needs).to_string(),
            "`--allow-programs`, 1 graphics card, 2 cores, 4 GiB of memory"
        );
    }
}
