//! The command line of `kafka-dump-log`: Kafka's keys, read by the rules of the option parser that Kafka uses (joptsimple),
//! so that a script that works with Kafka's tool works with this one, mistakes included.
//!
//! Those rules: `--key value`, `--key=value` and `-key value` are the same; no abbreviations; what is no option is ignored;
//! a value is converted only when it is needed, so a bad `--max-bytes` harms nothing while only index files are dumped.

use thiserror::Error;

use super::{
    coordinator_log::CoordinatorLog,
    decoder::{Decoder, MessageParser},
};

/// The version of Apache Kafka whose tool this one stands in for.
pub(super) const KAFKA_VERSION: &str = "4.3.0";

/// Printed for `--help` and for a missing `--files`.
pub(super) const HELP: &str = "\
Option                               Description
------                               -----------
--cluster-metadata-decoder           Show records as those of the cluster
                                       metadata log.
--deep-iteration                     Show every record, not only the batches.
                                       Comes with --print-data-log.
--files <String: file1, file2, ...>  REQUIRED: The files to dump, separated by
                                       commas: .log, .index, .timeindex,
                                       .txnindex, .snapshot, .checkpoint.
--help                               Show these keys.
--index-sanity-check                 Only check an index as a starting broker
                                       does, without printing its entries.
--json                               One JSON object per line instead of Kafka's
                                       text. Also reads leader-epoch-checkpoint,
                                       the other text checkpoints,
                                       partition.metadata and meta.properties.
--key-decoder-class [String]         How keys are shown: one of StringDecoder,
                                       IntegerDecoder, LongDecoder and
                                       DefaultDecoder of org.apache.kafka.tools.
                                       api. (default: org.apache.kafka.tools.
                                       api.StringDecoder)
--max-bytes <Integer: size>          Read no more than this many bytes of each
                                       .log file. (default: 2147483647)
--max-message-size <Integer: size>   The largest batch expected where an index
                                       points to. (default: 5242880)
--offsets-decoder                    Show records as those of
                                       __consumer_offsets.
--print-data-log                     Show keys and payloads. Comes with every
                                       decoder option.
--remote-log-metadata-decoder        Show records as those of
                                       __remote_log_metadata.
--share-group-state-decoder          Refused: records of __share_group_state.
--skip-record-metadata               Leave out offsets, sizes and headers of the
                                       records, and control records.
--transaction-log-decoder            Show records as those of
                                       __transaction_state.
--value-decoder-class [String]       How payloads are shown, as
                                       --key-decoder-class.
--verify-index-only                  Check an index against its log without
                                       printing its entries.
--version                            Show the version of Kafka whose tool this
                                       one stands in for.
";

/// What the tool does, printed above [`HELP`].
pub(super) const INTRODUCTION: &str =
    "Shows what Kafka's segment, index, snapshot and checkpoint files hold, and where they are damaged.";

/// Why a command line was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum OptionError {
    /// No key of this name.
    #[error("{0} is not a recognized option")]
    Unrecognized(String),
    /// The key stands at the end, without its value.
    #[error("Option {0} requires an argument")]
    MissingArgument(&'static str),
    /// A key that may be given once was given more often.
    #[error("Found multiple arguments for option {0}, but you asked for only one")]
    MultipleArguments(&'static str),
    /// The value is no number that fits.
    #[error("Cannot parse argument '{value}' of option {key}")]
    NotANumber {
        /// The key.
        key: &'static str,
        /// What stood behind it.
        value: String,
    },
    /// A decoder class that this tool does not have.
    #[error(
        "{0} is not one of the decoders built into this tool (org.apache.kafka.tools.api.StringDecoder, IntegerDecoder, \
         LongDecoder, DefaultDecoder), and it loads no Java classes"
    )]
    UnknownDecoder(String),
    /// A decoder of a topic that Klamm does not have yet.
    #[error("--{key} is not built yet: the records of {topic} can be shown with --print-data-log only")]
    DecoderNotBuilt {
        /// The key.
        key: &'static str,
        /// The topic whose records it would show.
        topic: &'static str,
    },
    /// `--files` was not given; the keys are printed with it.
    #[error("Missing required argument \"[files]\"")]
    MissingFiles,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Optional,
    Required,
}

/// Every key and whether a value follows it.
const KEYS: [(&str, Value); 18] = [
    ("cluster-metadata-decoder", Value::None),
    ("deep-iteration", Value::None),
    ("files", Value::Required),
    ("help", Value::None),
    ("index-sanity-check", Value::None),
    ("json", Value::None),
    ("key-decoder-class", Value::Optional),
    ("max-bytes", Value::Required),
    ("max-message-size", Value::Required),
    ("offsets-decoder", Value::None),
    ("print-data-log", Value::None),
    ("remote-log-metadata-decoder", Value::None),
    ("share-group-state-decoder", Value::None),
    ("skip-record-metadata", Value::None),
    ("transaction-log-decoder", Value::None),
    ("value-decoder-class", Value::Optional),
    ("verify-index-only", Value::None),
    ("version", Value::None),
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Print the keys.
    Help,
    /// Print the version.
    Version,
    /// Dump files.
    Dump(Options),
}

/// A command line that was understood; values are converted when asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    given: Vec<(&'static str, Option<String>)>,
}

