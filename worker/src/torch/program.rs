//! Where the program is: given by name, else beside this one.

use std::env;
use std::path::{Path, PathBuf};

/// Its file name.
const NAME: &str = "reprise-torch";

/// The program beside this one, if there is one.
pub fn find() -> Option<PathBuf> {
    is_beside(&env::current_exe().ok()?)
}

/// The program beside `worker`, if there is one.
pub fn is_beside(worker: &Path) -> Option<PathBuf> {
    let path = worker.with_file_name(NAME);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_beside_the_worker() {
        let directory = tempfile::tempdir().unwrap();
        let worker = directory.path().join("reprise-worker");
        assert_eq!(is_beside(&worker), None);
        let program = directory.path().join(NAME);
        std::fs::create_dir(&program).unwrap();
        assert_eq!(is_beside(&worker), None);
        std::fs::remove_dir(&program).unwrap();
        std::fs::write(&program, "").unwrap();
        assert_eq!(is_beside(&worker), Some(program));
    }
}
