//! The `klamm` binary: arguments, log lines, signals, exit code.

mod offline;

use std::{ffi::OsString, io::IsTerminal as _, path::PathBuf, process::ExitCode};

use broker_shim::{
    Running,
    config::{Config, Sources, reference},
    start,
};
use clap::Parser;
use rustix::process::{Resource, Rlimit, Signal as SignalNumber, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Kafka broker in one binary: 127.0.0.1:9092, data in ./klamm-data, unless configured otherwise.
#[derive(Debug, Parser)]
#[command(name = "klamm", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A server.properties with Kafka's keys.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One key; wins over the file and the environment. May be given several times.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print every key with its default and meaning, and exit.
    #[arg(long)]
    print_config_reference: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check, repair, explain and compare the files of logs while no broker has them open; see `klamm log --help`.
    #[command(disable_help_flag = true)]
    Log {
        /// What klamm-log is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// The configuration cannot be used.
const EXIT_CONFIG: u8 = 2;
/// The broker could not start.
const EXIT_START: u8 = 1;
/// The disk of the metadata, or every disk, has failed. Kafka's code.
const EXIT_DISK: i32 = 1;
/// The stop was not a clean one.
const EXIT_STOP: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Log { arguments }) = arguments.command {
        return offline::run(&arguments);
    }
    if arguments.print_config_reference {
        print!("{}", reference::markdown());
        return ExitCode::SUCCESS;
    }
    log_to_stderr();
    raise_descriptor_limit();
    let config = match Config::load(&sources(arguments)) {
        Ok(config) => config,
        Err(error) => return fail(EXIT_CONFIG, &error),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => fail(EXIT_START, &error),
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("KLAMM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .init();
}

/// Descriptors up to what the system allows, as a JVM takes them: the soft limit is made for programs that use select.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn sources(arguments: Arguments) -> Sources {
    let text = |os: OsString| os.into_string().ok();
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
    Sources { file: arguments.config, environment, overrides: arguments.overrides }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("klamm: {error}");
    ExitCode::from(code)
}

async fn run(config: Config) -> ExitCode {
    let log_dirs = config.log_dirs.clone();
    // Before the start: a signal that comes while the directories are being opened is obeyed once they are.
    let stop = match StopSignals::listen() {
        Ok(stop) => stop,
        Err(error) => return fail(EXIT_START, &error),
    };
    if let Err(error) = survive_file_size_limit() {
        return fail(EXIT_START, &error);
    }
    let mut running = match start(config).await {
        Ok(running) => running,
        Err(error) => return fail(EXIT_START, &error),
    };
    greet(&running, &log_dirs);
    tokio::select! {
        () = stop.wanted() => {}
        // At once, as Kafka halts: nothing can be stored any more, and a disk that hangs must not hold up the end.
        reason = running.failed() => {
            eprintln!("klamm: {reason}");
            std::process::exit(EXIT_DISK);
        }
    }
    tracing::info!("stopping");
    match running.shutdown().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_STOP, &error),
    }
}

/// A write beyond the limit of file sizes ends a process that does not handle the signal. One that does gets an error,
/// which is to us what a full disk is. The handler stays when the stream of signals is dropped.
fn survive_file_size_limit() -> std::io::Result<()> {
    signal(SignalKind::from_raw(SignalNumber::XFSZ.as_raw())).map(drop)
}

fn greet(running: &Running, log_dirs: &[PathBuf]) {
    let listeners: Vec<String> =
        running.addresses().iter().map(|(name, address)| format!("{name} {address}")).collect();
    let directories: Vec<String> = log_dirs.iter().map(|directory| directory.display().to_string()).collect();
    let report = running.open_report();
    let found = match (running.is_fresh(), report.is_clean()) {
        (true, _) => "formatted now",
        (false, true) => "last stopped cleanly",
        (false, false) => "last stopped uncleanly",
    };
    println!("listening on {}", listeners.join(", "));
    println!(
        "data in {} (cluster {}, {} partitions, {found})",
        directories.join(", "),
        running.cluster_id(),
        running.partition_count()
    );
    println!("disk backend {}", report.backend);
}

/// Ctrl-C and SIGTERM, noticed from when this is made.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wanted(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
