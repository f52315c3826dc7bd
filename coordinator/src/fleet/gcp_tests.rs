//! Tests of the Google Cloud engine against a program that answers as `gcloud`
//! does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::fleet::setup::WorkerCommand;

/// Answers from files beside it, and notes how it was called.
const GCLOUD: &str = "#!/bin/sh
here=$(dirname \"$0\")
echo \"$*\" >>\"$here/calls\"
case \"$*\" in
*'instance-groups managed list'*) cat \"$here/groups\" ;;
*'instance-templates list'*) cat \"$here/templates\" ;;
*'instances list'*) cat \"$here/machines\" ;;
esac
";

const MACHINES: &str = r#"[
  {"name": "reprise-lab-a", "status": "RUNNING", "zone": "https://x/zones/us-central1-a",
   "lastStartTimestamp": "2026-01-01T00:00:00.000-08:00"},
  {"name": "reprise-lab-b", "status": "TERMINATED", "zone": "https://x/zones/us-central1-a",
   "lastStartTimestamp": "2026-01-01T00:00:00.000-08:00"},
  {"name": "reprise-lab-c", "status": "STOPPING", "zone": "https://x/zones/us-central1-a",
   "lastStartTimestamp": "2026-01-01T00:00:00.000-08:00"}
]"#;

fn cloud(directory: &Path, groups: &str, machines: &str) -> std::io::Result<Gcp> {
    let path = directory.join("gcloud");
    std::fs::write(&path, GCLOUD)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(directory.join("groups"), groups)?;
    std::fs::write(directory.join("templates"), "[]")?;
    std::fs::write(directory.join("machines"), machines)?;
    let setup = Setup {
        name: "lab".to_owned(),
        on: EngineSetup::Gcp {
            project: Some("thesis".to_owned()),
            zone: "us-central1-a".to_owned(),
            machine: "g2-standard-4".to_owned(),
            secret: None,
            extra: vec!["--maintenance-policy=TERMINATE".to_owned()],
        },
        worker: WorkerCommand {
            program: "gs://thesis/worker.tar.gz".to_owned(),
            coordinator: "https://reprise.example:7440".to_owned(),
            credential: None,
            slots: 4,
            sha256: Some("ab".repeat(32)),
        },
        price: None,
    };
    let programs = Programs::of(directory.to_owned());
    Ok(Gcp::new(setup, directory.join("fleet"), programs))
}

fn calls(directory: &Path) -> std::io::Result<Vec<String>> {
    let calls = std::fs::read_to_string(directory.join("calls"))?;
    Ok(calls
        .lines()
        .filter(|call| !call.contains(" list "))
        .map(ToOwned::to_owned)
        .collect())
}

#[tokio::test]
async fn machines_and_those_to_come_are_the_workers() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cloud(directory.path(), r#"[{"targetSize": 3}]"#, MACHINES).unwrap();
    let members = engine.list().await.unwrap();
    let seen: Vec<_> = members
        .iter()
        .map(|member| (member.id.as_str(), member.state, member.note.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("reprise-lab-a", MemberState::Up, ""),
            ("reprise-lab-b", MemberState::Queued, "terminated"),
            ("reprise-lab-c", MemberState::Leaving, ""),
            ("reprise-lab/2", MemberState::Requested, "not made yet"),
        ]
    );
    assert_eq!(members[0].place, "us-central1-a");
    assert!(members[0].run > Duration::from_hours(1) && members[1].run.is_zero());

    // Machines that still leave are listed when their group is gone.
    let engine = cloud(directory.path(), "[]", MACHINES).unwrap();
    assert_eq!(engine.list().await.unwrap().len(), 3);
    let engine = cloud(directory.path(), "[]", "[]").unwrap();
    assert_eq!(engine.list().await.unwrap(), []);
    let odd = r#"[{"name": "a", "status": "DANCING"}]"#;
    let engine = cloud(directory.path(), r#"[{"targetSize": 3}]"#, odd).unwrap();
    let said = engine.list().await.unwrap_err().to_string();
    assert_eq!(
        said,
        "`gcloud` answered `DANCING`, which is not the status of a machine"
    );
}

#[tokio::test]
async fn the_first_workers_bring_their_template_and_group() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cloud(directory.path(), "[]", "[]").unwrap();
    engine.grow(2).await.unwrap();
    let calls = calls(directory.path()).unwrap();
    let data = directory.path().join("fleet/user-data");
    let template = template_of(&calls[0]);
    assert_eq!(
        calls[0],
        format!(
            "compute instance-templates create {template} \
             --metadata-from-file=user-data={} --provisioning-model=SPOT \
             --machine-type=g2-standard-4 --labels=reprise-fleet=lab \
             --image-family=ubuntu-2404-lts-amd64 --image-project=ubuntu-os-cloud \
             --boot-disk-size=30GB --scopes=cloud-platform \
             --maintenance-policy=TERMINATE --project=thesis --quiet",
            data.display()
        )
    );
    assert_eq!(
        calls[1],
        format!(
            "compute instance-groups managed create reprise-lab --zone=us-central1-a --size=2 \
             --template={template} --project=thesis --quiet"
        )
    );
    assert!(
        std::fs::read_to_string(data)
            .unwrap()
            .starts_with("#cloud-config\n")
    );
}

