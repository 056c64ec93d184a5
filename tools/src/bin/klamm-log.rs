//! `klamm-log`: checks, repairs, explains and compares logs that nobody has open. See [`tools::offline`].

use std::{io, process::ExitCode};

use clap::Parser;
use tools::offline::{Command, Outcome};

/// Checks, repairs, explains and compares the files of logs while no broker runs on them.
#[derive(Debug, Parser)]
#[command(name = "klamm-log", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit code: 0 nothing is wrong; 1 there is damage, a difference, a plan that was not carried out, or something that needs
somebody; 2 the question could not be answered.";

fn main() -> ExitCode {
    let outcome = Arguments::parse().command.run(&mut io::stdout().lock());
    match outcome {
        Ok(Outcome::InOrder) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(1),
        Err(error) => {
            eprintln!("klamm-log: {error}");
            ExitCode::from(2)
        }
    }
}
