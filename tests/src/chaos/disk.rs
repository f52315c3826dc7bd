//! Directories on small disks of their own, so that they can be filled without
//! harm to the machine. Needs root: a memory file system is mounted for each.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk. It is unmounted with this value.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Whether this process may mount.
    pub fn can_mount() -> bool {
        tempfile::tempdir().is_ok_and(|place| Self::mount(place.path(), 1).is_ok())
    }

    /// A disk of so many mebibytes at `directory`, which is made.
    pub fn mount(directory: &Path, mebibytes: u32) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(directory);
        run(&mut command)?;
        Ok(Self {
            directory: directory.to_owned(),
            mounted: true,
        })
    }

    /// A plain directory, which is never filled.
    pub fn plain(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            mounted: false,
        })
    }

    /// Takes every free byte; says how many there were.
    pub fn fill(&self) -> io::Result<u64> {
        if !self.mounted {
            return Err(io::Error::other("a disk that others use is not filled"));
        }
        let mut file = File::create(self.ballast())?;
        let mut bytes = 0;
        // Large blocks first, then what is left between them.
        for block in [1 << 20, 1 << 12] {
            let zeros = vec![0; block];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => bytes += block as u64,
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(bytes)
    }

    /// Gives the space back.
    pub fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Copies what is on it to a directory that stays.
    pub fn keep(&self, place: &Path) -> io::Result<()> {
        self.free()?;
        run(Command::new("cp").arg("-a").arg(&self.directory).arg(place))
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a program that is being killed may still be inside.
            let _ = run(Command::new("umount").arg("-l").arg(&self.directory));
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}", error.trim())))
}
