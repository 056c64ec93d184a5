//! The one call that takes the power from a mounted file system. Nothing else in this package is unsafe.
#![expect(unsafe_code, reason = "there is no safe call for this ioctl")]

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl};

/// `EXT4_IOC_SHUTDOWN`, which is XFS's `GOINGDOWN`.
const SHUTDOWN: Opcode = 0x8004_587d;

/// Nothing more is written, the journal neither.
const WITHOUT_LOG_FLUSH: u32 = 2;

/// From now on every access to the file system fails.
pub(super) fn power_off(mount_point: &Path) -> io::Result<()> {
    let directory = File::open(mount_point)?;
    // SAFETY: the call reads one u32, which is what SHUTDOWN is declared with.
    let request = unsafe { Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH) };
    // SAFETY: as above; `request` lives until the call returns, and the kernel keeps no pointer to it.
    unsafe { ioctl(&directory, request) }?;
    Ok(())
}
