//! `docs/proof.md`: what was run, on which code, with which result. A line for each run; a later one begins where the last
//! one ended, until the code that they prove changes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The page.
pub fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md")
}

/// The code that the proofs speak of: the newest commit that changed the engine.
pub fn commit() -> String {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../log-engine/src");
    let log = Command::new("git")
        .args(["log", "-1", "--format=%h", "--"])
        .arg(&engine)
        .current_dir(&engine)
        .output();
    let named = log.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let named = named.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    named.unwrap_or_else(|| "unknown".to_owned())
}

/// Where the seeds of `proof` go on that were run on this code.
pub fn next_seed(page: &str, proof: &str, commit: &str) -> u64 {
    let lines = page.lines().filter_map(Line::parse);
    lines
        .filter(|line| line.proof == proof && line.commit == commit)
        .map(|line| line.until)
        .max()
        .unwrap_or(0)
}

/// Adds a line to the page.
pub fn note(page: &Path, proof: &str, commit: &str, seeds: (u64, u64), result: &str) -> io::Result<()> {
    let line = format!("| {proof} | {commit} | {} | {} | {result} |\n", seeds.0, seeds.1);
    fs::OpenOptions::new().append(true).open(page)?.write_all(line.as_bytes())
}

struct Line<'a> {
    proof: &'a str,
    commit: &'a str,
    until: u64,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.strip_prefix('|')?.split('|').map(str::trim);
        let (proof, commit, _) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { proof, commit, until: fields.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_the_last_one_on_the_same_code_ended() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let page = directory.path().join("proof.md");
        fs::write(&page, "| proof | engine | from | to | result |\n|---|---|---|---|---|\n")
            .expect("writable");
        note(&page, "sim", "abc", (0, 500), "nothing broken").expect("writable");
        note(&page, "sim", "abc", (500, 900), "nothing broken").expect("writable");
        note(&page, "kill", "abc", (0, 20), "nothing broken").expect("writable");
        let text = fs::read_to_string(&page).expect("readable");
        assert_eq!(next_seed(&text, "sim", "abc"), 900);
        assert_eq!(next_seed(&text, "kill", "abc"), 20);
        assert_eq!(next_seed(&text, "sim", "def"), 0);
    }
}
