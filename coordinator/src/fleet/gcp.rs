//! Workers as spot machines of a managed instance group on Google Cloud, by
//! `gcloud`.
//!
//! The group replaces machines that were taken back, so the fleet only changes how
//! many it is to have. What a machine runs is in [`super::cloud_init`].
//!
//! A template cannot be changed. Its name ends with a digest of its settings, so
//! that a fleet with other settings gets another template, and its group takes
//! that one for the machines that it makes from then on.

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

    /// Name of the group, and the first part of its templates' and machines'.
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

    /// The group, if it exists.
    async fn current(&self) -> Result<Option<Group>, EngineError> {
        let filter = format!("name={} AND zone:{}", self.name(), self.own().zone);
        let what = ["compute", "instance-groups", "managed"];
        let groups: Vec<Group> = self.found(&what, &filter).await?;
        Ok(groups.into_iter().next())
    }

    /// Names of this fleet's templates, those of other settings included.
    async fn templates(&self) -> Result<Vec<String>, EngineError> {
        let what = ["compute", "instance-templates"];
        let filter = format!("name~^{}(-[0-9a-f]{{8}})?$", self.name());
        let templates: Vec<Template> = self.found(&what, &filter).await?;
        Ok(templates
            .into_iter()
            .map(|template| template.name)
            .collect())
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

    /// The settings of a machine, as arguments of `instance-templates create`.
    fn settings(&self) -> Vec<String> {
        let own = self.own();
        let mut settings = vec![
            "--provisioning-model=SPOT".to_owned(),
            format!("--machine-type={}", own.machine),
            format!("--labels=reprise-fleet={}", self.setup.name),
        ];
        let given = |flags: &[&str]| {
            own.extra.iter().any(|argument| {
                let name = argument.split('=').next().unwrap_or_default();
                flags.contains(&name)
            })
        };
        // `gcloud` refuses a second image beside the user's.
        if !given(&["--image", "--image-family", "--image-project"]) {
            // Google's Debian images have no cloud-init; Ubuntu's have.
            settings.push("--image-family=ubuntu-2404-lts-amd64".to_owned());
            settings.push("--image-project=ubuntu-os-cloud".to_owned());
        }
        if !given(&["--boot-disk-size"]) {
            settings.push("--boot-disk-size=30GB".to_owned());
        }
        if !given(&["--scopes", "--no-scopes"]) {
            // To fetch the bundle and the secret; the account's own roles decide.
            settings.push("--scopes=cloud-platform".to_owned());
        }
        settings.extend(own.extra.iter().cloned());
        settings
    }

    /// The name of the template for the present settings; makes it if it is missing.
    async fn template(&self) -> Result<String, EngineError> {
        let path = self.directory.join("user-data");
        let failed = |source| EngineError::File {
            path: path.clone(),
            source,
        };
        let data = user_data(&self.setup.worker, self.own().secret)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let settings = self.settings();
        let all = format!("{}\n{data}", settings.join("\n"));
        let digest = reprise_data::digest(all.as_bytes()).to_string();
        let name = format!("{}-{}", self.name(), &digest[..8]);
        if self.templates().await?.contains(&name) {
            return Ok(name);
        }
        std::fs::create_dir_all(&self.directory).map_err(failed)?;
        std::fs::write(&path, data).map_err(failed)?;
        let data = format!("--metadata-from-file=user-data={}", path.display());
        let mut arguments = vec!["compute", "instance-templates", "create", &name, &data];
        arguments.extend(settings.iter().map(String::as_str));
        self.gcloud(&arguments).await?;
        Ok(name)
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
        // Machines may outlive their group while they leave.
        let target = self.current().await?.map_or(0, |group| group.target_size);
        let filter = format!(
            "labels.reprise-fleet={} AND zone:{}",
            self.setup.name,
            self.own().zone
        );
        let machines = self.found(&["compute", "instances"], &filter).await?;
        members(target, machines, &self.name())
    }

    async fn grow(&self, count: u32) -> Result<(), EngineError> {
        let template = self.template().await?;
        let template_flag = format!("--template={template}");
        let Some(group) = self.current().await? else {
            let size = format!("--size={count}");
            return self.group("create", &[&size, &template_flag]).await;
        };
        if !group.uses(&template) {
            self.group("set-instance-template", &[&template_flag])
                .await?;
        }
        let size = format!("--size={}", group.target_size.saturating_add(count));
        self.group("resize", &[&size]).await
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
            let target = self.current().await?.map_or(0, |group| group.target_size);
            let size = format!("--size={}", target.saturating_sub(awaited));
            self.group("resize", &[&size]).await?;
        }
        Ok(())
    }

    async fn down(&self) -> Result<(), EngineError> {
        if self.current().await?.is_some() {
            self.group("delete", &[]).await?;
        }
        let templates = self.templates().await?;
        if !templates.is_empty() {
            let mut arguments = vec!["compute", "instance-templates", "delete"];
            arguments.extend(templates.iter().map(String::as_str));
            self.gcloud(&arguments).await?;
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    target_size: u32,
    /// URL of the template of new machines.
    #[serde(default)]
    instance_template: String,
}

impl Group {
    fn uses(&self, template: &str) -> bool {
        self.instance_template.rsplit('/').next() == Some(template)
    }
}

#[derive(Debug, Deserialize)]
struct Template {
    name: String,
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

/// The machines, and an entry for each machine that the group has not made yet.
fn members(target: u32, machines: Vec<Machine>, name: &str) -> Result<Vec<Member>, EngineError> {
    let mut members = machines
        .into_iter()
        .map(member)
        .collect::<Result<Vec<_>, _>>()?;
    let lasting = |member: &&Member| member.state != MemberState::Leaving;
    let there = members.iter().filter(lasting).count() as u32;
    members.extend((there..target).map(|number| Member {
        id: format!("{name}/{number}"),
        state: MemberState::Requested,
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
        // The group replaces a machine that was taken back.
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
