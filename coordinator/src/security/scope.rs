//! What each scope may call. Pure: a table, read by the guard of the gRPC
//! services.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything.
    Admin,
    /// Studies: submit, control, read.
    Client,
    /// Studies: read.
    Viewer,
    /// Take tasks and report results.
    Worker,
}

use Scope::{Admin, Client, Viewer, Worker};

/// Every method with those who may call it. A method that is not here may be
/// called by nobody; a test compares the table with the schema.
const TABLE: &[(&str, &[Scope])] = &[
    ("/reprise.v1.WorkerService/Session", &[Admin, Worker]),
    ("/reprise.v1.StudyService/Submit", ACT),
    ("/reprise.v1.StudyService/Control", ACT),
    ("/reprise.v1.StudyService/Delete", ACT),
    ("/reprise.v1.StudyService/List", READ),
    ("/reprise.v1.StudyService/Status", READ),
    ("/reprise.v1.StudyService/Spec", READ),
    ("/reprise.v1.StudyService/Watch", READ),
    ("/reprise.v1.StudyService/Results", READ),
    ("/reprise.v1.StudyService/Archive", READ),
    ("/reprise.v1.StudyService/Unarchive", ACT),
    ("/reprise.v1.TaskService/Retry", ACT),
    ("/reprise.v1.TaskService/Invalidate", ACT),
    ("/reprise.v1.TaskService/List", READ),
    ("/reprise.v1.TaskService/Get", READ),
    ("/reprise.v1.TaskService/Logs", READ),
    ("/reprise.v1.OperationService/Drain", &[Admin]),
    ("/reprise.v1.OperationService/Workers", READ),
    ("/reprise.v1.OperationService/Events", READ),
    ("/reprise.v1.ArtifactService/Put", &[Admin, Client, Worker]),
    ("/reprise.v1.ArtifactService/Get", ALL),
    ("/reprise.v1.ArtifactService/Has", ALL),
    ("/reprise.v1.ArtifactService/CollectGarbage", &[Admin]),
    ("/grpc.health.v1.Health/Check", ALL),
    ("/grpc.health.v1.Health/List", ALL),
    ("/grpc.health.v1.Health/Watch", ALL),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        READ,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        READ,
    ),
];

/// Whoever reads studies.
const READ: &[Scope] = &[Admin, Client, Viewer];

/// Whoever acts on studies; the core asks whose they are.
const ACT: &[Scope] = &[Admin, Client];

/// Whoever has a credential.
const ALL: &[Scope] = &[Admin, Client, Viewer, Worker];

impl Scope {
    /// Whether a holder may call the gRPC method `path`.
    pub fn may_call(self, path: &str) -> bool {
        let row = TABLE.iter().find(|(method, _)| *method == path);
        row.is_some_and(|(_, scopes)| scopes.contains(&self))
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Client => "client",
            Self::Viewer => "viewer",
            Self::Worker => "worker",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Text that names no scope.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a scope: expected `admin`, `client`, `viewer` or `worker`")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        [Admin, Client, Viewer, Worker]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| ScopeError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every method of the schema, as a request names it.
    fn methods() -> Vec<String> {
        let schema = [
            include_str!("../../../proto/schema/reprise/v1/worker.proto"),
            include_str!("../../../proto/schema/reprise/v1/study.proto"),
            include_str!("../../../proto/schema/reprise/v1/artifact.proto"),
            include_str!("../../../proto/schema/reprise/v1/task.proto"),
            include_str!("../../../proto/schema/reprise/v1/operation.proto"),
        ];
        let mut methods = Vec::new();
        for text in schema {
            let mut service = "";
            for line in text.lines() {
                let mut words = line.split([' ', '(']).filter(|word| !word.is_empty());
                match (words.next(), words.next()) {
                    (Some("service"), Some(name)) => service = name,
                    (Some("rpc"), Some(name)) => {
                        methods.push(format!("/reprise.v1.{service}/{name}"));
                    }
                    _ => {}
                }
            }
        }
        methods
    }

    #[test]
    fn the_table_is_the_schema() {
        let ours = TABLE.iter().map(|(method, _)| (*method).to_owned());
        let mut table: Vec<_> = ours
            .filter(|method| method.starts_with("/reprise."))
            .collect();
        let mut schema = methods();
        table.sort();
        schema.sort();
        assert_eq!(table, schema);
    }

    #[test]
    fn a_larger_scope_may_do_what_a_smaller_one_may() {
        for method in methods() {
            assert!(Admin.may_call(&method), "{method}");
            assert!(
                Client.may_call(&method) || !Viewer.may_call(&method),
                "{method}"
            );
        }
    }

    #[test]
    fn viewers_change_nothing_and_workers_see_no_studies() {
        let allowed = |scope: Scope| {
            let allowed = methods().into_iter().filter(|path| scope.may_call(path));
            let mut names: Vec<_> = allowed
                .filter_map(|path| path.strip_prefix("/reprise.v1.").map(str::to_owned))
                .collect();
            names.sort();
            names
        };
        assert_eq!(
            allowed(Viewer),
            [
                "ArtifactService/Get",
                "ArtifactService/Has",
                "OperationService/Events",
                "OperationService/Workers",
                "StudyService/Archive",
                "StudyService/List",
                "StudyService/Results",
                "StudyService/Spec",
                "StudyService/Status",
                "StudyService/Watch",
                "TaskService/Get",
                "TaskService/List",
                "TaskService/Logs",
            ]
        );
        assert_eq!(
            allowed(Worker),
            [
                "ArtifactService/Get",
                "ArtifactService/Has",
                "ArtifactService/Put",
                "WorkerService/Session",
            ]
        );
        assert!(!Client.may_call("/reprise.v1.WorkerService/Session"));
        assert!(!Client.may_call("/reprise.v1.OperationService/Drain"));
        for scope in [Admin, Client, Viewer, Worker] {
            assert!(scope.may_call("/grpc.health.v1.Health/Check"), "{scope}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_forbidden_to_all() {
        for path in ["", "/", "/reprise.v1.StudyService/Drop", "/grpc.health"] {
            assert!(!Admin.may_call(path), "`{path}`");
        }
    }

    #[test]
    fn names_come_back() {
        for scope in [Admin, Client, Viewer, Worker] {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
        }
        assert!("root".parse::<Scope>().is_err());
    }
}
