//! Layers inside `log-engine`, read off the `use` lines and paths of its modules; and where `unsafe` stands.

/// What modules of the engine may not use, tests excepted. Not listed: may use anything.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    (
        "types",
        &["batch", "producer", "segment", "epoch", "checkpoint", "io", "commit", "log", "log_dir", "engine"],
    ),
    ("batch", &["producer", "segment", "epoch", "checkpoint", "io", "commit", "log", "log_dir", "engine"]),
    ("producer", &["segment", "commit", "log", "log_dir", "engine"]),
    ("io", &["batch", "producer", "segment", "epoch", "checkpoint", "commit", "log", "log_dir", "engine"]),
    ("commit", &["batch", "producer", "segment", "epoch", "checkpoint", "log", "log_dir", "engine"]),
    ("segment", &["producer", "commit", "log", "log_dir", "engine"]),
    ("log", &["engine"]),
];

/// Words that are file, socket or clock access: `batch` is bytes in, bytes out.
const IO_WORDS: [&str; 5] = ["std::fs", "std::net", "rustix::", "SystemTime::now", "Instant::now"];

/// Uses of a module that lies above the one that this file belongs to, and input or output in `batch`.
pub(crate) fn violations(path: &str, code: &str) -> Vec<String> {
    let Some(module) = path.strip_prefix("log-engine/src/").and_then(|rest| rest.split(['/', '.']).next())
    else {
        return Vec::new();
    };
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in code.lines().enumerate() {
        if let Some((_, above)) = FORBIDDEN.iter().find(|(name, _)| *name == module) {
            findings.extend(
                above
                    .iter()
                    .filter(|name| uses(line, name))
                    .map(|name| format!("{path}:{}: {module} uses {name}", number + 1)),
            );
        }
        if module == "batch" {
            let words = IO_WORDS.iter().filter(|word| line.contains(**word));
            findings.extend(words.map(|word| format!("{path}:{}: batch uses {word}", number + 1)));
        }
    }
    findings
}

/// Whether a line names `crate::module`, alone or first in a group.
fn uses(line: &str, module: &str) -> bool {
    line.match_indices("crate::").any(|(at, _)| {
        let rest = &line[at + "crate::".len()..];
        let names = rest.strip_prefix('{').and_then(|group| group.split('}').next()).unwrap_or(rest);
        let mut parts = if names.len() == rest.len() { vec![rest] } else { names.split(',').collect() };
        parts.iter_mut().any(|part| {
            let part = part.trim_start();
            part.strip_prefix(module)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    })
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
fn a_use_of_an_upper_module_is_found() {
    assert_eq!(violations("log-engine/src/io/uring.rs", "use crate::commit::Group;").len(), 1);
    assert_eq!(violations("log-engine/src/commit/mod.rs", "use crate::{io, log::Log};").len(), 1);
    assert_eq!(violations("log-engine/src/commit.rs", "let x = crate::log::f();").len(), 1);
    assert_eq!(
        violations("log-engine/src/commit/mod.rs", "use crate::log_levels::X; use crate::io;"),
        Vec::<String>::new()
    );
    assert_eq!(violations("log-engine/src/batch/mod.rs", "use std::fs::File;").len(), 1);
    assert_eq!(violations("broker-shim/src/main.rs", "use crate::commit;"), Vec::<String>::new());
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
