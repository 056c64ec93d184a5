//! How far a run over the records is, shown where standard error is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over so many bytes; it draws nothing where standard error is no terminal.
pub(super) fn bar(bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("[{bar:40}] {percent:>3} % {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("#> "))
}
