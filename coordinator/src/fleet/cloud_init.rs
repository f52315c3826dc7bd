//! The user data of a fresh cloud machine: it fetches the worker and its credential
//! with the machine's own service account, and keeps the worker running under systemd.

use serde_json::json;

use super::setup::WorkerCommand;

/// Fetches the bundle and the credential. No secret is in the machine's metadata,
/// and no token on a command line.
pub(super) const FETCH: &str = include_str!("fetch.sh");

/// Where the worker's files are on the machine.
const ROOT: &str = "/opt/reprise";

/// Where `deploy/vm/install.sh` puts libtorch on an image.
const LIBTORCH: &str = "/usr/local/lib/reprise/torch/lib";

/// Where [`FETCH`] puts the credential, for root alone.
const CREDENTIAL: &str = "/opt/reprise/credential.pem";

/// Where systemd shows it to the worker alone; `%d` is the unit's own directory.
const SHOWN_CREDENTIAL: &str = "\"%d/credential.pem\"";

/// The user that the worker runs as.
const USER: &str = "reprise-worker";

/// Seconds that the worker has to leave. A spot machine is switched off 30 s after
/// its notice.
const NOTICE_SECONDS: u32 = 25;

/// The machine's user data. The worker's program is a path on the machine's image,
/// or `gs://BUCKET/FILE.tar.gz`, an archive with `reprise-worker` at its top and, for
/// what needs libtorch, `reprise-torch` beside it and the libraries in `lib`. It is
/// unpacked only if it has the digest that the fleet was given.
pub(super) fn user_data(
    worker: &WorkerCommand,
    secret: Option<&str>,
) -> Result<String, serde_yaml::Error> {
    let bundle = worker.program.starts_with("gs://");
    let program = if bundle {
        format!("{ROOT}/bundle/reprise-worker")
    } else {
        worker.program.clone()
    };
    let mut runs = Vec::new();
    if bundle {
        let digest = worker.sha256.as_deref().unwrap_or_default();
        runs.push(json!([
            "/opt/reprise/fetch",
            "bundle",
            worker.program,
            digest
        ]));
    }
    if let Some(secret) = secret {
        runs.push(json!(["/opt/reprise/fetch", "secret", secret]));
    }
    runs.push(json!(["systemctl", "daemon-reload"]));
    runs.push(json!([
        "systemctl",
        "enable",
        "--now",
        "reprise-worker.service"
    ]));
    let data = json!({
        "users": [
            "default",
            {"name": USER, "system": true, "shell": "/usr/sbin/nologin", "lock_passwd": true},
        ],
        "write_files": [
            {"path": "/opt/reprise/fetch", "permissions": "0755", "content": FETCH},
            {
                "path": "/etc/systemd/system/reprise-worker.service",
                "permissions": "0644",
                "content": unit(&program, worker, secret.is_some()),
            },
        ],
        "runcmd": runs,
    });
    Ok(format!("#cloud-config\n{}", serde_yaml::to_string(&data)?))
}

fn unit(program: &str, worker: &WorkerCommand, has_credential: bool) -> String {
    let mut command = vec![
        program.to_owned(),
        "--directory".to_owned(),
        "/var/lib/reprise".to_owned(),
    ];
    command.extend(worker.arguments(None));
    let mut command: Vec<_> = command.iter().map(|word| quote(word)).collect();
    let mut load = String::new();
    if has_credential {
        command.push(format!("\"--credential\" {SHOWN_CREDENTIAL}"));
        load = format!("LoadCredential=credential.pem:{CREDENTIAL}\n");
    }
    format!(
        "[Unit]
Description=Reprise worker
Wants=network-online.target
After=network-online.target

[Service]
User={USER}
{load}Environment=LD_LIBRARY_PATH={ROOT}/bundle/lib:{LIBTORCH}
ExecStart={}
StateDirectory=reprise
StateDirectoryMode=0700
Restart=always
RestartSec=5
TimeoutStopSec={NOTICE_SECONDS}
KillMode=mixed
OOMPolicy=continue
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
UMask=0077

[Install]
WantedBy=multi-user.target
",
        command.join(" ")
    )
}

