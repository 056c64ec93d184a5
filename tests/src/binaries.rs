//! Our own binaries and where the build keeps things.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The top of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Cargo's directory of the profile this program was built with, as `target/debug`.
pub fn profile_directory() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let directory = program.parent().expect("a program lies in a directory");
    // Test binaries lie one deeper, in `deps`.
    let directory =
        if directory.ends_with("deps") { directory.parent().expect("deps has a parent") } else { directory };
    directory.to_owned()
}

/// A directory of ours under cargo's target directory: made once, kept between runs, gone with `cargo clean`.
pub fn cache_directory() -> PathBuf {
    let directory = profile_directory().parent().expect("a profile lies in target").join("interop");
    fs::create_dir_all(&directory).expect("the target directory is writable");
    directory
}

/// The path of `klamm`, built if it is not yet; `KLAMM_BIN` names another.
pub fn klamm() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| env::var_os("KLAMM_BIN").map_or_else(|| build("broker-shim", "klamm"), PathBuf::from))
}

/// The path of `kafka-dump-log`, built if it is not yet.
pub fn kafka_dump_log() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("tools", "kafka-dump-log"))
}

/// The path of `klamm-log`, built if it is not yet, where `klamm` finds it: beside itself, if that is built here.
pub fn klamm_log() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("tools", "klamm-log"))
}

/// Builds with the profile of this program, so that the dependencies compiled for the tests serve again.
fn build(package: &str, binary: &str) -> PathBuf {
    let directory = profile_directory();
    let profile = if directory.ends_with("debug") { "test" } else { "release" };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = directory.parent().expect("a profile lies in target");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--profile", profile, "-p", package, "--bin", binary, "--target-dir"])
        .arg(target)
        .current_dir(workspace());
    exclusively("build", || crate::process::run(&mut command, b""));
    directory.join(binary)
}

/// Runs `action` while no other test process runs one under the same name.
pub fn exclusively<T>(name: &str, action: impl FnOnce() -> T) -> T {
    let lock = File::create(cache_directory().join(format!("{name}.lock")))
        .expect("the cache directory is writable");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("a lock file can be locked");
    action()
}
