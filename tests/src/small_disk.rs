//! A small file system of its own for a program under test: a tmpfs that only a mount namespace sees, so that a test can
//! fill it and nobody else notices.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;

/// A tmpfs of some bytes at a path. Gone, with all that is on it, when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Process,
    path: PathBuf,
}

/// Written until there is no room even for this much.
const CRUMB: usize = 512;

impl SmallDisk {
    /// Mounts one at `path`, which has a name of its own in its directory. `None`, and a line that says so, where this
    /// machine does not allow it.
    pub fn mount(path: &Path, bytes: u64) -> Option<Self> {
        let allowed = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            println!("skipped: mounting a tmpfs in a namespace is not allowed here");
            return None;
        }
        fs::create_dir_all(path).expect("a directory to mount on");
        let script = "mount -t tmpfs -o size=$1 none \"$0\" && echo mounted && exec sleep 3600";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(path).arg(bytes.to_string());
        let mut holder = Process::spawn(command, "the mount", &path.with_extension("mount"));
        holder.wait_until("the mount", |text| text.contains("mounted"));
        Some(Self { holder, path: path.to_owned() })
    }

    /// Has `command` run where the disk is mounted.
    pub fn sees(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// The mounted directory, as this process can reach it.
    pub fn directory(&self) -> PathBuf {
        let inside = self.path.strip_prefix("/").unwrap_or(&self.path);
        Path::new("/proc").join(self.holder.pid().to_string()).join("root").join(inside)
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).expect("a file opens");
        let mut size = 1 << 20;
        while size >= CRUMB {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Makes room again.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.directory().join("filler")
    }
}
