//! Starting and stopping: bind, format or check the data directories, open them, take the lead, serve; and back.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use log_engine::{
    Clock as _, DiskChoice, Engine, EngineConfig, OpenError, OpenReport, ScrubConfig, SystemClock,
    commit::CommitLimits,
    io::{BackendChoice, Disk, NativeDisk},
};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{
    authorizer::{AllowAll, Authorizer},
    broker::{Broker, Parts},
    config::{Config, Endpoint, keys},
    effective::Layers,
    failed_directories::FailedDirectories,
    group::Groups,
    metadata::{
        self, Image, MetadataHandle, MetadataListener, MetadataOptions, SegmentPolicy, SnapshotPolicy,
        format::{Format, FormatError, Formatted, format},
        ops::TopicDefaults,
        record,
    },
    producer_ids::ProducerIds,
    replicas::Replicas,
    server::{self, BindError, Bound, Server},
    transaction::{Surroundings, Transactions},
    workers::Workers,
};

/// Why a broker does not start. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A data directory cannot be formatted, or is not ours.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The metadata cannot be loaded or led.
    #[error(transparent)]
    Metadata(#[from] metadata::StartError),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
    /// A part of the start panicked.
    #[error("a part of the start ended abnormally: {0}")]
    Abandoned(#[from] JoinError),
}

/// A broker that serves.
pub struct Running {
    addresses: Vec<(String, SocketAddr)>,
    server: Server,
    broker: Arc<Broker>,
    /// Tries to serve partitions that could not be served at first.
    retry: JoinHandle<()>,
    /// Looks after data directories that fail; ends with the reason for which the broker has to end.
    failed: JoinHandle<String>,
    fresh: bool,
}

/// Starts a broker: when this returns, clients are served.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let disk = Arc::new(NativeDisk::new(backend(&config)));
    start_on(config, disk).await
}

/// As [`start`], on another disk than the machine's: one that fails on command, for instance.
pub async fn start_on(config: Config, disk: Arc<dyn Disk>) -> Result<Running, StartError> {
    let threads = Workers::number_for(config.log_dirs.len());
    start_with_threads(config, disk, threads).await
}

/// As [`start_on`], with so many threads that serve connections.
pub async fn start_with_threads(
    config: Config,
    disk: Arc<dyn Disk>,
    threads: usize,
) -> Result<Running, StartError> {
    start_for(config, disk, threads, Box::new(AllowAll)).await
}

/// As [`start_with_threads`], for whom the authorizer allows.
pub(crate) async fn start_for(
    config: Config,
    disk: Arc<dyn Disk>,
    threads: usize,
    authorizer: Box<dyn Authorizer>,
) -> Result<Running, StartError> {
    // First, so that a port in use costs nothing and touches nothing.
    let bound = bind_all(&config)?;
    let workers = Workers::start(threads.max(1)).map_err(StartError::Thread)?;
    let addresses: Vec<_> = bound.iter().map(|bound| (bound.name.to_string(), bound.address)).collect();
    let advertised = advertised(&config, &bound);
    let config = Arc::new(config);
    let (broker, fresh) = {
        let config = Arc::clone(&config);
        spawn_blocking(move || open(config, disk, advertised, authorizer)).await??
    };
    let broker = Arc::new(broker);
    let retry = tokio::spawn(Arc::clone(&broker.replicas).retry(broker.metadata.clone()));
    let directories = broker.replicas.directories().clone();
    let failed =
        FailedDirectories::new(&broker.engine, &broker.metadata, directories, &config.metadata_log_dir);
    let failed = tokio::spawn(failed.watch());
    let server =
        Server::serve(bound, workers, &broker, &config.connections, broker.replicas.settings().admission());
    Ok(Running { addresses, server, broker, retry, failed, fresh })
}

impl Running {
    /// Name and address of each listener.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// What opening the data directories found, and which disk backend runs.
    pub fn open_report(&self) -> &OpenReport {
        self.broker.engine.open_report()
    }

