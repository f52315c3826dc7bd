//! Lets this package's program and tests find libtorch at run time, without an
//! environment variable to export, and tells the package which version it is built
//! against. Finding libtorch at link time is `torch-sys`'s part.

use std::path::{Path, PathBuf};

/// Where libtorch's headers say their version.
const VERSION_HEADERS: [&str; 2] = [
    "include/torch/headeronly/version.h",
    "include/torch/csrc/api/include/torch/version.h",
];

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let home = std::env::var_os("LIBTORCH").map(PathBuf::from);
    let version = home.as_deref().and_then(version);
    let version = version.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=REPRISE_LIBTORCH_VERSION={version}");
    let Some(home) = home else {
        return;
    };
    let lib = home.join("lib");
    // The link in the checkout may move; a binary keeps the library it was built with.
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    // Nothing is called in this one, but the CUDA libtorch's names the parts that
    // compute on graphics cards, and the loader brings them in with it.
    println!("cargo::rustc-link-arg-bins=-Wl,--push-state,--no-as-needed,-ltorch,--pop-state");
}

fn version(home: &Path) -> Option<String> {
    VERSION_HEADERS.iter().find_map(|header| {
        let header = home.join(header);
        let text = std::fs::read_to_string(&header).ok()?;
        println!("cargo::rerun-if-changed={}", header.display());
        let number = |part: &str| {
            let name = format!("TORCH_VERSION_{part}");
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let is_it = words.next() == Some("#define") && words.next() == Some(&name);
                is_it.then(|| words.next()?.parse::<u32>().ok()).flatten()
            })
        };
        let (major, minor, patch) = (number("MAJOR")?, number("MINOR")?, number("PATCH")?);
        Some(format!("{major}.{minor}.{patch}"))
    })
}
