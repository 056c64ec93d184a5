//! Whether a data directory still serves.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::io::FileHandle;

use super::flushes::{Announced, Flushes};

/// Serves until the first failure that makes the disk's content unknown; then never again in this process. What a
/// failed flush left on the disk is only known after reopening and reading it.
#[derive(Debug)]
pub struct DirState {
    dir: PathBuf,
    offline: OnceLock<Arc<Offline>>,
    listener: OnceLock<Arc<dyn OfflineListener>>,
    flushes: Flushes,
}

/// Is told once when a directory stops serving. Runs on the thread that found out: be quick.
pub trait OfflineListener: Send + Sync + fmt::Debug {
    /// The directory serves no more.
    fn went_offline(&self, offline: &Offline);
}

/// Why a directory no longer serves.
#[derive(Debug)]
pub struct Offline {
    /// The directory.
    pub dir: PathBuf,
    /// The file at which it showed, where there is one.
    pub path: PathBuf,
    /// What was tried: a word such as "write" or "flush".
    pub operation: &'static str,
    /// What the operating system answered.
    pub error: io::Error,
}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "data directory {} is offline: {} of {} failed: {}; check the disk and restart",
            self.dir.display(),
            self.operation,
            self.path.display(),
            self.error
        )
    }
}

impl DirState {
    /// A directory that serves.
    pub fn new(dir: &Path) -> Self {
        let (offline, listener, flushes) = (OnceLock::new(), OnceLock::new(), Flushes::default());
        Self { dir: dir.to_owned(), offline, listener, flushes }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Why it does not serve, or `None` while it does.
    pub fn offline(&self) -> Option<&Arc<Offline>> {
        self.offline.get()
    }

    /// Names who is told of a failure from now on; the first one stays.
    pub fn set_listener(&self, listener: Arc<dyn OfflineListener>) {
        let _ = self.listener.set(listener);
    }

    /// Announces flushes of files that somebody else may flush at the same time.
    pub(crate) fn announce_flushes<'f>(
        &self,
        files: impl IntoIterator<Item = &'f FileHandle>,
    ) -> Announced<'_> {
        self.flushes.announce(files)
    }

    /// Takes the directory offline; the first reason stays.
    pub fn fail(&self, operation: &'static str, path: &Path, error: io::Error) -> &Arc<Offline> {
        let mut first = false;
        let offline = self.offline.get_or_init(|| {
            first = true;
            Arc::new(Offline { dir: self.dir.clone(), path: path.to_owned(), operation, error })
        });
        if first {
            tracing::error!("{offline}");
            if let Some(listener) = self.listener.get() {
                listener.went_offline(offline);
            }
        }
        offline
    }
}
