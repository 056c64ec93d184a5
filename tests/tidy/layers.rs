//! Layers inside `log-engine` and `broker-shim`, read off the paths that their modules name; and where `unsafe` stands.

use std::collections::BTreeMap;

use crate::paths::{self, Named};

/// A package whose modules are layers: where its sources lie, and what each module may use besides itself, tests excepted. Every
/// module has a line.
pub(crate) struct Package {
    sources: &'static str,
    may_use: &'static [(&'static str, &'static [&'static str])],
}

/// May use anything: it stands above the others.
const ANYTHING: &str = "*";

pub(crate) const ENGINE: Package = Package {
    sources: "log-engine/src/",
    may_use: &[
        ("types", &[]),
        ("sync", &[]),
        ("limits", &[]),
        ("throttle", &[]),
        ("clock", &["types"]),
        ("io", &["types"]),
        ("batch", &["types", "limits"]),
        ("producer", &["types", "batch", "limits"]),
        ("epoch", &["types", "checkpoint"]),
        ("checkpoint", &["types", "io", "error", "epoch"]),
        ("commit", &["types", "sync", "io"]),
        ("error", &["types", "io", "batch", "producer", "commit"]),
        ("config", &["types", "io", "batch", "commit", "clock", "clean", "scrub"]),
        ("segment", &["types", "batch", "io", "epoch", "error", "config"]),
        ("log_dir", &["types", "io", "error", "checkpoint"]),
        ("home", &["types", "io", "commit", "log_dir", "clock", "config", "checkpoint", "segment"]),
        (
            "log",
            &[
                "types",
                "sync",
                "batch",
                "producer",
                "segment",
                "epoch",
                "checkpoint",
                "io",
                "commit",
                "log_dir",
                "home",
                "retain",
                "error",
                "config",
                "limits",
                "clock",
            ],
        ),
        ("retain", &["types", "segment", "error", "config", "log"]),
        (
            "inspect",
            &[
                "types", "batch", "io", "segment", "epoch", "producer", "error", "log", "log_dir", "clean",
                "retain",
            ],
        ),
        ("metrics", &["commit"]),
        // Jobs over all logs, and the engine, which starts them.
        ("clean", &[ANYTHING]),
        ("scrub", &[ANYTHING]),
        ("background", &[ANYTHING]),
        ("engine", &[ANYTHING]),
        ("operation", &[ANYTHING]),
    ],
};

pub(crate) const BROKER: Package = Package {
    sources: "broker-shim/src/",
    may_use: &[
        ("config", &[]),
        ("wait", &[]),
        ("workers", &[]),
        ("side_by_side", &[]),
        ("offline", &[]),
        ("metadata", &["config"]),
        ("error_map", &["metadata"]),
        ("failed_directories", &["metadata"]),
        ("producer_ids", &["error_map", "metadata"]),
        ("quota", &["metadata"]),
        ("request_context", &["quota"]),
        ("authorizer", &["request_context"]),
        ("effective", &["config", "metadata", "quota"]),
        ("settings", &["config", "effective", "metadata", "quota", "transaction"]),
        ("partition", &["error_map", "wait"]),
        ("replicas", &["config", "effective", "metadata", "partition", "settings", "side_by_side", "wait"]),
        ("coordinator", &["error_map", "metadata", "partition", "replicas"]),
        ("group", &["config", "coordinator", "metadata", "replicas"]),
        (
            "transaction",
            &[
                "config",
                "coordinator",
                "error_map",
                "group",
                "metadata",
                "partition",
                "producer_ids",
                "replicas",
            ],
        ),
        ("connection", &["quota"]),
        ("server", &["config", "connection", "quota", "workers"]),
        ("broker", &[ANYTHING]),
        (
            "api",
            &[
                "authorizer",
                "broker",
                "config",
                "connection",
                "coordinator",
                "effective",
                "error_map",
                "group",
                "metadata",
                "partition",
                "quota",
                "request_context",
                "transaction",
                "wait",
            ],
        ),
        ("start", &[ANYTHING]),
    ],
};

/// File, socket or clock access: `batch` is bytes in, bytes out.
const IO_PATHS: [&str; 5] = ["std::fs", "std::net", "rustix", "SystemTime::now", "Instant::now"];

/// Where the names that the engine's root gives away come from.
pub(crate) struct Root(BTreeMap<String, String>);

impl Root {
    /// Reads the code of the root, and of the module that it gives away whole.
    pub(crate) fn of(codes: &[&str]) -> Self {
        let named = codes.iter().flat_map(|code| paths::named(&[], code));
        let pairs = named.filter_map(|named| {
            match named.segments.strip_prefix(&["crate".to_owned()]).unwrap_or(&named.segments) {
                [module, .., name] => Some((name.clone(), module.clone())),
                _ => None,
            }
        });
        Self(pairs.collect())
    }

    /// The module that a path leads to; `crate` for the root itself, which leads everywhere.
    fn module<'a>(&'a self, named: &'a Named) -> Option<&'a str> {
        match &named.segments[..] {
            [root] if root == "crate" => Some("crate"),
            [root, name, ..] if root == "crate" => match self.0.get(name) {
                Some(module) => Some(module),
                None if name == "*" => Some("crate"),
                None => Some(name),
            },
            _ => None,
        }
    }
}

