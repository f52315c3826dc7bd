//! Workers as the pods of one Kubernetes deployment, by `kubectl`.
//!
//! The deployment replaces pods of vanished nodes by itself; the fleet only changes
//! how many there are. A pod's disk vanishes with it, so tasks whose results it could
//! not deliver are run again.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::clock::since;
use super::engine::{Engine, EngineError, Member, MemberState};
use super::program::Programs;
use super::setup::{EngineSetup, Setup};

/// User and group that a pod runs as; those of the image in `deploy/`.
const USER: u32 = 10001;

/// Where a pod finds its credential.
const CREDENTIALS: &str = "/etc/reprise";

/// Where a pod keeps its worker's files.
const DIRECTORY: &str = "/var/lib/reprise";

/// Seconds that a pod has to leave: a checkpoint and its upload.
const NOTICE_SECONDS: u32 = 60;

/// Kubernetes, for one fleet.
#[derive(Debug)]
pub(super) struct Kubernetes {
    setup: Setup,
    programs: Programs,
}

impl Kubernetes {
    pub(super) fn new(setup: Setup, programs: Programs) -> Self {
        Self { setup, programs }
    }

    fn name(&self) -> String {
        format!("reprise-{}", self.setup.name)
    }

    async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, EngineError> {
        let mut arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        if let EngineSetup::Kubernetes { extra, .. } = &self.setup.on {
            arguments.extend(extra.iter().cloned());
        }
        Ok(self.programs.run("kubectl", &arguments, input).await?)
    }

    /// The number of pods that the deployment is to have, if it exists.
    async fn replicas(&self) -> Result<Option<u32>, EngineError> {
        let name = self.name();
        let arguments = [
            "get",
            "deployment",
            &name,
            "--ignore-not-found",
            "--output=json",
        ];
        let answer = self.kubectl(&arguments, "").await?;
        if answer.trim().is_empty() {
            return Ok(None);
        }
        let deployment: Deployment = read(&answer)?;
        Ok(Some(deployment.spec.replicas))
    }
}

#[async_trait]
impl Engine for Kubernetes {
    fn logs(&self) -> String {
        format!("kubectl logs deployment/{}", self.name())
    }

    async fn list(&self) -> Result<Vec<Member>, EngineError> {
        // Pods outlive their deployment while they leave.
        let replicas = self.replicas().await?.unwrap_or(0);
        let selector = format!("--selector=app.kubernetes.io/instance={}", self.name());
        let answer = self
            .kubectl(&["get", "pods", &selector, "--output=json"], "")
            .await?;
        let pods: List<Pod> = read(&answer)?;
        Ok(members(replicas, pods.items, &self.name()))
    }

    async fn grow(&self, count: u32) -> Result<(), EngineError> {
        let replicas = self.replicas().await?.unwrap_or(0).saturating_add(count);
        let manifest = manifest(&self.setup, replicas).to_string();
        self.kubectl(&["apply", "--filename=-"], &manifest).await?;
        Ok(())
    }

    async fn shrink(&self, ids: &[String]) -> Result<(), EngineError> {
        let replicas = self.replicas().await?.unwrap_or(0);
        // The deployment chooses whom it takes down; this is how it is told.
        let pods: Vec<_> = ids.iter().filter(|id| !is_awaited(id)).collect();
        if !pods.is_empty() {
            let mut arguments = vec!["annotate", "--overwrite", "pods"];
            arguments.extend(pods.iter().map(|id| id.as_str()));
            arguments.push("controller.kubernetes.io/pod-deletion-cost=-1000");
            self.kubectl(&arguments, "").await?;
        }
        let target = format!("--replicas={}", replicas.saturating_sub(ids.len() as u32));
        let deployment = format!("deployment/{}", self.name());
        self.kubectl(&["scale", &deployment, &target], "").await?;
        Ok(())
    }

    async fn down(&self) -> Result<(), EngineError> {
        let name = self.name();
        let arguments = [
            "delete",
            "deployment",
            &name,
            "--ignore-not-found",
            "--wait=false",
        ];
        self.kubectl(&arguments, "").await?;
        Ok(())
    }
}

