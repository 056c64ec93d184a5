//! Which backend writes, decided once at the start.

use std::fmt;

use super::uring;

/// How groups of writes reach the disk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Backend {
    /// A ring per committer.
    Uring,
    /// Plain system calls.
    Threads,
    /// A ring per committer, through the crate `tokio-uring`.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
    /// The simulated disk of tests.
    Sim,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Threads => "threads",
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => "tokio-uring",
            Self::Sim => "sim",
        })
    }
}

/// What the configuration asks for.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum BackendChoice {
    /// The ring where the kernel grants it, plain calls elsewhere.
    #[default]
    Auto,
    /// The ring; plain calls, with the reason reported, where the kernel refuses it.
    Uring,
    /// Plain calls.
    Threads,
    /// The ring through the crate `tokio-uring`; plain calls, with the reason reported, where the kernel refuses it.
    #[cfg(feature = "tokio-uring")]
    TokioUring,
}

/// The backend in use and the reason, as one sentence for the start-up lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendReport {
    /// The backend in use.
    pub backend: Backend,
    /// Why this one.
    pub reason: String,
}

impl fmt::Display for BackendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.backend, self.reason)
    }
}

impl Backend {
    /// Decides which backend runs by trying it out.
    pub fn probe(choice: BackendChoice) -> BackendReport {
        if choice == BackendChoice::Threads {
            return BackendReport { backend: Self::Threads, reason: "asked for by configuration".to_owned() };
        }
        match uring::probe() {
            #[cfg(feature = "tokio-uring")]
            Ok(reason) if choice == BackendChoice::TokioUring => {
                BackendReport { backend: Self::TokioUring, reason }
            }
            Ok(reason) => BackendReport { backend: Self::Uring, reason },
            Err(reason) => BackendReport { backend: Self::Threads, reason },
        }
    }
}
