//! What a fresh cloud machine does: fetch the worker and its credential with its
//! own service account, and keep the worker running under systemd.

use serde_json::json;

use super::setup::WorkerCommand;

/// Fetches the bundle and the credential. No secret is in the machine's metadata,
/// and no token on a command line.
pub(super) const FETCH: &str = include_str!("fetch.sh");

/// Where the worker's files are on the machine.
const ROOT: &str = "/opt/reprise";

/// Where [`FETCH`] puts the credential.
const CREDENTIAL: &str = "/opt/reprise/credential.pem";

/// Seconds that the worker has to leave. A spot machine is switched off 30 s after
/// its notice.
const NOTICE_SECONDS: u32 = 25;

/// The machine's user data. The worker's program is a path on the machine's image,
/// or `gs://BUCKET/FILE.tar.gz`, an archive with `reprise-worker` at its top.
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
        runs.push(json!(["/opt/reprise/fetch", "bundle", worker.program]));
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
        "write_files": [
            {"path": "/opt/reprise/fetch", "permissions": "0755", "content": FETCH},
            {
                "path": "/etc/systemd/system/reprise-worker.service",
                "permissions": "0644",
                "content": unit(&program, worker, secret.map(|_| CREDENTIAL)),
            },
        ],
        "runcmd": runs,
    });
    Ok(format!("#cloud-config\n{}", serde_yaml::to_string(&data)?))
}

fn unit(program: &str, worker: &WorkerCommand, credential: Option<&str>) -> String {
    let mut command = vec![
        program.to_owned(),
        "--directory".to_owned(),
        "/var/lib/reprise".to_owned(),
    ];
    command.extend(worker.arguments(credential));
    let command: Vec<_> = command.iter().map(|word| quote(word)).collect();
    format!(
        "[Unit]
Description=Reprise worker
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={}
StateDirectory=reprise
Restart=always
RestartSec=5
TimeoutStopSec={NOTICE_SECONDS}

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
    use std::io::Write as _;
    use std::process::{Command, Output};

    use super::*;

    fn worker() -> WorkerCommand {
        WorkerCommand {
            program: "gs://lab/worker.tar.gz".to_owned(),
            coordinator: "https://reprise.example:7440".to_owned(),
            credential: None,
            slots: 2,
        }
    }

    /// Runs a checker on `text`, or says that it is missing.
    fn checked(program: &str, arguments: &[&str], text: &str) -> std::io::Result<Option<Output>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("checked");
        std::fs::write(&path, text)?;
        match Command::new(program).args(arguments).arg(&path).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Straight to the terminal: what tests print is shown for failures only.
                let mut terminal = std::io::stderr();
                writeln!(
                    terminal,
                    "not run: `{program}` is missing; apt-get install {program}"
                )?;
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
            "\"--credential\" \"/opt/reprise/credential.pem\"",
            "Restart=always",
        ] {
            assert!(data.contains(part), "no {part} in\n{data}");
        }
        assert_eq!(quote("a \"b\" %c $d"), "\"a \\\"b\\\" %%c $$d\"");
    }

    #[test]
    fn its_user_data_fits_the_schema() {
        let data = user_data(&worker(), Some("reprise-worker")).unwrap();
        if let Some(output) = checked("cloud-init", &["schema", "--config-file"], &data).unwrap() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success() && said.contains("Valid"),
                "{output:?}"
            );
        }
    }

    #[test]
    fn its_script_is_sound() {
        if let Some(output) = checked("shellcheck", &[], FETCH).unwrap() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{said}");
        }
    }
}
