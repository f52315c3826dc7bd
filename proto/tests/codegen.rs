//! The committed bindings and descriptors are what the schema generates. A normal build runs no
//! build script and needs no `protoc`; this test rewrites a stale file and fails.

use std::fs;
use std::path::Path;

use prost::Message as _;

#[test]
fn bindings_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = root.join("schema");
    let files = ["worker", "artifact", "study", "task", "operation"]
        .map(|name| format!("reprise/v1/{name}.proto"));
    let descriptors = protox::compile(files, [&schema]).expect("the schema compiles");
    let described = descriptors.encode_to_vec();
    let out = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute("reprise.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("reprise.v1", "#[cfg(feature = \"server\")]")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("the bindings generate");
    let generated =
        fs::read_to_string(out.path().join("reprise.v1.rs")).expect("generated bindings");
    let current = [
        ("src/gen/reprise.v1.rs", generated.into_bytes()),
        // What server reflection tells.
        ("src/gen/reprise.v1.bin", described),
    ];
    let mut stale = Vec::new();
    for (name, content) in current {
        let committed = root.join(name);
        if fs::read(&committed).unwrap_or_default() != content {
            fs::write(&committed, content).expect("bindings are writable");
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} were stale and have been rewritten; commit them"
    );
}
