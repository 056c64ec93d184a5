//! Runs the same load on Apache Kafka, on Klamm and as a bare loop, and prints the table of ratios.
//!
//! `cargo run --release -p benches --bin versus` runs all rows; `--rows start,produce` some of them. The report is
//! also written to `--out` if given.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::report::{self, Row};
use benches::rows::{self, Bench, RowKind};
use clap::Parser;

/// Kafka, Klamm and the bare loop beside each other.
#[derive(Parser, Debug)]
#[command(name = "versus")]
struct Arguments {
    /// Rows to run, separated by commas; all if left out.
    #[arg(long, value_delimiter = ',', value_enum)]
    rows: Vec<RowKind>,
    /// How often each figure is measured; the table has the median.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Megabytes that a throughput row moves in each repeat.
    #[arg(long, default_value_t = 2000)]
    megabytes: u64,
    /// Megabytes on disk for the recovery row.
    #[arg(long, default_value_t = 8000)]
    recovery_megabytes: u64,
    /// Where the report goes besides standard output.
    #[arg(long)]
    out: Option<PathBuf>,
    /// First line of the report.
    #[arg(long, default_value = "Apache Kafka, Klamm and the bare loop")]
    heading: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    let bench = Bench::new(arguments.repeat, arguments.megabytes, arguments.recovery_megabytes)?;
    let kinds = if arguments.rows.is_empty() { RowKind::all() } else { &arguments.rows };
    let mut table: Vec<Row> = Vec::new();
    print!("{}\n\n{}", report::machine(), report::HEAD);
    for kind in kinds {
        eprintln!("versus: {kind:?} ...");
        let measured = rows::measure(*kind, &bench)?;
        for row in &measured {
            print!("{}", report::line(row));
        }
        std::io::stdout().flush()?;
        table.extend(measured);
    }
    match &arguments.out {
        Some(path) => report::save(path, &arguments.heading, &table),
        None => Ok(()),
    }
}
