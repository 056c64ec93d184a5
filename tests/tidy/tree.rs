//! The files of the tree as the rules see them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use klamm_tests::binaries::workspace;

/// Directories that are not ours to judge: built, fetched, or written by Kafka.
const FOREIGN: [&str; 5] = ["target", ".git", "klamm-data", "tests/corpus", "benches/versus/results"];

/// Kinds of text file that people write here.
const KINDS: [&str; 11] = ["rs", "toml", "md", "sh", "java", "go", "py", "xml", "properties", "json", "run"];

/// Every text file by its path from the top.
pub(crate) struct Tree {
    files: BTreeMap<String, File>,
    names: Vec<String>,
}

/// One text file.
pub(crate) struct File {
    /// From the top of the tree, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    /// Reads it from disk.
    pub(crate) fn read() -> Self {
        let mut tree = Self { files: BTreeMap::new(), names: Vec::new() };
        tree.descend(workspace(), "");
        assert!(tree.files.len() > 20, "the tree was found");
        tree
    }

    fn descend(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).expect("a directory of the tree can be listed") {
            let entry = entry.expect("a directory of the tree can be listed");
            let name = entry.file_name().into_string().expect("names in the tree are text");
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            self.names.push(path.clone());
            if entry.path().is_dir() {
                if !FOREIGN.contains(&path.as_str()) {
                    self.descend(&entry.path(), &path);
                }
            } else if KINDS.contains(&path.rsplit(['.', '/']).next().expect("rsplit yields a part")) {
                let text = fs::read_to_string(entry.path()).expect("a source file is UTF-8");
                self.files.insert(path.clone(), File { path, text });
            }
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// Paths of all files and directories, those of foreign directories excepted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    /// The text of one file that must be there.
    pub(crate) fn text(&self, path: &str) -> &str {
        &self.files.get(path).unwrap_or_else(|| panic!("{path} is in the tree")).text
    }

    /// The code of one file that must be there.
    pub(crate) fn code(&self, path: &str) -> String {
        self.files.get(path).unwrap_or_else(|| panic!("{path} is in the tree")).code()
    }

    /// Whether a file or directory of this name is there, in foreign directories too.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.names.iter().any(|name| name == path) || workspace().join(path).exists()
    }
}

impl File {
    /// Rust code without its comments, the contents of its strings, and its test modules, lines kept.
    pub(crate) fn code(&self) -> String {
        without_tests(&without_comments(&self.text))
    }
}

/// Cuts off the test module that ends a file.
fn without_tests(code: &str) -> String {
    let mut lines = code.lines().peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]"
            && lines.clone().find(|next| !next.starts_with('#')).is_some_and(opens_inline_module)
        {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn opens_inline_module(line: &str) -> bool {
    line.starts_with("mod ") && line.ends_with('{')
}

/// Blanks comments and what stands between quotes.
fn without_comments(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let skipped = comment_length(rest).or_else(|| string_length(rest));
        let length = skipped.unwrap_or(character.len_utf8());
        let (token, after) = rest.split_at(length);
        if skipped.is_some() {
            kept.extend(token.chars().filter(|&c| c == '\n'));
        } else {
            kept.push(character);
        }
        rest = after;
    }
    kept
}

fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// Length of the string or character literal that begins here.
fn string_length(rest: &str) -> Option<usize> {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            return Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()));
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => Some(quoted_length(rest)),
        // A lifetime has no closing quote within reach; a character has.
        [b'\'', b'\\', ..] => {
            rest[2..].char_indices().skip(1).find(|&(_, c)| c == '\'').map(|(end, _)| end + 3)
        }
        [b'\'', ..] => {
            let character = rest[1..].chars().next()?;
            let close = 1 + character.len_utf8();
            rest[close..].starts_with('\'').then_some(close + 1)
        }
        _ => None,
    }
}

fn quoted_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn code_is_what_is_neither_comment_nor_string_nor_test() {
    let file = |text: &str| File { path: "a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(file("a // b\nc /* d\n */ e\n").code(), "a \nc \n e\n");
    assert_eq!(file("f(\"x // \\\" y\", r#\"z \" \"#, 'q', '\\'', &'a str)").code(), "f(, , , , &'a str)\n");
    assert_eq!(file("a\n#[cfg(test)]\nmod tests {\n b }\n").code(), "a\n");
    assert_eq!(file("a\n#[cfg(test)]\nmod tests;\nb\n").code(), "a\n#[cfg(test)]\nmod tests;\nb\n");
}
