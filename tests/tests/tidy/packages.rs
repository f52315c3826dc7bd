//! What packages depend on: the layout's rules, from Cargo's own resolution, and
//! the purity of those that only decide or compute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::names::{code, names};
use super::{files, offenders, root};

/// Each package with what it must not reach by dependencies of any depth, those of
/// its tests left out.
const FORBIDDEN: [(&str, &[&str]); 14] = [
    (
        "reprise-proto",
        &[
            COORDINATOR,
            WORKER,
            "reprise-core",
            "reprise-stats",
            "reprise-study",
            "reprise-search",
            "reprise-data",
            TORCH,
            "tch",
        ],
    ),
    ("reprise-core", &PURE_FORBIDDEN),
    ("reprise-stats", &PURE_FORBIDDEN),
    ("reprise-study", &PURE_FORBIDDEN),
    ("reprise-search", &PURE_FORBIDDEN),
    (COORDINATOR, &["tch", "torch-sys", TORCH, WORKER]),
    (
        "reprise-data",
        &["tokio", "tonic", "tch", "torch-sys", TORCH],
    ),
    (
        "reprise-child",
        &[
            "tokio",
            "tonic",
            "tch",
            "torch-sys",
            TORCH,
            COORDINATOR,
            WORKER,
        ],
    ),
    (
        "reprise-model",
        &[
            "tokio",
            "tonic",
            "tch",
            "torch-sys",
            TORCH,
            COORDINATOR,
            WORKER,
        ],
    ),
    (TORCH, &["tokio", "tonic", COORDINATOR, WORKER]),
    (
        WORKER,
        &[
            "tch",
            "torch-sys",
            TORCH,
            COORDINATOR,
            "reprise-core",
            "reprise-stats",
            "reprise-study",
        ],
    ),
    ("reprise-tests", &[COORDINATOR, WORKER, TORCH, "tch"]),
    // It starts the programs, and measures the libraries of the worker alone.
    (
        BENCH,
        &[COORDINATOR, WORKER, "reprise-core", "reprise-stats"],
    ),
    (
        "reprise-skip",
        &[COORDINATOR, WORKER, "tokio", "tonic", "tch"],
    ),
];

const PURE_FORBIDDEN: [&str; 6] = [
    "tokio",
    "tonic",
    "prost",
    "tch",
    "torch-sys",
    "reprise-proto",
];

/// Packages that draw from the system's chance. Those of the tree that are pure may not
/// be built with them, although a package that they share with others may be.
const CHANCE: [&str; 2] = ["getrandom", "rand"];

const COORDINATOR: &str = "reprise-coordinator";
const WORKER: &str = "reprise-worker";
const TORCH: &str = "reprise-torch";
const TESTS: &str = "reprise-tests";
const BENCH: &str = "reprise-bench";

/// All that the vocabulary may depend on.
const DOMAIN: [&str; 3] = ["serde", "thiserror", "uuid"];

/// The packages that do no input or output and know neither time nor chance.
const PURE: [&str; 5] = [
    "proto/domain",
    "coordinator/core",
    "coordinator/stats",
    "coordinator/study",
    "worker/search",
];

/// What they may not call, each listed in their `clippy.toml`.
const DISALLOWED: [&str; 21] = [
    "std::env::set_var",
    "std::env::var",
    "std::env::var_os",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::fs::read",
    "std::fs::read_to_string",
    "std::fs::read_dir",
    "std::fs::write",
    "std::fs::copy",
    "std::fs::metadata",
    "std::fs::create_dir",
    "std::fs::create_dir_all",
    "std::fs::remove_file",
    "std::fs::remove_dir",
    "std::fs::remove_dir_all",
    "std::fs::rename",
    "std::fs::OpenOptions::open",
    "std::fs::File::open",
    "std::fs::File::create",
    "std::thread::spawn",
];

/// Parts of the library that they may not name at all outside their tests.
const UNNAMED: [&str; 14] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "OsRng",
    "RandomState",
    "rand",
    "getrandom",
    "new_v4",
    "tokio",
    "tch",
];

/// The packages that a package is built from, tests left out, by name.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
    /// What the manifest of each package of the tree asks for, whatever it calls it
    /// there, with whether only its tests do.
    asked: BTreeMap<String, BTreeSet<(String, ForTests)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ForTests(bool);

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--offline"])
            .current_dir(root())
            .output()
            .unwrap_or_else(|error| panic!("run cargo: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("read cargo's metadata: {error}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages = list(&metadata["packages"]);
        let names = packages
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let own = packages
            .iter()
            .filter(|package| text(&package["id"]).starts_with("path+"));
        let asked = own.map(|package| {
            let asked = list(&package["dependencies"]);
            let asked = asked.iter().map(|dependency| {
                let is_for_tests = dependency["kind"].as_str() == Some("dev");
                (text(&dependency["name"]), ForTests(is_for_tests))
            });
            (text(&package["name"]), asked.collect())
        });
        let asked = asked.collect();
        let edges = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let needed = list(&node["deps"]).into_iter().filter(|dependency| {
                    list(&dependency["dep_kinds"])
                        .iter()
                        .any(|kind| kind["kind"].as_str() != Some("dev"))
                });
                let needed = needed.map(|dependency| text(&dependency["pkg"])).collect();
                (text(&node["id"]), needed)
            })
            .collect();
        Self {
            names,
            edges,
            asked,
        }
    }

    fn id(&self, name: &str) -> &str {
        let mut own = self
            .names
            .iter()
            .filter(|(id, known)| *known == name && id.starts_with("path+"));
        own.next()
            .unwrap_or_else(|| panic!("there is no package `{name}`"))
            .0
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        let direct = self.edges.get(self.id(name)).into_iter().flatten();
        direct
            .filter_map(|id| self.names.get(id).map(String::as_str))
            .collect()
    }

    /// Names of all that `name` is built from.
    fn reached(&self, name: &str) -> BTreeSet<&str> {
        let mut open = vec![self.id(name)];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for next in self.edges.get(id).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen.into_iter()
            .filter_map(|id| self.names.get(id).map(String::as_str))
            .collect()
    }
}

