//! Configuration: where keys come from, which one wins, and the typed result.
//!
//! Everything is checked here, before a file or a socket is opened. What is configured later, and for topics, comes on top:
//! see `effective`.

pub mod absent;
mod environment;
pub mod keys;
pub mod listeners;
mod properties;
pub mod reference;
pub mod requirements;
pub mod topic_keys;
pub mod value;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use listeners::{Endpoint, ListenerError, Listeners};
pub use properties::PropertiesError;
pub use value::ValueError;

/// Where keys come from; later fields win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A `server.properties`.
    pub file: Option<PathBuf>,
    /// Environment variables; those that set no key are passed over.
    pub environment: Vec<(String, String)>,
    /// `key=value`, as given on the command line.
    pub overrides: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The file is no properties file.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it is broken.
        error: PropertiesError,
    },
    /// An override is not `key=value`.
    #[error("--override {0}: expected key=value")]
    Override(String),
    /// A value that its key does not allow.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// A value that is not allowed beside the others.
    #[error("{0}")]
    Unmet(#[from] requirements::Unmet),
    /// The listeners cannot be used.
    #[error("{0}")]
    Listener(#[from] ListenerError),
    /// A role that does not exist here.
    #[error(
        "process.roles={0}: klamm runs as broker and controller in one; set process.roles=broker,controller"
    )]
    Roles(String),
    /// The metadata quorum names other voters.
    #[error(
        "{key}={value}: klamm is its own only controller so far; leave the key out or name only node {node_id}"
    )]
    Quorum {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// This node.
        node_id: i32,
    },
    /// Access control was asked for that does not exist: starting without it would open what should be closed.
    #[error(
        "authorizer.class.name={0}: there is no access control yet, so klamm does not start with an authorizer configured"
    )]
    Authorizer(String),
    /// A key needs a value.
    #[error("{0} must not be empty")]
    Empty(&'static str),
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Config {
    given: HashMap<&'static str, String>,
    /// `node.id`.
    pub node_id: i32,
    /// `klamm.cluster.id`, where given.
    pub cluster_id: Option<String>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Where to listen and what clients are told.
    pub listeners: Listeners,
    /// `log.dirs`, or `log.dir`.
    pub log_dirs: Vec<PathBuf>,
    /// Data directory of the metadata log, one of `log_dirs` or another.
    pub metadata_log_dir: PathBuf,
    /// What holds for each connection.
    pub connections: ConnectionLimits,
    /// What the user should know and the start does not depend on.
    pub warnings: Vec<String>,
}

/// Bounds on what clients can make the broker hold. How many there may be can change while the broker runs: see
/// `effective`.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// `connections.max.idle.ms`; `None` for never.
    pub idle: Option<Duration>,
    /// `socket.request.max.bytes`.
    pub request_bytes: usize,
    /// Bytes of requests in memory over all connections.
    pub queued_bytes: usize,
    /// `socket.send.buffer.bytes`, where not left to the system.
    pub send_buffer: Option<usize>,
    /// `socket.receive.buffer.bytes`, where not left to the system.
    pub receive_buffer: Option<usize>,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
}

/// Room for requests beside one of maximal size, where `queued.max.request.bytes` says nothing.
const QUEUED_BYTES_BESIDE_ONE: usize = 32 << 20;

impl Config {
    /// Gathers, checks and types the configuration.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut pairs = match &sources.file {
            Some(path) => read_file(path)?,
            None => Vec::new(),
        };
        pairs.extend(
            sources
                .environment
                .iter()
                .filter_map(|(name, text)| Some((environment::key_of(name)?, text.clone()))),
        );
        for text in &sources.overrides {
            let (key, text) = text.split_once('=').ok_or_else(|| ConfigError::Override(text.clone()))?;
            pairs.push((key.trim().to_owned(), text.trim().to_owned()));
        }
        Self::from_pairs(&pairs)
    }

    /// The same from key and value pairs, of which later ones win.
    pub fn from_pairs(pairs: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut given = HashMap::new();
        let mut warnings = Vec::new();
        for (name, text) in pairs {
            match keys::find(name) {
                Some(key) => {
                    value::check(key.name, text, key.kind, key.range)?;
                    given.insert(key.name, text.trim().to_owned());
                }
                None => warnings.push(match absent::find(name) {
                    Some(absent) => format!("{name} has no effect: {}", absent.reason),
                    None => format!("{name} is not a key that klamm knows; it has no effect"),
                }),
            }
        }
        share_node_id(&mut given);
        requirements::check(|key| given.get(key).map(String::as_str))?;
        typed(Values { given: &given }, warnings).map(|mut config| {
            config.given = given;
            config
        })
    }

    /// The text of a broker key as it was given, if it was.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.given.get(key).map(String::as_str)
    }

    /// The text of a broker key: given or default.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values().text(key)
    }

    /// A key of a number type.
    pub fn number(&self, key: &str) -> i64 {
        self.values().number(key)
    }

    /// A boolean key.
    pub fn flag(&self, key: &str) -> bool {
        self.values().flag(key)
    }

    /// A number of milliseconds.
    pub fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key).try_into().unwrap_or(0))
    }

    fn values(&self) -> Values<'_> {
        Values { given: &self.given }
    }
}

