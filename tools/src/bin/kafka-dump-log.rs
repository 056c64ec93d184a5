//! `kafka-dump-log`: shows what Kafka's files hold. See [`tools::dump`].

use std::{fs::File, io, os::fd::AsFd, process::ExitCode};

use tools::dump::{self, Outcome};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    // The tool gathers lines itself; a `Stdout` would copy them once more.
    let Ok(out) = io::stdout().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    match dump::run(arguments, &mut File::from(out), &mut io::stderr()) {
        Outcome::Success => ExitCode::SUCCESS,
        Outcome::Failure => ExitCode::FAILURE,
    }
}