/// The template that a call makes.
fn template_of(call: &str) -> String {
    let mut words = call.split(' ').skip_while(|word| *word != "create");
    words.nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn other_settings_get_another_template_and_the_group_takes_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = cloud(directory.path(), "[]", "[]").unwrap();
    engine.grow(1).await.unwrap();
    let first = template_of(&calls(directory.path()).unwrap()[0]);
    assert_eq!(first.len(), "reprise-lab-".len() + 8, "{first}");
    let group = format!(
        r#"[{{"targetSize": 1, "instanceTemplate": "https://x/instanceTemplates/{first}"}}]"#
    );
    std::fs::write(directory.path().join("groups"), group).unwrap();
    let known = format!(r#"[{{"name": "{first}"}}]"#);
    std::fs::write(directory.path().join("templates"), known).unwrap();
    let resize = "compute instance-groups managed resize reprise-lab --zone=us-central1-a";

    // The same settings need nothing new.
    std::fs::remove_file(directory.path().join("calls")).unwrap();
    engine.grow(1).await.unwrap();
    let told = calls(directory.path()).unwrap();
    assert_eq!(
        told,
        [format!("{resize} --size=2 --project=thesis --quiet")]
    );

    let EngineSetup::Gcp { machine, .. } = &mut engine.setup.on else {
        unreachable!("the fleet is on Google Cloud");
    };
    "g2-standard-8".clone_into(machine);
    std::fs::remove_file(directory.path().join("calls")).unwrap();
    engine.grow(1).await.unwrap();
    let told = calls(directory.path()).unwrap();
    let second = template_of(&told[0]);
    assert_ne!(first, second);
    assert!(told[0].contains("--machine-type=g2-standard-8"), "{told:?}");
    assert_eq!(
        told[1],
        format!(
            "compute instance-groups managed set-instance-template reprise-lab \
             --zone=us-central1-a --template={second} --project=thesis --quiet"
        )
    );
    assert_eq!(
        told[2],
        format!("{resize} --size=2 --project=thesis --quiet")
    );
}

#[tokio::test]
async fn settings_of_the_user_stand_in_place_of_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = cloud(directory.path(), "[]", "[]").unwrap();
    let EngineSetup::Gcp { extra, .. } = &mut engine.setup.on else {
        unreachable!("the fleet is on Google Cloud");
    };
    *extra = ["--image=reprise-worker-image", "--boot-disk-size=50GB"]
        .map(ToOwned::to_owned)
        .to_vec();
    let settings = engine.settings();
    let starting = |start: &str| settings.iter().filter(|one| one.starts_with(start)).count();
    assert_eq!(
        (starting("--image"), starting("--boot-disk-size")),
        (1, 1),
        "{settings:?}"
    );
}

#[tokio::test]
async fn the_group_is_resized_thinned_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let engine = cloud(directory.path(), r#"[{"targetSize": 3}]"#, "[]").unwrap();
    let leaving = ["reprise-lab/3", "reprise-lab-b"].map(ToOwned::to_owned);
    engine.shrink(&leaving).await.unwrap();
    let known = r#"[{"name": "reprise-lab"}, {"name": "reprise-lab-0123abcd"}]"#;
    std::fs::write(directory.path().join("templates"), known).unwrap();
    engine.down().await.unwrap();
    let group = |verb: &str, what: &str| {
        format!(
            "compute instance-groups managed {verb} reprise-lab --zone=us-central1-a{what} --project=thesis --quiet"
        )
    };
    assert_eq!(
        calls(directory.path()).unwrap(),
        [
            group("delete-instances", " --instances=reprise-lab-b"),
            group("resize", " --size=2"),
            group("delete", ""),
            "compute instance-templates delete reprise-lab reprise-lab-0123abcd --project=thesis --quiet".to_owned(),
        ]
    );
}
