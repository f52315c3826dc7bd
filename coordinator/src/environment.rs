//! Which environment variables the programs that this one starts are given.
//!
//! The environment of a coordinator holds secrets: the database's password, the
//! object store's keys, a person's credential. A child needs none of them.

use std::ffi::OsStr;

/// Prefixes of variables that hold secrets, or say where they are.
const SECRET_PREFIXES: [&str; 6] = ["AWS_", "AZURE_", "GCS_", "GOOGLE_", "MINIO_", "PG"];

/// Parts of the names of variables that hold secrets.
const SECRET_PARTS: [&str; 6] = [
    "CREDENTIAL",
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "API_KEY",
];

/// What a batch job may need of the environment in which it is submitted.
const JOB_NAMES: [&str; 17] = [
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "REPRISE_LOG",
    "REPRISE_TORCH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
];

/// Prefixes of the same: Slurm's own settings, and those of the libraries that a
/// worker loads.
const JOB_PREFIXES: [&str; 8] = [
    "CUDA_", "LC_", "MKL_", "NVIDIA_", "OMP_", "SBATCH_", "SLURM_", "TORCH_",
];

/// Whether a variable is kept from every child: it holds a secret of this
/// program, or says where one is.
pub(crate) fn is_secret(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name == "REPRISE_DATABASE"
        || SECRET_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Whether a variable may go with a batch job to other machines, where others may
/// read it.
pub(crate) fn goes_with_a_job(name: &OsStr) -> bool {
    let upper = name.to_string_lossy().to_ascii_uppercase();
    let wanted = JOB_NAMES.contains(&upper.as_str())
        || JOB_PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    wanted && !is_secret(name)
}

/// Names of this process's variables that are `kept_back`.
pub(crate) fn names(
    kept_back: impl Fn(&OsStr) -> bool,
) -> impl Iterator<Item = std::ffi::OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(move |name| kept_back(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_here_and_settings_go_with_a_job() {
        for (name, secret, job) in [
            ("PGPASSWORD", true, false),
            ("PGPASSFILE", true, false),
            ("AWS_SECRET_ACCESS_KEY", true, false),
            ("AWS_ACCESS_KEY_ID", true, false),
            ("GOOGLE_APPLICATION_CREDENTIALS", true, false),
            ("REPRISE_CREDENTIAL", true, false),
            ("REPRISE_DATABASE", true, false),
            ("HF_TOKEN", true, false),
            ("my_password", true, false),
            ("SLURM_CONF", false, true),
            ("SBATCH_PARTITION", false, true),
            ("LD_LIBRARY_PATH", false, true),
            ("CUDA_VISIBLE_DEVICES", false, true),
            ("PATH", false, true),
            ("https_proxy", false, true),
            ("EDITOR", false, false),
        ] {
            let name = OsStr::new(name);
            assert_eq!(
                (is_secret(name), goes_with_a_job(name)),
                (secret, job),
                "{name:?}"
            );
        }
    }
}
