//! `klamm-log`: checks, explains and compares logs that nobody has open. See [`tools::offline`].

use std::{io, process::ExitCode};

use clap::Parser;
use tools::offline::{Command, Outcome};

/// Checks, explains and compares the files of logs while no broker runs on them.
#[derive(Debug, Parser)]
#[command(name = "klamm-log", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

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
