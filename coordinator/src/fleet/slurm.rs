//! Workers as jobs of Slurm arrays.
//!
//! A worker's place in the array is its seat. No two live workers have the same
//! seat, and a seat's directory outlives its worker: the next worker on the seat
//! delivers results that the last one left there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::engine::{Engine, EngineError, Member, MemberState};
use super::program::Programs;
use super::setup::{EngineSetup, Setup};

/// Runs in each job. `exec` makes the worker the process that Slurm signals.
const SCRIPT: &str = "#!/bin/sh
# One worker of a fleet, started by `reprise fleet up`.
# Arguments: directory of all workers, program, its arguments.
set -eu
directory=$1
program=$2
shift 2
exec \"$program\" --directory \"$directory/$SLURM_ARRAY_TASK_ID\" \"$@\"
";

/// Number of seats: the default of Slurm's `MaxArraySize`.
const SEATS: u32 = 1000;

/// The fields that `squeue` prints. The comment comes last, because it may hold any
/// text.
const FORMAT: &str = "%i|%T|%M|%N|%r|%k";

/// Slurm, for one fleet.
#[derive(Debug)]
pub(super) struct Slurm {
    setup: Setup,
    directory: PathBuf,
    programs: Programs,
}

impl Slurm {
    pub(super) fn new(setup: Setup, directory: PathBuf, programs: Programs) -> Self {
        Self {
            setup,
            directory,
            programs,
        }
    }

    fn job_name(&self) -> String {
        format!("reprise-{}", self.setup.name)
    }

    /// Marks the jobs of this fleet, to tell them from those of another directory.
    fn owner(&self) -> String {
        format!("reprise fleet {}", self.directory.display())
    }

    fn submission(&self, script: &Path, seats: &[u32]) -> Vec<String> {
        let seats: Vec<_> = seats.iter().map(ToString::to_string).collect();
        let mut arguments = vec![
            "--parsable".to_owned(),
            format!("--job-name={}", self.job_name()),
            format!("--comment={}", self.owner()),
            format!("--array={}", seats.join(",")),
            format!("--cpus-per-task={}", self.setup.worker.slots),
            // To the batch process, which is the worker itself: without `B:` only
            // steps started by `srun` are told that their time is over.
            "--signal=B:TERM@60".to_owned(),
            // The fleet replaces what is lost; Slurm would do so a second time.
            "--no-requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--output={}", self.directory.join("logs/%a.log").display()),
        ];
        if let EngineSetup::Slurm { extra } = &self.setup.on {
            arguments.extend(extra.iter().cloned());
        }
        arguments.push(script.display().to_string());
        arguments.push(self.directory.join("workers").display().to_string());
        arguments.push(self.setup.worker.program.clone());
        arguments.extend(self.setup.worker.arguments(None));
        arguments
    }

    async fn jobs(&self) -> Result<Vec<Member>, EngineError> {
        let arguments = [
            "--noheader",
            "--array",
            "--me",
            &format!("--name={}", self.job_name()),
            &format!("--format={FORMAT}"),
        ]
        .map(ToOwned::to_owned);
        let answer = self.programs.run("squeue", &arguments, "").await?;
        let mut members = Vec::new();
        for line in answer.lines().filter(|line| !line.trim().is_empty()) {
            let (member, owner) = parse(line).ok_or_else(|| EngineError::Answer {
                program: "squeue",
                answer: line.to_owned(),
                expected: "a line of the format that was asked for",
            })?;
            // Some sites take comments off; those jobs are told by name alone.
            if !["", "(null)", &self.owner()].contains(&owner) {
                return Err(EngineError::Foreign {
                    job: member.id,
                    name: self.job_name(),
                    owner: owner.to_owned(),
                });
            }
            members.push(member);
        }
        Ok(members)
    }

    fn write_script(&self) -> Result<PathBuf, EngineError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| EngineError::File { path, source }
        };
        for folder in ["logs", "workers"] {
            let path = self.directory.join(folder);
            fs::create_dir_all(&path).map_err(failed(&path))?;
        }
        let path = self.directory.join("worker.sh");
        fs::write(&path, SCRIPT).map_err(failed(&path))?;
        Ok(path)
    }
}

#[async_trait]
impl Engine for Slurm {
    fn logs(&self) -> String {
        self.directory.join("logs").display().to_string()
    }

    async fn list(&self) -> Result<Vec<Member>, EngineError> {
        self.jobs().await
    }

