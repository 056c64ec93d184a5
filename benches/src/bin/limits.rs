//! `limits`: the engine against loops that do nothing but write, under each flush policy, in one run.
//!
//! `cargo run --release -p benches --bin limits -- --dir DIRECTORY`: a directory on the disk that is meant, since the temporary
//! one may be memory. Reading by sendfile is in `cargo bench -p benches --bench read`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::limits::rig::Rig;
use benches::limits::{Row, Wanted, bare, percentile_99};
use clap::{Parser, ValueEnum};
use log_engine::FlushPolicy;
use log_engine::io::BackendChoice;

/// The engine beside bare loops.
#[derive(Parser, Debug)]
#[command(name = "limits")]
struct Arguments {
    /// Where to write.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Rounds of each row; the table has the median.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How groups reach the disk.
    #[arg(long, value_enum, default_value = "uring")]
    backend: Backend,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum Backend {
    Uring,
    Threads,
    #[cfg(feature = "tokio-uring")]
    TokioUring,
}

impl Backend {
    fn choice(self) -> BackendChoice {
        match self {
            Self::Uring => BackendChoice::Uring,
            Self::Threads => BackendChoice::Threads,
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => BackendChoice::TokioUring,
        }
    }
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(parent)?;
    println!("| what | us bare | us Klamm | ratio | wanted | kept |");
    println!("|---|---|---|---|---|---|");
    let makers: [fn(&Place<'_>) -> Row; 9] = [
        one_partition_os,
        many_partitions_os,
        waiting_threads,
        waiting_tickets,
        |place| {
            large(place, FlushPolicy::Sync, "`sync`, 1 MiB, 32 outstanding, against the best durable way")
        },
        |place| large(place, FlushPolicy::Group, "`group`, the same"),
        |place| light(place, FlushPolicy::Sync, "`sync`, 1 KiB at light load, 99th percentile"),
        |place| light(place, FlushPolicy::Group, "`group`, the same"),
        price_of_group,
    ];
    for (number, make) in makers.into_iter().enumerate() {
        let place = Place { dir: &dir.path().join(number.to_string()), backend: arguments.backend.choice() };
        std::fs::create_dir_all(place.dir)?;
        print(make(&place), arguments.rounds);
        std::fs::remove_dir_all(place.dir)?;
    }
    Ok(())
}

fn print(mut row: Row, rounds: usize) {
    let outcome = row.run(rounds);
    let wanted = match row.wanted {
        Wanted::SpeedAtLeast(least) => format!("at least {least}"),
        Wanted::TimeAtMost(most) => format!("at most {most}"),
    };
    let kept = if outcome.kept { "yes" } else { "no" };
    println!(
        "| {}, per {} | {:.2} | {:.2} | {:.2} | {wanted} | {kept} |",
        row.name, row.unit, outcome.bare, outcome.ours, outcome.ratio
    );
}

struct Place<'a> {
    dir: &'a Path,
    backend: BackendChoice,
}

impl Place<'_> {
    fn rig(&self, policy: FlushPolicy, partitions: i32, len: usize) -> Rig {
        Rig::new(&self.dir.join("data"), self.backend, policy, partitions, len)
    }

    fn dir(&self) -> PathBuf {
        self.dir.to_owned()
    }
}

const KIB: usize = 1 << 10;

fn one_partition_os(place: &Place<'_>) -> Row {
    const APPENDS: u64 = 1000;
    let (rig, dir) = (place.rig(FlushPolicy::Os, 1, 64 * KIB), place.dir());
    Row {
        name: "`os`, 64 KiB, one partition, against pwrite",
        unit: "append",
        wanted: Wanted::SpeedAtLeast(0.9),
        bare: Box::new(move || bare::page_cache(&[bare::fresh(&dir, "bare")], 64 * KIB, APPENDS)),
        ours: Box::new(move || {
            rig.empty();
            rig.one_by_one(APPENDS)
        }),
    }
}

fn many_partitions_os(place: &Place<'_>) -> Row {
    const APPENDS: u64 = 16_000;
    let (rig, dir) = (place.rig(FlushPolicy::Os, 1000, KIB), place.dir());
    Row {
        name: "`os`, 1 KiB, 1 000 partitions, against pwrite",
        unit: "append",
        wanted: Wanted::SpeedAtLeast(3.0),
        bare: Box::new(move || {
            let files: Vec<_> = (0..1000).map(|n| bare::fresh(&dir, &n.to_string())).collect();
            bare::page_cache(&files, KIB, APPENDS)
        }),
        ours: Box::new(move || {
            rig.empty();
            rig.one_by_one(APPENDS)
        }),
    }
}

fn waiting_threads(place: &Place<'_>) -> Row {
    let rig = place.rig(FlushPolicy::Group, 1, KIB);
    flushed_row(place, "`group`, 1 KiB, 64 threads that wait, against a flush for each", move || {
        rig.waiting_threads(64, 20_000)
    })
}

fn waiting_tickets(place: &Place<'_>) -> Row {
    let rig = place.rig(FlushPolicy::Group, 1, KIB);
    flushed_row(place, "`group`, 1 KiB, 64 outstanding of one thread, against a flush for each", move || {
        rig.outstanding(64, 20_000)
    })
}

fn flushed_row(place: &Place<'_>, name: &'static str, ours: impl FnMut() -> Duration + 'static) -> Row {
    let dir = place.dir();
    Row {
        name,
        unit: "append",
        wanted: Wanted::SpeedAtLeast(20.0),
        bare: Box::new(move || bare::flushed(&bare::fresh(&dir, "bare"), &[7; KIB], 1000)),
        ours: Box::new(ours),
    }
}

fn large(place: &Place<'_>, policy: FlushPolicy, name: &'static str) -> Row {
    const TOTAL: u64 = 128 << 20;
    let (rig, dir) = (place.rig(policy, 1, KIB * KIB), place.dir());
    Row {
        name,
        unit: "append",
        wanted: Wanted::SpeedAtLeast(0.8),
        bare: Box::new(move || bare::best_durable(&dir, KIB * KIB, TOTAL)),
        ours: Box::new(move || {
            rig.empty();
            rig.outstanding(32, TOTAL >> 20)
        }),
    }
}

fn light(place: &Place<'_>, policy: FlushPolicy, name: &'static str) -> Row {
    const APPENDS: u64 = 500;
    const PAUSE: Duration = Duration::from_micros(500);
    let (rig, dir) = (place.rig(policy, 1, KIB), place.dir());
    Row {
        name,
        unit: "append",
        wanted: Wanted::TimeAtMost(2.0),
        bare: Box::new(move || {
            let file = bare::fresh(&dir, "bare");
            percentile_99(bare::flush_each(&file, &[7; KIB], APPENDS, PAUSE))
        }),
        ours: Box::new(move || percentile_99(rig.one_by_one_with(PAUSE, APPENDS))),
    }
}

/// What decides about the default: `group` beside `os`, in place of a bare loop.
fn price_of_group(place: &Place<'_>) -> Row {
    const APPENDS: u64 = 20_000;
    let os = Rig::new(&place.dir.join("os"), place.backend, FlushPolicy::Os, 1, KIB);
    let group = place.rig(FlushPolicy::Group, 1, KIB);
    Row {
        name: "`group` against `os` in the first column, 1 KiB, one partition, 64 outstanding",
        unit: "append",
        wanted: Wanted::TimeAtMost(2.0),
        bare: Box::new(move || os.outstanding(64, APPENDS)),
        ours: Box::new(move || group.outstanding(64, APPENDS)),
    }
}
