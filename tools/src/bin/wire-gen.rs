//! Writes the message schemas of package `wire`, derived from the jars of Apache Kafka's broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tools::wire_gen;

/// Derive the message schemas of package wire from Apache Kafka's jars.
#[derive(Parser)]
struct Arguments {
    /// Directory that holds Kafka's jars.
    #[arg(long)]
    jars: PathBuf,
    /// Directory of the schemas; files in api/ and records/ there are replaced.
    #[arg(long, default_value = "broker-shim/wire/schemas")]
    schemas: PathBuf,
    /// Write nothing, only say what differs; the exit code is 1 if anything does.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(changes) => {
            let label = if arguments.check { "differs" } else { "written" };
            for change in &changes {
                println!("{label}: {change}");
            }
            ExitCode::from(u8::from(arguments.check && !changes.is_empty()))
        }
        Err(error) => {
            eprintln!("wire-gen: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the files that are new, different or gone.
fn run(arguments: &Arguments) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let derived = wire_gen::derive(&arguments.jars)?;
    let changes = wire_gen::differences(&derived, &arguments.schemas)?;
    if !arguments.check {
        for name in &changes {
            apply(name, &derived, &arguments.schemas)?;
        }
    }
    Ok(changes)
}

fn apply(name: &str, derived: &BTreeMap<String, String>, schemas: &Path) -> std::io::Result<()> {
    let path = schemas.join(name);
    match derived.get(name) {
        None => std::fs::remove_file(path),
        Some(text) => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(path, text)
        }
    }
}
