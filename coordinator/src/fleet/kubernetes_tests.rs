//! Tests of the Kubernetes engine: its manifest, and its commands against a program
//! that answers as `kubectl` does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use reprise_skip::{Lack, skip};

use super::*;
use crate::fleet::setup::WorkerCommand;

/// Answers from files beside it, and notes how it was called.
const KUBECTL: &str = "#!/bin/sh
here=$(dirname \"$0\")
echo \"$*\" >>\"$here/calls\"
case \"$1 $2\" in
'get deployment') cat \"$here/deployment\" ;;
'get pods') cat \"$here/pods\" ;;
'apply --filename=-') cat >\"$here/applied\" ;;
esac
";

const PODS: &str = r#"{"items": [
  {"metadata": {"name": "reprise-lab-1"}, "spec": {"nodeName": "n1"},
   "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}},
  {"metadata": {"name": "reprise-lab-2"}, "spec": {},
   "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "message": "no GPU"}]}},
  {"metadata": {"name": "reprise-lab-3", "deletionTimestamp": "2026-01-01T00:00:00Z"},
   "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}},
  {"metadata": {"name": "reprise-lab-4"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Failed"}}
]}"#;

fn setup() -> Setup {
    Setup {
        name: "lab".to_owned(),
        on: EngineSetup::Kubernetes {
            image: "registry.example/reprise-worker:1".to_owned(),
            gpus: 1,
            spot: Some("cloud.google.com/gke-spot=true".to_owned()),
            secret: Some("reprise-worker".to_owned()),
            extra: vec!["--namespace=lab".to_owned()],
        },
        worker: WorkerCommand {
            program: "reprise-worker".to_owned(),
            coordinator: "https://reprise.example:7440".to_owned(),
            credential: None,
            slots: 4,
            sha256: None,
        },
        price: None,
    }
}

fn cluster(directory: &Path, deployment: &str) -> std::io::Result<Kubernetes> {
    let path = directory.join("kubectl");
    std::fs::write(&path, KUBECTL)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(directory.join("deployment"), deployment)?;
    std::fs::write(directory.join("pods"), PODS)?;
    Ok(Kubernetes::new(setup(), Programs::of(directory.to_owned())))
}

#[tokio::test]
async fn pods_and_those_to_come_are_the_workers() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cluster(directory.path(), r#"{"spec": {"replicas": 4}}"#).unwrap();
    let members = engine.list().await.unwrap();
    let seen: Vec<_> = members
        .iter()
        .map(|member| (member.id.as_str(), member.state, member.note.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("reprise-lab-1", MemberState::Up, ""),
            ("reprise-lab-2", MemberState::Queued, "no GPU"),
            ("reprise-lab-3", MemberState::Leaving, ""),
            ("reprise-lab/2", MemberState::Requested, "not made yet"),
            ("reprise-lab/3", MemberState::Requested, "not made yet"),
        ]
    );
    assert!(members[0].run > std::time::Duration::from_hours(1));
    assert!(members[1].run.is_zero());
}

#[tokio::test]
async fn it_counts_up_from_what_was_asked_for_and_names_who_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cluster(directory.path(), r#"{"spec": {"replicas": 4}}"#).unwrap();
    engine.grow(2).await.unwrap();
    let applied = std::fs::read_to_string(directory.path().join("applied")).unwrap();
    let applied: Value = serde_json::from_str(&applied).unwrap();
    assert_eq!(applied["spec"]["replicas"], 6);
    let leaving = ["reprise-lab/3", "reprise-lab-2"].map(ToOwned::to_owned);
    engine.shrink(&leaving).await.unwrap();
    engine.down().await.unwrap();
    let calls = std::fs::read_to_string(directory.path().join("calls")).unwrap();
    for call in [
        "annotate --overwrite pods reprise-lab-2 controller.kubernetes.io/pod-deletion-cost=-1000 --namespace=lab\n",
        "scale deployment/reprise-lab --replicas=2 --namespace=lab\n",
        "delete deployment reprise-lab --ignore-not-found --wait=false --namespace=lab\n",
    ] {
        assert!(calls.contains(call), "no {call} in\n{calls}");
    }
}

#[tokio::test]
async fn pods_outlive_their_deployment_and_nonsense_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cluster(directory.path(), "").unwrap();
    let left: Vec<_> = engine.list().await.unwrap();
    let left: Vec<_> = left.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(left, ["reprise-lab-1", "reprise-lab-2", "reprise-lab-3"]);
    std::fs::write(directory.path().join("pods"), r#"{"items": []}"#).unwrap();
    assert_eq!(engine.list().await.unwrap(), []);
    let engine = cluster(directory.path(), "Error").unwrap();
    let said = engine.list().await.unwrap_err().to_string();
    assert!(said.starts_with("`kubectl` answered `Error`"), "{said}");
}

#[test]
fn the_manifest_asks_for_what_a_worker_needs() {
    let manifest = manifest(&setup(), 3);
    let pod = &manifest["spec"]["template"]["spec"];
    assert_eq!(
        pod["nodeSelector"],
        json!({"cloud.google.com/gke-spot": "true"})
    );
    assert_eq!(pod["tolerations"][0]["key"], "cloud.google.com/gke-spot");
    assert_eq!(pod["terminationGracePeriodSeconds"], 60);
    let container = &pod["containers"][0];
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], "1");
    assert_eq!(
        container["args"],
        json!([
            "--directory",
            "/var/lib/reprise",
            "--coordinator",
            "https://reprise.example:7440",
            "--slots",
            "4",
            "--credential",
            "/etc/reprise/worker.pem",
        ])
    );
    let secret = &pod["volumes"][1]["secret"];
    assert_eq!(secret["secretName"], "reprise-worker");
    // Readable by the image's user through its group, and by nobody else.
    assert_eq!(secret["defaultMode"], 0o440);
    assert_eq!(pod["securityContext"]["fsGroup"], 10001);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
}

#[test]
fn the_manifest_fits_the_published_schema() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deployment.json");
    std::fs::write(&path, manifest(&setup(), 3).to_string()).unwrap();
    match Command::new("kubernetes-validate")
        .arg("--strict")
        .arg(&path)
        .output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = "`kubernetes-validate` is missing; pip install kubernetes-validate";
            skip(Lack::Program, reason).unwrap();
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}
