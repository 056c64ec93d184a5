//! Whether this kernel, under this sandbox and these limits, grants a ring.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// How a ring was granted, for the start-up line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Flavour {
    /// One issuer, completions run when waited for (Linux 6.1).
    Deferred,
    /// Neither flag is known.
    Plain,
}

/// Builds a ring with the best flags that are granted.
pub(super) fn build_ring(entries: u32) -> io::Result<(IoUring, Flavour)> {
    match IoUring::builder().setup_single_issuer().setup_defer_taskrun().dontfork().build(entries) {
        Ok(ring) => Ok((ring, Flavour::Deferred)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Ok((IoUring::builder().dontfork().build(entries)?, Flavour::Plain))
        }
        Err(error) => Err(error),
    }
}

/// Tries all that the queue will need: a ring, its operations, and one round trip. The sentence says how it went.
pub(in crate::io) fn probe() -> Result<String, String> {
    try_ring().map_err(|error| refusal(&error)).and_then(|flavour| match flavour {
        Some(Flavour::Deferred) => Ok("io_uring is available, with deferred completions".to_owned()),
        Some(Flavour::Plain) => Ok("io_uring is available".to_owned()),
        None => Err("io_uring of this kernel lacks vectored writes or flushes".to_owned()),
    })
}

fn try_ring() -> io::Result<Option<Flavour>> {
    let (mut ring, flavour) = build_ring(4)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known)?;
    if !known.is_supported(opcode::Writev::CODE) || !known.is_supported(opcode::Fsync::CODE) {
        return Ok(None);
    }
    // SAFETY: an operation that does nothing refers to no memory and no descriptor.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    pushed.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next() {
        Some(entry) if entry.result() == 0 => Ok(Some(flavour)),
        _ => Err(io::Error::other("a ring was granted but completes nothing")),
    }
}

fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match disabled_by_sysctl() {
            Some(value) => format!("io_uring is switched off: kernel.io_uring_disabled is {value}"),
            None => "io_uring is forbidden here, as container sandboxes do by default".to_owned(),
        },
        Some(libc::ENOSYS) => "this kernel has no io_uring".to_owned(),
        Some(libc::ENOMEM) => {
            "no memory for a ring: the limit of locked memory (ulimit -l) is too low".to_owned()
        }
        _ => format!("io_uring is refused: {error}"),
    }
}

fn disabled_by_sysctl() -> Option<String> {
    let value = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(value.trim().to_owned()).filter(|value| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_refusing_a_ring_has_its_own_sentence() {
        for (errno, expected) in [
            (libc::EPERM, "io_uring is"),
            (libc::ENOSYS, "this kernel has no io_uring"),
            (libc::ENOMEM, "ulimit -l"),
            (libc::EINVAL, "io_uring is refused"),
        ] {
            let sentence = refusal(&io::Error::from_raw_os_error(errno));
            assert!(sentence.contains(expected), "{sentence}");
        }
    }
}