    async fn grow(&self, count: u32) -> Result<(), EngineError> {
        let seats = free_seats(&self.jobs().await?, count)?;
        let script = self.write_script()?;
        let arguments = self.submission(&script, &seats);
        let answer = self.programs.run("sbatch", &arguments, "").await?;
        // `ID` or `ID;CLUSTER`.
        let id = answer.trim().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EngineError::Answer {
                program: "sbatch",
                answer,
                expected: "a job id",
            });
        }
        Ok(())
    }

    async fn shrink(&self, ids: &[String]) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.programs.run("scancel", ids, "").await?;
        Ok(())
    }

    async fn down(&self) -> Result<(), EngineError> {
        let jobs = self.jobs().await?;
        let ids: Vec<_> = jobs.into_iter().map(|job| job.id).collect();
        self.shrink(&ids).await
    }
}

/// The lowest `count` free seats.
fn free_seats(jobs: &[Member], count: u32) -> Result<Vec<u32>, EngineError> {
    let taken: BTreeSet<_> = jobs.iter().filter_map(|job| seat(&job.id)).collect();
    let free: Vec<_> = (0..SEATS)
        .filter(|seat| !taken.contains(seat))
        .take(count as usize)
        .collect();
    if free.len() < count as usize {
        return Err(EngineError::TooMany {
            wanted: count.saturating_add(taken.len() as u32),
            limit: SEATS,
        });
    }
    Ok(free)
}

/// The seat of job `ARRAY_SEAT`.
fn seat(id: &str) -> Option<u32> {
    id.split_once('_')?.1.parse().ok()
}

/// A line of [`FORMAT`]: the worker, and whose it is.
fn parse(line: &str) -> Option<(Member, &str)> {
    let mut fields = line.splitn(6, '|');
    let id = fields.next()?.trim();
    let state = match fields.next()? {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED"
        | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => MemberState::Queued,
        "RUNNING" | "SUSPENDED" | "RESIZING" | "SIGNALING" | "STOPPED" => MemberState::Up,
        "COMPLETING" | "STAGE_OUT" | "COMPLETED" | "CANCELLED" | "FAILED" | "TIMEOUT"
        | "PREEMPTED" | "NODE_FAIL" | "BOOT_FAIL" | "DEADLINE" | "OUT_OF_MEMORY" | "REVOKED" => {
            MemberState::Leaving
        }
        _ => return None,
    };
    let run = elapsed(fields.next()?)?;
    let place = fields.next()?.to_owned();
    let note = fields.next()?;
    let owner = fields.next()?.trim();
    seat(id)?;
    let note = if state == MemberState::Queued {
        note
    } else {
        ""
    };
    let member = Member {
        id: id.to_owned(),
        state,
        place,
        note: note.to_owned(),
        run,
    };
    Some((member, owner))
}

/// `[DAYS-][[HOURS:]MINUTES:]SECONDS`; `INVALID` where clocks disagree.
fn elapsed(text: &str) -> Option<Duration> {
    if text == "INVALID" {
        return Some(Duration::ZERO);
    }
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse().ok()?, clock),
        None => (0_u64, text),
    };
    let mut seconds = 0_u64;
    for part in clock.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    Some(Duration::from_secs(
        days.checked_mul(86_400)?.checked_add(seconds)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(elapsed(text), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn times_are_read_as_squeue_writes_them() {
        check("0:00", Some(0));
        check("1:02", Some(62));
        check("10:00:01", Some(36_001));
        check("2-00:00:03", Some(172_803));
        check("INVALID", Some(0));
        check("", None);
        check("1:x", None);
    }

    #[test]
    fn lines_are_read_strictly() {
        let (member, owner) = parse("12_3|RUNNING|1:02|node7|None|reprise fleet /a|b").unwrap();
        assert_eq!(member.id, "12_3");
        assert_eq!(member.state, MemberState::Up);
        assert_eq!(member.place, "node7");
        assert_eq!(owner, "reprise fleet /a|b");
        let (member, _) = parse("12_4|PENDING|0:00||Resources|").unwrap();
        assert_eq!(member.note, "Resources");
        for line in [
            "12|RUNNING|0:01|n|None|",
            "12_3|DANCING|0:01|n|None|",
            "12_3|RUNNING",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn seats_are_reused_from_the_lowest() {
        let taken = ["7_0|RUNNING|0:01|n|None|", "9_2|PENDING|0:00||None|"]
            .map(|line| parse(line).unwrap().0);
        assert_eq!(free_seats(&taken, 3).unwrap(), [1, 3, 4]);
        let error = free_seats(&taken, 999).unwrap_err().to_string();
        assert!(
            error.starts_with("1001 workers are more than the 1000"),
            "{error}"
        );
    }
}
