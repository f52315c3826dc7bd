//! Lets the benchmarks find libtorch at run time, without an
//! environment variable to export. Finding it at link time is `torch-sys`'s part.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(home) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        return;
    };
    let lib = home.join("lib");
    // The link in the checkout may move; a binary keeps the library it was built with.
    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    // Nothing is called in this one, but the CUDA libtorch's names the parts that
    // compute on graphics cards, and the loader brings them in with it.
    println!("cargo::rustc-link-arg=-Wl,--push-state,--no-as-needed,-ltorch,--pop-state");
}