/// A word of a systemd command line.
fn quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Output};

    use reprise_skip::{Lack, skip};

    use super::*;

    fn worker() -> WorkerCommand {
        WorkerCommand {
            program: "gs://lab/worker.tar.gz".to_owned(),
            coordinator: "https://reprise.example:7440".to_owned(),
            credential: None,
            slots: 2,
            sha256: Some("ab".repeat(32)),
        }
    }

    /// Runs a checker on `text`, or says that it is missing.
    fn checked(
        program: &str,
        arguments: &[&str],
        text: &str,
        lack: Lack,
    ) -> std::io::Result<Option<Output>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("checked");
        std::fs::write(&path, text)?;
        match Command::new(program).args(arguments).arg(&path).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let reason = format!("`{program}` is missing; apt-get install {program}");
                skip(lack, &reason)?;
                Ok(None)
            }
            output => output.map(Some),
        }
    }

    #[test]
    fn a_machine_fetches_its_worker_and_keeps_it_running() {
        let data = user_data(&worker(), Some("reprise-worker")).unwrap();
        for part in [
            "#cloud-config\n",
            "gs://lab/worker.tar.gz",
            "\"/opt/reprise/bundle/reprise-worker\" \"--directory\" \"/var/lib/reprise\"",
            &"ab".repeat(32),
            "\"--credential\" \"%d/credential.pem\"",
            "LoadCredential=credential.pem:/opt/reprise/credential.pem",
            "User=reprise-worker",
            "name: reprise-worker",
            "Restart=always",
        ] {
            assert!(data.contains(part), "no {part} in\n{data}");
        }
        assert_eq!(quote("a \"b\" %c $d"), "\"a \\\"b\\\" %%c $$d\"");
    }

    /// Runs the script's part that unpacks an archive, with the functions that
    /// fetch and unpack taken from it.
    fn unpack(directory: &std::path::Path, digest: &str) -> std::io::Result<Output> {
        let script = FETCH.replace("/opt/reprise", &directory.display().to_string());
        let functions = script.split("case $1 in").next().unwrap_or_default();
        let text = format!(
            "{functions}get() {{ cat '{0}/source.tar.gz'; }}\nfetch_bundle gs://lab/a {digest}\n",
            directory.display()
        );
        Command::new("sh").args(["-c", &text]).output()
    }

    #[test]
    fn an_archive_is_unpacked_only_if_it_is_the_one_that_was_named() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("reprise-worker"), "#!/bin/sh\n").unwrap();
        let made = Command::new("tar")
            .args(["-czf", "source.tar.gz", "reprise-worker"])
            .current_dir(root)
            .status()
            .unwrap();
        assert!(made.success());
        let sum = Command::new("sha256sum")
            .arg(root.join("source.tar.gz"))
            .output()
            .unwrap();
        let digest = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
        let unpacked = root.join("bundle/reprise-worker");

        let refused = unpack(root, &"ab".repeat(32)).unwrap();
        assert!(!refused.status.success() && !unpacked.exists());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("has the SHA-256"), "{said}");
        let taken = unpack(root, &digest).unwrap();
        assert!(taken.status.success() && unpacked.exists(), "{taken:?}");
        // Others than root run it.
        let mode = std::fs::metadata(root.join("bundle")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o005, 0o005);
    }

    #[test]
    fn its_user_data_fits_the_schema() {
        let data = user_data(&worker(), Some("reprise-worker")).unwrap();
        // It would take over a machine on which it is installed.
        let arguments = ["schema", "--config-file"];
        if let Some(output) = checked("cloud-init", &arguments, &data, Lack::Elsewhere).unwrap() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && said.contains("Valid"),
                "{output:?}"
            );
        }
    }

    #[test]
    fn its_script_is_sound() {
        if let Some(output) = checked("shellcheck", &[], FETCH, Lack::Program).unwrap() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{said}");
        }
    }
}
