//! ext4 in a file, mounted for as long as this lives.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::power_off::power_off;

const IMAGE_BYTES: u64 = 96 << 20;
const UNMOUNT_ATTEMPTS: u32 = 500;

/// The mount.
#[derive(Debug)]
pub(super) struct Mounted {
    image: PathBuf,
    path: PathBuf,
}

impl Mounted {
    /// Makes and mounts it below `directory`; why not, where that is not allowed here.
    pub(super) fn new(directory: &Path) -> Result<Self, String> {
        let (image, path) = (directory.join("image"), directory.join("mount"));
        let made = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        made.and_then(|()| fs::create_dir(&path)).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
            .map_err(|error| format!("no mkfs.ext4: {error}"))?;
        let mounted = Self { image, path };
        mounted.power_on().map_err(|error| format!("no loop mounts: {error}"))?;
        Ok(mounted)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn power_off(&self) -> io::Result<()> {
        power_off(&self.path)
    }

    /// Mounts it, again if it was mounted, as a machine does that comes up.
    pub(super) fn power_on(&self) -> io::Result<()> {
        self.unmount()?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.path))
    }

    // The kernel may keep a file of a ring for a moment after its process has ended.
    fn unmount(&self) -> io::Result<()> {
        for _ in 0..UNMOUNT_ATTEMPTS {
            if !self.is_mounted()? || run(Command::new("umount").arg(&self.path)).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other("it stays busy"))
    }

    fn is_mounted(&self) -> io::Result<bool> {
        let path = self.path.to_string_lossy();
        Ok(fs::read_to_string("/proc/self/mounts")?.lines().any(|line| line.split(' ').nth(1) == Some(&path)))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{} is still mounted: {error}", self.path.display());
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