    /// Whether this start formatted a data directory.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        self.broker.cluster_id()
    }

    /// How many partitions are led here.
    pub fn partition_count(&self) -> usize {
        self.broker.replicas.len()
    }

    /// Waits until nothing can be served any more, and says why. Nothing can be stored then: the program is to end.
    pub async fn failed(&mut self) -> String {
        match (&mut self.failed).await {
            Ok(reason) => reason,
            Err(error) => format!("what looks after failed data directories ended: {error}"),
        }
    }

    /// Answers what was accepted, closes all connections, and writes what the next start needs to be a clean one.
    pub async fn shutdown(self) -> io::Result<()> {
        let Self { server, broker, retry, failed, .. } = self;
        retry.abort();
        broker.groups.stop();
        failed.abort();
        broker.transactions.stop();
        server.stop().await;
        let stopped = broker.metadata.shutdown().await;
        match &stopped {
            Ok(epoch) => broker.engine.set_broker_epoch(*epoch),
            Err(error) => tracing::error!(%error, "the metadata could not be closed"),
        }
        spawn_blocking(move || broker.engine.close()).await.map_err(io::Error::other)??;
        stopped.map(|_| ()).map_err(io::Error::other)
    }
}

fn bind_all(config: &Config) -> Result<Vec<Bound>, BindError> {
    config.listeners.bind.iter().map(|endpoint| server::bind(endpoint, &config.connections)).collect()
}

/// Port 0 was a wish for a free port: clients are told which one it is.
fn advertised(config: &Config, bound: &[Bound]) -> Vec<Endpoint> {
    let told = config.listeners.advertised.iter().zip(bound);
    told.map(|(endpoint, bound)| {
        let port = if endpoint.port == 0 { bound.address.port() } else { endpoint.port };
        Endpoint { port, ..endpoint.clone() }
    })
    .collect()
}

/// Everything that waits for the disk. Says also whether a data directory was formatted.
fn open(
    config: Arc<Config>,
    disk: Arc<dyn Disk>,
    advertised: Vec<Endpoint>,
    authorizer: Box<dyn Authorizer>,
) -> Result<(Broker, bool), StartError> {
    let directories = directories(&config);
    let formatted = format(&disk, &format_request(&config, &directories), SystemClock.now())?;
    let engine = Arc::new(Engine::open(engine_config(&config, &disk, &formatted))?);
    let replicas = Arc::new(Replicas::new(Arc::clone(&config), Arc::clone(&engine)));
    let metadata = MetadataHandle::open(&engine, metadata_options(&config, &advertised, &replicas))?;
    engine.set_broker_epoch(metadata.broker_epoch());
    let image = metadata.image();
    replicas.report_unreachable(&image);
    replicas.report_strays(&image);
    let layers = Layers::of(&config, &image);
    replicas.settings().apply(&layers).map_err(StartError::Thread)?;
    replicas.settings().apply_client_quotas(&image);
    replicas.follow_moves();
    engine.start_retention();
    engine.start_scrubbing().map_err(StartError::Thread)?;
    engine.start_compaction().map_err(StartError::Thread)?;
    let clock = Arc::clone(&engine.config().clock);
    let runtime = Handle::current();
    let groups =
        Groups::new(&config, metadata.clone(), Arc::clone(&replicas), Arc::clone(&clock), runtime.clone());
    groups.load();
    let producer_ids = Arc::new(ProducerIds::new(metadata.clone()));
    let surroundings = Surroundings {
        metadata: metadata.clone(),
        replicas: Arc::clone(&replicas),
        engine: Arc::clone(&engine),
        producer_ids: Arc::clone(&producer_ids),
        groups: groups.clone(),
        clock,
        runtime,
    };
    let transactions = Transactions::start(&config, surroundings);
    let fresh = formatted.fresh;
    let cluster_id = formatted.cluster_id;
    let broker = Broker::new(Parts {
        cluster_id,
        config,
        advertised,
        engine,
        metadata,
        replicas,
        producer_ids,
        groups,
        transactions,
        authorizer,
    });
    Ok((broker, fresh))
}

fn backend(config: &Config) -> BackendChoice {
    match config.text(keys::DISK_BACKEND) {
        Some("uring") => BackendChoice::Uring,
        Some("threads") => BackendChoice::Threads,
        _ => BackendChoice::Auto,
    }
}

/// The data directories, that of the metadata log among them.
fn directories(config: &Config) -> Vec<PathBuf> {
    let mut directories = config.log_dirs.clone();
    if !directories.contains(&config.metadata_log_dir) {
        directories.push(config.metadata_log_dir.clone());
    }
    directories
}

/// Where the controller would listen if the configuration does not say: as Kafka's shipped one has it.
const CONTROLLER: (&str, &str, u16) = ("CONTROLLER", "localhost", 9093);