/// Uses of a module that the one this file belongs to may not use, a module that nothing is said about, and input or output in the
/// engine's `batch`.
pub(crate) fn violations(package: &Package, root: &Root, path: &str, code: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix(package.sources).and_then(|rest| rest.strip_suffix(".rs")) else {
        return Vec::new();
    };
    let mut module: Vec<&str> = inside.split('/').collect();
    let is_test = ["tests", "conformance", "denials"].iter().any(|part| module.contains(part));
    if is_test || ["lib", "main"].contains(&inside) {
        return Vec::new();
    }
    if module.last() == Some(&"mod") {
        module.pop();
    }
    let layer = module[0];
    let Some((_, may_use)) = package.may_use.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{path}: nothing says what {layer} may use")];
    };
    let mut findings = Vec::new();
    for named in paths::named(&module, code) {
        let place = format!("{path}:{}", named.line);
        match root.module(&named) {
            Some(used) if used != layer && ![used, ANYTHING].iter().any(|name| may_use.contains(name)) => {
                findings.push(format!("{place}: {layer} uses {used} ({})", named.text()));
            }
            _ => {}
        }
        if package.sources == ENGINE.sources
            && layer == "batch"
            && IO_PATHS.iter().any(|io| contains(&named, io))
        {
            findings.push(format!("{place}: batch uses {}", named.text()));
        }
    }
    findings
}

/// Whether the words of `part` stand in the path, one after the other.
fn contains(named: &Named, part: &str) -> bool {
    let part: Vec<&str> = part.split("::").collect();
    named.segments.windows(part.len()).any(|words| words == part)
}

#[test]
fn a_use_of_an_upper_module_is_found_however_it_is_written() {
    let root = Root::of(&[
        "pub mod batch;\nmod log;\npub use log::{\n    Log,\n};\npub use types::Offset;\n",
        "pub use crate::scrub::Report;",
    ]);
    let found = |path: &str, code: &str| violations(&ENGINE, &root, path, code).len();
    let gather = "log-engine/src/commit/gather.rs";
    for code in [
        "use crate::log::Log;",
        "use crate::{io, log::Log};",
        "use crate::{\n    io::{\n        self,\n    },\n    log::{\n        Log,\n    },\n};",
        "use super::super::log::Log;",
        "let x = crate::log::f();",
        "fn f(log: &crate\n    ::log::Log) {}",
        "fn f() { super::super::engine::g() }",
        // By the name that the root gives away, by the root itself, and by everything in it.
        "use crate::Log;",
        "use crate::{Offset, Log};",
        "use crate::Report;",
        "use crate as all;",
        "use crate::*;",
    ] {
        assert_eq!(found(gather, code), 1, "{code}");
    }
    for code in [
        "use crate::{io, Offset};",
        "use super::Group;",
        "use crate::commit::Group;",
        "let log = catalog::log();",
    ] {
        assert_eq!(found(gather, code), 0, "{code}");
    }
    assert_eq!(found("log-engine/src/io/uring.rs", "use crate::commit::Group;"), 1);
    assert_eq!(found("log-engine/src/batch/mod.rs", "use std::{\n    fmt, fs::File,\n};"), 1);
    assert_eq!(found("log-engine/src/batch/mod.rs", "let now = std::time::Instant::now();"), 1);
    assert_eq!(found("log-engine/src/engine/mod.rs", "use crate::{log, commit};"), 0);
    assert_eq!(found("broker-shim/src/main.rs", "use crate::commit;"), 0);
    assert_eq!(found("log-engine/src/novel.rs", ""), 1);
    let in_broker = |path: &str, code: &str| violations(&BROKER, &Root::of(&[]), path, code).len();
    assert_eq!(in_broker("broker-shim/src/metadata/image.rs", "use crate::replicas::Replicas;"), 1);
    assert_eq!(in_broker("broker-shim/src/replicas.rs", "use crate::metadata::Image;"), 0);
}

/// The one unsafe call of the crash harness: no safe one takes the power from a file system.
const POWER_OFF: &str = "tests/proof/src/crash/power_off.rs";

/// `unsafe` as a word of the language, or the lint against it switched off, in any other place than `io` and the one file of the crash
/// harness.
pub(crate) fn stray_unsafe(path: &str, code: &str) -> Vec<String> {
    if path.starts_with("log-engine/src/io/") || path == POWER_OFF {
        return Vec::new();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.lines()
        .enumerate()
        .filter(|(_, line)| {
            let keyword = line.split(|c: char| !is_word(c)).any(|word| word == "unsafe");
            let lint_off =
                line.contains("unsafe_code") && (line.contains("allow(") || line.contains("expect("));
            keyword || lint_off
        })
        // The engine's root has to switch the lint off for the module below it.
        .filter(|(_, line)| !(path == "log-engine/src/lib.rs" && line.contains("unsafe_code")))
        .map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim()))
        .collect()
}

#[test]
fn stray_unsafe_code_is_found() {
    assert_eq!(stray_unsafe("tools/src/lib.rs", "let x = unsafe { 1 };").len(), 1);
    assert_eq!(stray_unsafe("tools/src/lib.rs", "#![allow(unsafe_code)]").len(), 1);
    assert_eq!(
        stray_unsafe("tools/src/lib.rs", "#![forbid(unsafe_code)] let unsafely = 1;"),
        Vec::<String>::new()
    );
    assert_eq!(stray_unsafe("log-engine/src/io/map.rs", "unsafe { 1 }"), Vec::<String>::new());
}
