//! `klamm log ...` is the program `klamm-log`, which lies beside this one: see `docs/adr/0013`.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const PROGRAM: &str = "klamm-log";

/// It could not be started; what `klamm-log` itself answers where a question cannot be answered.
const EXIT_NOT_STARTED: u8 = 2;

/// Becomes `klamm-log` with these arguments; answers only where that fails.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(PROGRAM));
    let error = Command::new(&program).arg0("klamm log").args(arguments).exec();
    eprintln!("klamm: {}", refusal(&program, &error));
    ExitCode::from(EXIT_NOT_STARTED)
}

fn refusal(program: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "{PROGRAM} is neither beside this program nor on the PATH; it is built and installed with it"
            )
        }
        _ => format!("{}: {error}", program.display()),
    }
}
