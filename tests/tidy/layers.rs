//! Layers inside `log-engine`, read off the paths that its modules name; and where `unsafe` stands.

use std::collections::BTreeMap;

use crate::paths::{self, Named};

/// What modules of the engine may use besides themselves, tests excepted. Not listed: may use anything.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("types", &[]),
    ("sync", &[]),
    ("batch", &["types", "limits"]),
    ("producer", &["types", "batch", "limits"]),
    ("epoch", &["types", "checkpoint"]),
    ("checkpoint", &["types", "io", "error", "epoch"]),
    ("io", &["types"]),
    ("commit", &["types", "sync", "io"]),
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
];

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

/// Uses of a module that the one this file belongs to may not use, and input or output in `batch`.
pub(crate) fn violations(root: &Root, path: &str, code: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("log-engine/src/").and_then(|rest| rest.strip_suffix(".rs")) else {
        return Vec::new();
    };
    if inside.ends_with("/tests") || inside.contains("/tests/") || inside.contains("conformance") {
        return Vec::new();
    }
    let mut module: Vec<&str> = inside.split('/').collect();
    if module.last() == Some(&"mod") {
        module.pop();
    }
    let layer = module[0];
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == layer) else { return Vec::new() };
    let mut findings = Vec::new();
    for named in paths::named(&module, code) {
        let place = format!("{path}:{}", named.line);
        match root.module(&named) {
            Some(used) if used != layer && !may_use.contains(&used) => {
                findings.push(format!("{place}: {layer} uses {used} ({})", named.text()));
            }
            _ => {}
        }
        if layer == "batch" && IO_PATHS.iter().any(|io| contains(&named, io)) {
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
    let found = |path: &str, code: &str| violations(&root, path, code).len();
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
