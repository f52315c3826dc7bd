//! Workers as spot machines of a managed instance group on Google Cloud, by
//! `gcloud`.
//!
//! The group makes machines anew that were taken back, so the fleet only changes
//! how many there are to be. What a machine runs is in [`super::cloud_init`].

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::clock::since;
use super::cloud_init::user_data;
use super::engine::{Engine, EngineError, Member, MemberState};
use super::program::Programs;
use super::setup::{EngineSetup, Setup};

/// Google Cloud, for one fleet.
#[derive(Debug)]
pub(super) struct Gcp {
    setup: Setup,
    directory: PathBuf,
    programs: Programs,
}

/// The settings that are this engine's own.
struct Own<'a> {
    project: Option<&'a String>,
    zone: &'a str,
    machine: &'a str,
    secret: Option<&'a str>,
    extra: &'a [String],
}

impl Gcp {
    pub(super) fn new(setup: Setup, directory: PathBuf, programs: Programs) -> Self {
        Self {
            setup,
            directory,
            programs,
        }
    }

    /// Name of the group, of its template and of the first part of its machines'.
    fn name(&self) -> String {
        format!("reprise-{}", self.setup.name)
    }

    fn own(&self) -> Own<'_> {
        match &self.setup.on {
            EngineSetup::Gcp {
                project,
                zone,
                machine,
                secret,
                extra,
            } => Own {
                project: project.as_ref(),
                zone,
                machine,
                secret: secret.as_deref(),
                extra,
            },
            _ => Own {
                project: None,
                zone: "",
                machine: "",
                secret: None,
                extra: &[],
            },
        }
    }

    async fn gcloud(&self, arguments: &[&str]) -> Result<String, EngineError> {
        let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        if let Some(project) = self.own().project {
            arguments.push(format!("--project={project}"));
        }
        arguments.push("--quiet".to_owned());
        Ok(self.programs.run("gcloud", &arguments, "").await?)
    }

    /// What `gcloud … list` finds.
    async fn found<T>(&self, what: &[&str], filter: &str) -> Result<Vec<T>, EngineError>
    where
        T: for<'a> Deserialize<'a>,
    {
        let filter = format!("--filter={filter}");
        let mut arguments = what.to_vec();
        arguments.extend(["list", &filter, "--format=json"]);
        let answer = self.gcloud(&arguments).await?;
        serde_json::from_str(&answer).map_err(|_| EngineError::Answer {
            program: "gcloud",
            answer: answer.chars().take(500).collect(),
            expected: "the JSON of what was asked for",
        })
    }

    /// Machines that the group is to have; nothing where there is none.
    async fn target(&self) -> Result<Option<u32>, EngineError> {
        let filter = format!("name={} AND zone:{}", self.name(), self.own().zone);
        let what = ["compute", "instance-groups", "managed"];
        let groups: Vec<Group> = self.found(&what, &filter).await?;
        Ok(groups.first().map(|group| group.target_size))
    }

    async fn has_template(&self) -> Result<bool, EngineError> {
        let what = ["compute", "instance-templates"];
        let filter = format!("name={}", self.name());
        let templates: Vec<serde_json::Value> = self.found(&what, &filter).await?;
        Ok(!templates.is_empty())
    }

    /// Does something to the group.
    async fn group(&self, verb: &str, arguments: &[&str]) -> Result<(), EngineError> {
        let name = self.name();
        let zone = format!("--zone={}", self.own().zone);
        let mut all = vec!["compute", "instance-groups", "managed", verb, &name, &zone];
        all.extend(arguments);
        self.gcloud(&all).await?;
        Ok(())
    }

    async fn make_template(&self) -> Result<(), EngineError> {
        let own = self.own();
        let path = self.directory.join("user-data");
        let failed = |source| EngineError::File {
            path: path.clone(),
            source,
        };
        let data = user_data(&self.setup.worker, own.secret)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        std::fs::write(&path, data).map_err(failed)?;
        let name = self.name();
        let machine = format!("--machine-type={}", own.machine);
        let labels = format!("--labels=reprise-fleet={}", self.setup.name);
        let data = format!("--metadata-from-file=user-data={}", path.display());
        let mut arguments = vec![
            "compute",
            "instance-templates",
            "create",
            &name,
            "--provisioning-model=SPOT",
            &machine,
            &labels,
            &data,
            // Google's Debian images have no cloud-init; Ubuntu's have.
            "--image-family=ubuntu-2404-lts-amd64",
            "--image-project=ubuntu-os-cloud",
            "--boot-disk-size=30GB",
            // To fetch the bundle and the secret; the account's own roles decide.
            "--scopes=cloud-platform",
        ];
        arguments.extend(own.extra.iter().map(String::as_str));
        self.gcloud(&arguments).await?;
        Ok(())
    }
}