/// What the quorum is told of where the controller listens. A Kafka that takes the directory over finds itself there.
fn controller(config: &Config) -> (&str, &str, u16) {
    config.listeners.controller.as_ref().map_or(CONTROLLER, |given| (&given.name, &given.host, given.port))
}

fn format_request(config: &Config, directories: &[PathBuf]) -> Format {
    let (name, host, port) = controller(config);
    Format {
        log_dirs: directories.to_vec(),
        metadata_log_dir: config.metadata_log_dir.clone(),
        node_id: config.node_id,
        cluster_id: config.cluster_id.clone(),
        controller: (name.into(), host.into(), port),
    }
}

fn engine_config(config: &Config, disk: &Arc<dyn Disk>, formatted: &Formatted) -> EngineConfig {
    let nothing = Image::empty(formatted.cluster_id.clone());
    let layers = Layers::of(config, &nothing);
    let online: Vec<_> = formatted.directories.iter().map(|(dir, _)| dir.clone()).collect();
    EngineConfig {
        cluster_id: Some(formatted.cluster_id.clone()),
        disk: DiskChoice::Given(Arc::clone(disk)),
        log_defaults: layers.log_config(None),
        recovery_point_interval_ms: config.number("log.flush.offset.checkpoint.interval.ms"),
        log_start_interval_ms: config.number("log.flush.start.offset.checkpoint.interval.ms"),
        high_watermark_interval_ms: config.number("replica.high.watermark.checkpoint.interval.ms"),
        retention_interval_ms: config.number("log.retention.check.interval.ms"),
        producer_expiration_ms: config.number("producer.id.expiration.ms"),
        producer_expiry_interval_ms: config.number("producer.id.expiration.check.interval.ms"),
        recovery_threads: usize::try_from(config.number("num.recovery.threads.per.data.dir")).unwrap_or(1),
        cleaner: layers.cleaner(),
        scrub: scrub_config(config),
        commit_limits: CommitLimits { group_delay_max: group_delay(config), ..CommitLimits::default() },
        ..EngineConfig::new(online, config.node_id)
    }
}

fn group_delay(config: &Config) -> Duration {
    Duration::from_millis(config.number(keys::FLUSH_GROUP_DELAY).max(0).unsigned_abs())
}

fn scrub_config(config: &Config) -> ScrubConfig {
    let interval = u64::try_from(config.number("klamm.scrub.interval.ms")).unwrap_or(0);
    ScrubConfig {
        interval_ms: (interval > 0).then_some(interval),
        bytes_per_second: config.number("klamm.scrub.bytes.per.second").max(1).unsigned_abs(),
    }
}

fn metadata_options(config: &Config, advertised: &[Endpoint], replicas: &Arc<Replicas>) -> MetadataOptions {
    let (name, host, port) = controller(config);
    let controller =
        record::Endpoint { name: name.into(), host: host.into(), port, security_protocol: PLAINTEXT };
    MetadataOptions {
        node_id: config.node_id,
        metadata_log_dir: config.metadata_log_dir.clone(),
        endpoints: advertised.iter().map(registered).collect(),
        controller_endpoints: vec![controller],
        rack: config.rack.as_deref().map(Into::into),
        min_insync_replicas: config.number("min.insync.replicas").to_string(),
        defaults: TopicDefaults {
            num_partitions: i32::try_from(config.number("num.partitions")).unwrap_or(1),
            replication_factor: i16::try_from(config.number("default.replication.factor")).unwrap_or(1),
        },
        snapshots: SnapshotPolicy {
            max_bytes: u64::try_from(config.number("metadata.log.max.record.bytes.between.snapshots"))
                .unwrap_or(0),
            max_interval: config.millis("metadata.log.max.snapshot.interval.ms"),
            retention_bytes: config.number("metadata.max.retention.bytes"),
            retention_ms: config.number("metadata.max.retention.ms"),
        },
        segments: SegmentPolicy {
            max_bytes: u32::try_from(config.number("metadata.log.segment.bytes")).unwrap_or(u32::MAX),
            max_ms: config.number("metadata.log.segment.ms"),
        },
        listener: Some(Arc::clone(replicas) as Arc<dyn MetadataListener>),
    }
}

/// Kafka's number of the protocol.
const PLAINTEXT: i16 = 0;

fn registered(endpoint: &Endpoint) -> record::Endpoint {
    record::Endpoint {
        name: endpoint.name.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        security_protocol: PLAINTEXT,
    }
}