#[test]
fn packages_keep_to_the_layout() {
    let graph = Graph::read();
    let mut wrong = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        let reached = graph.reached(package);
        let found = forbidden.iter().filter(|name| reached.contains(*name));
        wrong.extend(found.map(|name| format!("{package} depends on {name}")));
    }
    let domain = graph.direct("reprise-domain");
    let more = domain.iter().filter(|name| !DOMAIN.contains(name));
    wrong.extend(more.map(|name| format!("reprise-domain depends on {name}")));
    for (package, asked) in &graph.asked {
        let asks = |name: &str, of_tests| asked.contains(&(name.to_owned(), ForTests(of_tests)));
        if package != BENCH && asks(TESTS, false) {
            wrong.push(format!("{package} depends on {TESTS} outside its tests"));
        }
        if asks(BENCH, false) || asks(BENCH, true) {
            wrong.push(format!("{package} depends on {BENCH}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn pure_packages_are_built_without_chance() {
    let mut wrong = Vec::new();
    for place in PURE {
        let package = manifest_name(place);
        // Of this package alone: together with others it gets their features too.
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--edges", "normal"])
            .args(["--prefix", "none", "--package", &package])
            .current_dir(root())
            .output()
            .unwrap_or_else(|error| panic!("run cargo: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let tree = String::from_utf8_lossy(&output.stdout);
        let names: BTreeSet<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(names.contains(package.as_str()), "{tree}");
        let found = CHANCE.iter().filter(|name| names.contains(*name));
        wrong.extend(found.map(|name| format!("{package} is built with {name}")));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn pure_packages_forbid_themselves_the_world() {
    let mut wrong = Vec::new();
    for package in PURE {
        let path = root().join(package).join("clippy.toml");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let missing = DISALLOWED
            .iter()
            .filter(|name| !text.contains(&format!("path = \"{name}\"")));
        wrong.extend(missing.map(|name| format!("{package}/clippy.toml lacks {name}")));
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn pure_packages_name_no_part_of_the_world() {
    let wrong = offenders(".rs", |name, text| {
        let pure = PURE
            .iter()
            .any(|package| name.starts_with(&format!("{package}/src/")));
        pure && !is_test(name) && UNNAMED.iter().any(|word| names(code(text), word))
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn libtorch_is_bound_in_one_package() {
    let graph = Graph::read();
    let users = graph.asked.iter().filter(|(_, asked)| {
        asked
            .iter()
            .any(|(name, _)| ["tch", "torch-sys"].contains(&name.as_str()))
    });
    let users: Vec<_> = users.map(|(package, _)| package.as_str()).collect();
    assert_eq!(users, [TORCH]);
}

/// The command line and the clients talk to a coordinator; only [`instance`] makes one.
///
/// [`instance`]: ../../coordinator/src/instance.rs
#[test]
fn the_command_line_keeps_out_of_the_engine() {
    let outside = ["coordinator/src/cli/", "coordinator/src/client"];
    let wrong = offenders(".rs", |name, text| {
        outside.iter().any(|place| name.starts_with(place)) && names(text, "crate::engine")
    });
    assert_eq!(wrong, [""; 0]);
}

/// Every package is under a rule, so that a new one gets its own.
#[test]
fn every_package_has_its_rule() {
    let known = |name: &str| {
        FORBIDDEN.iter().any(|(package, _)| *package == name) || name == "reprise-domain"
    };
    let mut missing = Vec::new();
    for (name, text) in files("Cargo.toml").unwrap_or_else(|error| panic!("read: {error}")) {
        let package = named_in(&text);
        if let Some(package) = package.filter(|package| !known(package)) {
            missing.push(format!("{name}: {package}"));
        }
    }
    assert_eq!(missing, [""; 0]);
}

/// The name of the package in a directory of the tree.
fn manifest_name(place: &str) -> String {
    let text = std::fs::read_to_string(root().join(place).join("Cargo.toml"));
    let text = text.unwrap_or_else(|error| panic!("read the manifest of {place}: {error}"));
    let name = named_in(&text).unwrap_or_else(|| panic!("{place} is no package"));
    name.to_owned()
}

fn named_in(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines();
    lines.find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

fn is_test(name: &str) -> bool {
    let file = Path::new(name).file_name().and_then(|file| file.to_str());
    file.is_some_and(|file| file == "tests.rs" || file.ends_with("_tests.rs"))
}
