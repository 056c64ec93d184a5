//! `scale [--partitions N]`: what many partitions cost that nobody uses: descriptors, memory, the time of a start after a
//! clean stop and after a crash, and processor time while nothing happens. Each figure comes from a process of its own.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use benches::process::{cpu_seconds, memory_bytes};
use bytes::BytesMut;
use clap::{Parser, ValueEnum};
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::{
    AppendRequest, Engine, EngineConfig, LeaderEpoch, Log, LogConfig, TimestampMs, TopicId, TopicPartition,
};

/// Many partitions that nobody uses.
#[derive(Parser, Debug)]
#[command(name = "scale")]
struct Arguments {
    /// Partitions.
    #[arg(long, default_value_t = 10_000)]
    partitions: i32,
    /// Seconds to look at an engine that has nothing to do.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Where to write.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// What a process that this one starts is to do, in `dir` itself.
    #[arg(long, hide = true)]
    phase: Option<Phase>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
enum Phase {
    Nothing,
    Fill,
    Open,
    Crash,
}

const SEGMENTS: usize = 3;
const BATCHES_PER_SEGMENT: usize = 4;
const VALUE_BYTES: usize = 300;
const SEGMENT_BYTES: u32 = 1600;
const INDEX_INTERVAL_BYTES: u32 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    match (arguments.phase, &arguments.dir) {
        (Some(phase), Some(dir)) => carry_out(phase, dir, &arguments),
        _ => drive(&arguments),
    }
}

fn drive(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(parent)?;
    let run = |phase: Phase| -> Result<(), Box<dyn Error>> {
        let status = Command::new(std::env::current_exe()?)
            .args(["--phase", phase.to_possible_value().ok_or("a phase has a name")?.get_name()])
            .args(["--partitions", &arguments.partitions.to_string()])
            .args(["--idle-seconds", &arguments.idle_seconds.to_string()])
            .arg("--dir")
            .arg(dir.path())
            .status()?;
        if status.success() { Ok(()) } else { Err(format!("{phase:?} ended with {status}").into()) }
    };
    println!("{} partitions, {SEGMENTS} segments each", arguments.partitions);
    [Phase::Nothing, Phase::Fill, Phase::Open, Phase::Crash, Phase::Open].into_iter().try_for_each(run)
}

fn carry_out(phase: Phase, dir: &Path, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let config = config(dir);
    let begun = Instant::now();
    let engine = Engine::open_or_format(config)?;
    let opened = begun.elapsed();
    match phase {
        Phase::Nothing => {
            println!("memory of an engine without logs: {:.1} MiB", resident()? as f64 / f64::from(1 << 20));
        }
        Phase::Fill => {
            fill(&engine, arguments.partitions)?;
            println!("filled in {:.1} s, {} descriptors", begun.elapsed().as_secs_f64(), descriptors()?);
        }
        Phase::Open => {
            let report = engine.open_report();
            println!(
                "{} start: opened in {:.2} s, {} bytes scanned",
                if report.is_clean() { "clean" } else { "unclean" },
                opened.as_secs_f64(),
                report.scanned_bytes()
            );
            report_use(arguments.partitions)?;
            if report.is_clean() {
                report_idle(arguments.idle_seconds)?;
            }
        }
        Phase::Crash => {
            append_to_all(&engine)?;
            println!("appended to all and killed: {} descriptors", descriptors()?);
            std::process::exit(0);
        }
    }
    let begun = Instant::now();
    engine.close()?;
    println!("closed in {:.2} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn config(dir: &Path) -> EngineConfig {
    EngineConfig { log_defaults: log_config(), ..EngineConfig::new([dir.to_owned()], 1) }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        index_interval_bytes: INDEX_INTERVAL_BYTES,
        ..LogConfig::default()
    }
}

fn fill(engine: &Engine, partitions: i32) -> Result<(), Box<dyn Error>> {
    for partition in 0..partitions {
        let partition = TopicPartition::new("scale", partition);
        let log = engine.create_log(&partition, TopicId::new([5; 16]), log_config(), None)?;
        for _ in 0..SEGMENTS * BATCHES_PER_SEGMENT {
            append(&log)?;
        }
        if log.segments_info().len() != SEGMENTS {
            return Err(format!("{} segments", log.segments_info().len()).into());
        }
        log.set_high_watermark(log.offsets().log_end);
    }
    Ok(())
}

fn append_to_all(engine: &Engine) -> Result<(), Box<dyn Error>> {
    engine.logs().iter().try_for_each(append)
}

fn append(log: &std::sync::Arc<Log>) -> Result<(), Box<dyn Error>> {
    let mut batch = BatchBuilder::new(Compression::None);
    let timestamp = TimestampMs::new(1_700_000_000_000 + log.offsets().log_end.get());
    batch.append(&NewRecord { timestamp, key: None, value: Some(&[7; VALUE_BYTES]), headers: &[] })?;
    let records = BytesMut::from(&batch.finish()?[..]);
    log.append(AppendRequest::from_client(records, LeaderEpoch::new(0)))?.wait()?;
    Ok(())
}

fn report_use(partitions: i32) -> Result<(), Box<dyn Error>> {
    println!(
        "{} descriptors, {:.1} MiB resident, {:.2} KiB per partition",
        descriptors()?,
        resident()? as f64 / f64::from(1 << 20),
        resident()? as f64 / 1024.0 / f64::from(partitions),
    );
    Ok(())
}

fn report_idle(idle_seconds: u64) -> Result<(), Box<dyn Error>> {
    let seconds = || cpu_seconds(std::process::id()).ok_or("the kernel does not tell of this process");
    let (before, begun) = (seconds()?, Instant::now());
    std::thread::sleep(Duration::from_secs(idle_seconds));
    let share = (seconds()? - before) / begun.elapsed().as_secs_f64();
    println!("{:.3} % of a processor over {idle_seconds} s", share * 100.0);
    Ok(())
}

fn resident() -> Result<u64, &'static str> {
    memory_bytes(std::process::id(), "RssAnon").ok_or("the kernel does not tell of this process")
}

fn descriptors() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
