//! A file system of its own for a program under test: mounted where only a mount namespace sees it, so that a test can
//! fill it or turn it read-only and nobody else notices.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::oracle::{is_installed, skip};
use crate::process::{Process, output_of, run};

/// A file system at a path. Gone, with all that is on it, when dropped.
#[derive(Debug)]
pub struct OwnDisk {
    holder: Process,
    namespace: Namespace,
    path: PathBuf,
    image: Option<PathBuf>,
}

/// How a program gets mounts that others do not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    /// As the superuser.
    Mount,
    /// As the superuser of a user namespace, who may not mount everything.
    User,
}

const UNMOUNT_ATTEMPTS: u32 = 500;

/// Written until there is no room even for this much.
const CRUMB: usize = 512;

impl OwnDisk {
    /// Mounts a tmpfs at `path`, which has a name of its own in its directory. `None`, and a line that says so, where
    /// this machine does not allow it. That a program is missing is no such reason where interop is required.
    pub fn mount(path: &Path, bytes: u64) -> Option<Self> {
        let namespace = Namespace::allowed()?;
        let script = "mount -t tmpfs -o size=$1 none \"$0\"";
        Some(Self::hold(namespace, path, script, &bytes.to_string(), None))
    }

    /// The same with ext4 in a file beside `path`: one that the kernel turns read-only under whoever writes.
    pub fn mount_ext4(path: &Path, bytes: u64) -> Option<Self> {
        let namespace = Namespace::allowed()?;
        if !is_installed("mkfs.ext4", "-V") {
            skip("mkfs.ext4 is not installed");
            return None;
        }
        let image = path.with_extension("image");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("a file for the file system");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image), b"");
        let tried = namespace.attempt(&["mount", "-o", "loop", &image.to_string_lossy(), "/mnt"]);
        if !tried.status.success() {
            say_forbidden(&tried);
            return None;
        }
        let script = "mount -o loop \"$1\" \"$0\"";
        let argument = image.to_string_lossy().into_owned();
        Some(Self::hold(namespace, path, script, &argument, Some(image)))
    }

    fn hold(namespace: Namespace, path: &Path, script: &str, argument: &str, image: Option<PathBuf>) -> Self {
        fs::create_dir_all(path).expect("a directory to mount on");
        let script = format!("{script} && echo mounted && exec sleep 3600");
        let mut command = namespace.command();
        command.args(["sh", "-c", &script]).arg(path).arg(argument);
        let mut holder = Process::spawn(command, "the mount", &path.with_extension("mount"));
        holder.wait_until("the mount", |text| text.contains("mounted"));
        Self { holder, namespace, path: path.to_owned(), image }
    }

    /// Has `command` run where the disk is mounted.
    pub fn sees(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &self.holder.pid().to_string(), "--mount"]);
        if self.namespace == Namespace::User {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg("--").arg(command.get_program()).args(command.get_args());
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

    /// Mounts it read-only. Nobody may have a file of it open for writing.
    pub fn make_read_only(&self) {
        self.mount_again("remount,bind,ro");
    }

    /// Mounts it for writing again, after [`Self::make_read_only`].
    pub fn make_writable(&self) {
        self.mount_again("remount,bind,rw");
    }

    /// Has ext4 do what it does after an error of its device: read-only from now on, open files too.
    pub fn fail(&self) {
        self.mount_again("remount,abort");
    }

    /// Mounts the file system anew, after [`Self::fail`]. Nobody may have a file of it open.
    pub fn repair(&self) {
        let image = self.image.as_ref().expect("the disk has an image");
        // The kernel may keep a file of a ring for a moment after its process has ended.
        let unmounted = (0..UNMOUNT_ATTEMPTS).any(|_| {
            thread::sleep(Duration::from_millis(10));
            output_of(&mut self.sees(Command::new("umount").arg(&self.path)), b"").status.success()
        });
        assert!(unmounted, "it stays busy");
        run(&mut self.sees(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.path)), b"");
    }

    fn mount_again(&self, options: &str) {
        run(&mut self.sees(Command::new("mount").args(["-o", options]).arg(&self.path)), b"");
    }
}

impl Namespace {
    /// The one that this machine allows, found by trying.
    fn allowed() -> Option<Self> {
        static ALLOWED: OnceLock<Option<Namespace>> = OnceLock::new();
        for program in ["unshare", "nsenter", "mount"] {
            if !is_installed(program, "--version") {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        *ALLOWED.get_or_init(|| {
            let tried = [Self::Mount, Self::User]
                .map(|namespace| (namespace, namespace.attempt(&["mount", "-t", "tmpfs", "none", "/mnt"])));
            let allowed = tried.iter().find(|(_, output)| output.status.success());
            if allowed.is_none() {
                tried.iter().for_each(|(_, output)| say_forbidden(output));
            }
            allowed.map(|(namespace, _)| *namespace)
        })
    }

    fn command(self) -> Command {
        let mut command = Command::new("unshare");
        command.env("LC_ALL", "C").args(match self {
            Self::Mount => &["--mount"][..],
            Self::User => &["--user", "--map-root-user", "--mount"],
        });
        command
    }

    /// A mount that ends with its command.
    fn attempt(self, mount: &[&str]) -> Output {
        output_of(self.command().args(mount), b"")
    }
}

/// The one reason for which a required test does not run: the machine was asked, and refused.
fn say_forbidden(tried: &Output) {
    let reason = String::from_utf8_lossy(&tried.stderr);
    // Past the test harness, which swallows the output of tests that pass.
    let _ = writeln!(std::io::stderr(), "skipped: this machine forbids mounts: {}", reason.trim());
}