#[async_trait]
impl Engine for Gcp {
    fn logs(&self) -> String {
        format!(
            "gcloud compute instances get-serial-port-output MACHINE --zone={}",
            self.own().zone
        )
    }

    async fn list(&self) -> Result<Vec<Member>, EngineError> {
        let Some(target) = self.target().await? else {
            return Ok(Vec::new());
        };
        let filter = format!(
            "labels.reprise-fleet={} AND zone:{}",
            self.setup.name,
            self.own().zone
        );
        let machines = self.found(&["compute", "instances"], &filter).await?;
        members(target, machines, &self.name())
    }

    async fn grow(&self, count: u32) -> Result<(), EngineError> {
        if let Some(target) = self.target().await? {
            let size = format!("--size={}", target.saturating_add(count));
            return self.group("resize", &[&size]).await;
        }
        if !self.has_template().await? {
            self.make_template().await?;
        }
        let size = format!("--size={count}");
        let template = format!("--template={}", self.name());
        self.group("create", &[&size, &template]).await
    }

    async fn shrink(&self, ids: &[String]) -> Result<(), EngineError> {
        let awaited = ids.iter().filter(|id| is_awaited(id)).count() as u32;
        let machines: Vec<_> = ids
            .iter()
            .filter(|id| !is_awaited(id))
            .map(String::as_str)
            .collect();
        if !machines.is_empty() {
            let machines = format!("--instances={}", machines.join(","));
            self.group("delete-instances", &[&machines]).await?;
        }
        if awaited > 0 {
            let target = self.target().await?.unwrap_or(0);
            let size = format!("--size={}", target.saturating_sub(awaited));
            self.group("resize", &[&size]).await?;
        }
        Ok(())
    }

    async fn down(&self) -> Result<(), EngineError> {
        if self.target().await?.is_some() {
            self.group("delete", &[]).await?;
        }
        if self.has_template().await? {
            let name = self.name();
            self.gcloud(&["compute", "instance-templates", "delete", &name])
                .await?;
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    target_size: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    name: String,
    status: String,
    #[serde(default)]
    zone: String,
    last_start_timestamp: Option<String>,
}

/// The machines, and those that the group has yet to make.
fn members(target: u32, machines: Vec<Machine>, name: &str) -> Result<Vec<Member>, EngineError> {
    let mut members = machines
        .into_iter()
        .map(member)
        .collect::<Result<Vec<_>, _>>()?;
    let lasting = |member: &&Member| member.state != MemberState::Leaving;
    let there = members.iter().filter(lasting).count() as u32;
    members.extend((there..target).map(|number| Member {
        id: format!("{name}/{number}"),
        state: MemberState::Queued,
        place: String::new(),
        note: "not made yet".to_owned(),
        run: Duration::ZERO,
    }));
    Ok(members)
}

/// Whether this is the name of a machine that is not made yet.
fn is_awaited(id: &str) -> bool {
    id.contains('/')
}

fn member(machine: Machine) -> Result<Member, EngineError> {
    let state = match machine.status.as_str() {
        // A machine that was taken back is made anew by its group.
        "PENDING" | "PROVISIONING" | "STAGING" | "TERMINATED" | "STOPPED" | "SUSPENDED" => {
            MemberState::Queued
        }
        "RUNNING" | "REPAIRING" => MemberState::Up,
        "STOPPING" | "PENDING_STOP" | "SUSPENDING" | "DEPROVISIONING" => MemberState::Leaving,
        _ => {
            return Err(EngineError::Answer {
                program: "gcloud",
                answer: machine.status,
                expected: "the status of a machine",
            });
        }
    };
    let waits = state == MemberState::Queued;
    Ok(Member {
        id: machine.name,
        state,
        place: machine
            .zone
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        note: if waits {
            machine.status.to_lowercase()
        } else {
            String::new()
        },
        run: match (waits, machine.last_start_timestamp) {
            (false, Some(start)) => since(&start).unwrap_or_default(),
            _ => Duration::ZERO,
        },
    })
}

#[cfg(test)]
#[path = "gcp_tests.rs"]
mod tests;
