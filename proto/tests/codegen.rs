//! The committed bindings are what the schema generates. A normal build runs no
//! build script and needs no `protoc`; this test rewrites a stale file and fails.

use std::fs;
use std::path::Path;

#[test]
fn bindings_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = root.join("schema");
    let files = ["worker", "artifact", "study"].map(|name| format!("reprise/v1/{name}.proto"));
    let descriptors = protox::compile(files, [&schema]).expect("the schema compiles");
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
    let committed = root.join("src/gen/reprise.v1.rs");
    if fs::read_to_string(&committed).unwrap_or_default() != generated {
        fs::write(&committed, generated).expect("bindings are writable");
        panic!("src/gen/reprise.v1.rs was stale and has been rewritten; commit it");
    }
}