impl Command {
    /// Reads the arguments that follow the program's name.
    pub(super) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, OptionError> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        let options = Options::parse(&arguments)?;
        if arguments.is_empty() || options.has("help") {
            Ok(Self::Help)
        } else if options.has("version") {
            Ok(Self::Version)
        } else if options.has("files") {
            Ok(Self::Dump(options))
        } else {
            Err(OptionError::MissingFiles)
        }
    }
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, OptionError> {
        let mut given = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                break;
            }
            if !looks_like_an_option(argument) {
                continue;
            }
            let (key, inline) = split_option(argument)?;
            let (key, value) =
                *KEYS.iter().find(|(name, _)| *name == key).ok_or_else(|| unrecognized(argument, key))?;
            let value = match (inline, value) {
                (Some(inline), _) => Some(inline.to_owned()),
                (None, Value::None) => None,
                (None, Value::Optional) => rest.next_if(|next| !looks_like_an_option(next)).cloned(),
                (None, Value::Required) => {
                    Some(rest.next().ok_or(OptionError::MissingArgument(key))?.clone())
                }
            };
            given.push((key, value));
        }
        Ok(Self { given })
    }

    fn has(&self, key: &str) -> bool {
        self.given.iter().any(|(name, _)| *name == key)
    }

    fn value(&self, key: &'static str) -> Result<Option<&str>, OptionError> {
        let mut values =
            self.given.iter().filter(|(name, _)| *name == key).filter_map(|(_, value)| value.as_deref());
        let value = values.next();
        if values.next().is_some() { Err(OptionError::MultipleArguments(key)) } else { Ok(value) }
    }

    fn number(&self, key: &'static str, default: i32) -> Result<i32, OptionError> {
        self.value(key)?.map_or(Ok(default), |value| {
            value.parse().map_err(|_| OptionError::NotANumber { key, value: value.to_owned() })
        })
    }

    /// The files, cut at commas as `String.split` cuts: empty names at the end fall away.
    pub(super) fn files(&self) -> Result<Vec<&str>, OptionError> {
        let list = self.value("files")?.unwrap_or_default();
        let mut files: Vec<&str> = list.split(',').collect();
        while files.len() > 1 && files.last().is_some_and(|file| file.is_empty()) {
            files.pop();
        }
        if list.starts_with(',') && files.iter().all(|file| file.is_empty()) {
            files.clear();
        }
        Ok(files)
    }

    /// Whether keys and payloads are shown.
    pub(super) fn prints_data(&self) -> bool {
        [
            "print-data-log",
            "offsets-decoder",
            "transaction-log-decoder",
            "cluster-metadata-decoder",
            "remote-log-metadata-decoder",
            "share-group-state-decoder",
            "value-decoder-class",
            "key-decoder-class",
        ]
        .iter()
        .any(|key| self.has(key))
    }

    /// Whether records are shown, not only batches.
    pub(super) fn is_deep(&self) -> bool {
        self.has("deep-iteration") || self.prints_data()
    }

    /// Whether offsets, sizes and control records are left out.
    pub(super) fn skips_record_metadata(&self) -> bool {
        self.has("skip-record-metadata")
    }

    /// Whether index entries are checked but not printed.
    pub(super) fn verifies_index_only(&self) -> bool {
        self.has("verify-index-only")
    }

    /// Whether an index is only checked as a starting broker does.
    pub(super) fn checks_index_sanity_only(&self) -> bool {
        self.has("index-sanity-check")
    }

    /// Whether lines are JSON objects.
    pub(super) fn is_json(&self) -> bool {
        self.has("json")
    }

    /// How much of a `.log` file is read.
    pub(super) fn max_bytes(&self) -> Result<i32, OptionError> {
        self.number("max-bytes", i32::MAX)
    }

    /// How much is read where an index entry points to.
    pub(super) fn max_message_size(&self) -> Result<i32, OptionError> {
        self.number("max-message-size", 5 * 1024 * 1024)
    }

    /// How records are shown; the first of the topic decoders wins over the decoder classes.
    pub(super) fn message_parser(&self) -> Result<MessageParser, OptionError> {
        if self.has("offsets-decoder") {
            Ok(MessageParser::Coordinator(CoordinatorLog::Groups))
        } else if self.has("transaction-log-decoder") {
            Ok(MessageParser::Coordinator(CoordinatorLog::Transactions))
        } else if self.has("cluster-metadata-decoder") {
            Ok(MessageParser::ClusterMetadata)
        } else if self.has("remote-log-metadata-decoder") {
            Ok(MessageParser::RemoteLogMetadata)
        } else if self.has("share-group-state-decoder") {
            let (key, topic) = ("share-group-state-decoder", "__share_group_state");
            Err(OptionError::DecoderNotBuilt { key, topic })
        } else {
            let value = self.decoder("value-decoder-class")?;
            let key = self.decoder("key-decoder-class")?;
            Ok(MessageParser::Decoders { key, value })
        }
    }

    fn decoder(&self, key: &'static str) -> Result<Decoder, OptionError> {
        self.value(key)?.map_or(Ok(Decoder::String), |class| {
            Decoder::of_class(class).ok_or_else(|| OptionError::UnknownDecoder(class.to_owned()))
        })
    }
}

fn looks_like_an_option(argument: &str) -> bool {
    argument.len() > 1 && argument.starts_with('-')
}

fn split_option(argument: &str) -> Result<(&str, Option<&str>), OptionError> {
    let body = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or(argument);
    Ok(body.split_once('=').map_or((body, None), |(key, value)| (key, Some(value))))
}

/// One hyphen may begin a cluster of one-letter options; there are none, so the first letter is the one not recognized.
fn unrecognized(argument: &str, key: &str) -> OptionError {
    let is_cluster = !argument.starts_with("--");
    OptionError::Unrecognized(key.chars().take(if is_cluster { 1 } else { usize::MAX }).collect())
}