/// The deployment of a fleet with `replicas` workers.
fn manifest(setup: &Setup, replicas: u32) -> Value {
    let EngineSetup::Kubernetes {
        image,
        gpus,
        spot,
        secret,
        ..
    } = &setup.on
    else {
        return Value::Null;
    };
    let name = format!("reprise-{}", setup.name);
    let labels = json!({
        "app.kubernetes.io/name": "reprise-worker",
        "app.kubernetes.io/instance": name,
    });
    let credential = format!("{CREDENTIALS}/worker.pem");
    let mut arguments = vec!["--directory".to_owned(), DIRECTORY.to_owned()];
    let mounted = secret.as_ref().map(|_| credential.as_str());
    arguments.extend(setup.worker.arguments(mounted));
    let mut resources = json!({"requests": {"cpu": setup.worker.slots.to_string()}});
    if *gpus > 0 {
        resources["limits"] = json!({"nvidia.com/gpu": gpus.to_string()});
    }
    let mut mounts = vec![json!({"name": "directory", "mountPath": DIRECTORY})];
    let mut volumes = vec![json!({"name": "directory", "emptyDir": {}})];
    if let Some(secret) = secret {
        mounts.push(json!({"name": "credential", "mountPath": CREDENTIALS, "readOnly": true}));
        volumes.push(json!({
            "name": "credential",
            // Root's, readable by the group that `fsGroup` gives to the pod.
            "secret": {"secretName": secret, "defaultMode": 0o440},
        }));
    }
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": NOTICE_SECONDS,
        // What a namespace with the `restricted` pod security standard asks for.
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "worker",
            "image": image,
            "command": [setup.worker.program],
            "args": arguments,
            "resources": resources,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    });
    if let Some((key, value)) = spot.as_deref().and_then(|spot| spot.split_once('=')) {
        pod["nodeSelector"] = json!({key: value});
        pod["tolerations"] = json!([
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"},
        ]);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app.kubernetes.io/instance": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}

#[derive(Debug, Deserialize)]
struct Deployment {
    spec: DeploymentSpec,
}

#[derive(Debug, Deserialize)]
struct DeploymentSpec {
    replicas: u32,
}

#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: PodMetadata,
    #[serde(default)]
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMetadata {
    name: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    start_time: Option<String>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(default)]
    message: String,
}

fn read<T: for<'a> Deserialize<'a>>(answer: &str) -> Result<T, EngineError> {
    serde_json::from_str(answer).map_err(|_| EngineError::Answer {
        program: "kubectl",
        answer: answer.chars().take(500).collect(),
        expected: "the JSON of what was asked for",
    })
}

/// The pods, and an entry for each pod that the deployment has not made yet.
fn members(replicas: u32, pods: Vec<Pod>, name: &str) -> Vec<Member> {
    let mut members: Vec<_> = pods.into_iter().filter_map(member).collect();
    let lasting = |member: &&Member| member.state != MemberState::Leaving;
    let there = members.iter().filter(lasting).count() as u32;
    members.extend((there..replicas).map(|number| Member {
        id: format!("{name}/{number}"),
        state: MemberState::Requested,
        place: String::new(),
        note: "not made yet".to_owned(),
        run: std::time::Duration::ZERO,
    }));
    members
}

/// Whether this is the name of a pod that is not made yet: no pod's has a slash.
fn is_awaited(id: &str) -> bool {
    id.contains('/')
}

/// A pod as a worker; `None` if it has ended.
fn member(pod: Pod) -> Option<Member> {
    let state = match (pod.metadata.deletion_timestamp, pod.status.phase.as_str()) {
        (_, "Succeeded" | "Failed") => return None,
        (Some(_), _) => MemberState::Leaving,
        (None, "Pending") => MemberState::Queued,
        (None, _) => MemberState::Up,
    };
    let waits = state == MemberState::Queued;
    let note = pod.status.conditions.into_iter().map(|one| one.message);
    Some(Member {
        id: pod.metadata.name,
        state,
        place: pod.spec.node_name,
        note: note
            .filter(|_| waits)
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        run: match (waits, pod.status.start_time) {
            (false, Some(start)) => since(&start).unwrap_or_default(),
            _ => std::time::Duration::ZERO,
        },
    })
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