/// Each of the two names of the node's number stands for the other (`AbstractKafkaConfig.populateSynonyms`).
fn share_node_id(given: &mut HashMap<&'static str, String>) {
    for (from, to) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if let Some(text) = given.get(from).cloned() {
            given.entry(to).or_insert(text);
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    properties::parse(&text).map_err(|error| ConfigError::Syntax { path: path.to_owned(), error })
}

/// Reading of values that were checked against the table.
#[derive(Clone, Copy)]
struct Values<'a> {
    given: &'a HashMap<&'static str, String>,
}

impl<'a> Values<'a> {
    fn text(self, key: &str) -> Option<&'a str> {
        match self.given.get(key) {
            Some(text) => Some(text),
            None => keys::find(key).and_then(|row| row.default),
        }
    }

    fn number(self, key: &str) -> i64 {
        self.text(key)
            .and_then(|text| text.parse().ok())
            .expect("checked against the table, where it is a number")
    }

    fn size(self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(0)
    }

    fn flag(self, key: &str) -> bool {
        self.text(key).and_then(value::parse_bool).expect("checked against the table, where it is a boolean")
    }

    fn list(self, key: &str) -> impl Iterator<Item = &'a str> {
        value::list(self.text(key).unwrap_or(""))
    }
}

fn typed(values: Values<'_>, warnings: Vec<String>) -> Result<Config, ConfigError> {
    let node_id = i32::try_from(values.number("node.id")).expect("an int by the table");
    check_roles(values)?;
    check_quorum(values, node_id)?;
    match values.text("authorizer.class.name") {
        None | Some("") => {}
        Some(class) => return Err(ConfigError::Authorizer(class.to_owned())),
    }
    let log_dirs = log_dirs(values)?;
    let metadata_log_dir = values.text("metadata.log.dir").map_or_else(|| log_dirs[0].clone(), PathBuf::from);
    Ok(Config {
        given: HashMap::new(),
        node_id,
        cluster_id: values.text(keys::CLUSTER_ID).map(ToOwned::to_owned),
        rack: values.text("broker.rack").map(ToOwned::to_owned),
        listeners: listeners(values)?,
        log_dirs,
        metadata_log_dir,
        connections: connection_limits(values),
        warnings,
    })
}

fn check_roles(values: Values<'_>) -> Result<(), ConfigError> {
    let both =
        ["broker", "controller"].iter().all(|role| values.list("process.roles").any(|given| given == *role));
    if both {
        return Ok(());
    }
    Err(ConfigError::Roles(values.text("process.roles").unwrap_or("").to_owned()))
}

fn check_quorum(values: Values<'_>, node_id: i32) -> Result<(), ConfigError> {
    let key = "controller.quorum.voters";
    let own = format!("{node_id}@");
    if values.list(key).all(|voter| voter.starts_with(&own)) {
        return Ok(());
    }
    let value = values.text(key).unwrap_or("").to_owned();
    Err(ConfigError::Quorum { key, value, node_id })
}

fn log_dirs(values: Values<'_>) -> Result<Vec<PathBuf>, ConfigError> {
    let given = values.given.get("log.dirs").or_else(|| values.given.get("log.dir")).map(String::as_str);
    let text = given.or_else(|| values.text("log.dirs")).unwrap_or("");
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in value::list(text).map(PathBuf::from) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    if directories.is_empty() { Err(ConfigError::Empty("log.dirs")) } else { Ok(directories) }
}

fn listeners(values: Values<'_>) -> Result<Listeners, ConfigError> {
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(listeners::resolve(listeners::Given {
        listeners: values.text("listeners").unwrap_or(""),
        advertised: values.text("advertised.listeners"),
        protocols: values.text("listener.security.protocol.map").unwrap_or(""),
        controller_names: values.text("controller.listener.names").unwrap_or(""),
        host_name: &host_name,
    })?)
}

fn connection_limits(values: Values<'_>) -> ConnectionLimits {
    let buffer = |key| usize::try_from(values.number(key)).ok().filter(|size| *size > 0);
    let request_bytes = values.size("socket.request.max.bytes");
    let queued_bytes = match values.number("queued.max.request.bytes") {
        ..=0 => request_bytes + QUEUED_BYTES_BESIDE_ONE,
        given => usize::try_from(given).unwrap_or(usize::MAX).max(request_bytes),
    };
    ConnectionLimits {
        idle: u64::try_from(values.number("connections.max.idle.ms")).ok().map(Duration::from_millis),
        request_bytes,
        queued_bytes,
        send_buffer: buffer("socket.send.buffer.bytes"),
        receive_buffer: buffer("socket.receive.buffer.bytes"),
        backlog: i32::try_from(values.number("socket.listen.backlog.size")).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests;
