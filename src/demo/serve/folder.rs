//! A private folder for the files of one demo, gone when the demo is.

use std::{
    fs::{self, DirBuilder},
    io,
    path::{Path, PathBuf},
};

const PREFIX: &str = "rolltop-demo-";

/// Deleted when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a folder that only this user can look into, and sweeps up those that killed demos have left.
    ///
    /// # Errors
    /// When the place for temporary files takes none.
    pub fn new() -> io::Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place);
        let path = place.join(format!("{PREFIX}{}-{:08x}", std::process::id(), fastrand::u32(..)));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Fails if it is there: nobody can have put it there for us.
        builder.create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes folders of demos whose process is gone; those of other users refuse.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(id, _)| id.parse().ok());
        if process.is_some_and(is_gone) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(unix)]
fn is_gone(process: i32) -> bool {
    use rustix::{
        io::Errno,
        process::{Pid, test_kill_process},
    };
    Pid::from_raw(process).is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn is_gone(_: i32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_leaves_nothing_behind() {
        let folder = Folder::new().unwrap();
        fs::write(folder.path().join("journal.jsonl"), "{}").unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_demo_left_is_swept_up_and_a_living_ones_is_not() {
        let place = std::env::temp_dir();
        // No process has this number: it is above every limit.
        let dead = place.join(format!("{PREFIX}2147483646-0"));
        fs::create_dir_all(&dead).unwrap();
        let (one, two) = (Folder::new().unwrap(), Folder::new().unwrap());
        assert!(!dead.exists() && one.path().exists() && two.path().exists());
    }
}
