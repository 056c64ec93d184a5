//! The paths that Rust code names, whole: `use` trees taken apart, over lines, and paths that stand in expressions.
//!
//! Made for code without comments and strings. It is a tokenizer and no compiler: what a macro puts together, and a name
//! that a local `use` gave to something else, it does not see.

/// A path, from the crate's root where it can be told: `crate::batch::BatchView`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

impl Named {
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// Every path that `code` names, which is that of the module `module` (from the crate's root, without `crate`).
pub(crate) fn named(module: &[&str], code: &str) -> Vec<Named> {
    let mut reader = Walk {
        tokens: tokens(code),
        at: 0,
        module: module.iter().map(|&name| name.to_owned()).collect(),
        depth: 0,
        inner: Vec::new(),
        found: Vec::new(),
    };
    reader.run();
    reader.found
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Path,
    Mark(char),
}

fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (token, length) = match () {
                () if word > 0 => (Token::Word(rest[..word].to_owned()), word),
                () if rest.starts_with("::") => (Token::Path, 2),
                () => (Token::Mark(first), first.len_utf8()),
            };
            found.push((number + 1, token));
            rest = rest[length..].trim_start();
        }
    }
    found
}

struct Walk {
    tokens: Vec<(usize, Token)>,
    at: usize,
    module: Vec<String>,
    depth: usize,
    /// Modules inside this file that are open: their names, and how deep their brace stands.
    inner: Vec<(String, usize)>,
    found: Vec<Named>,
}

impl Walk {
    fn run(&mut self) {
        while let Some(token) = self.token(0) {
            match token {
                Token::Mark('{') => self.depth += 1,
                Token::Mark('}') => self.close(),
                Token::Word(word) if word == "mod" => self.module_begins(),
                Token::Word(word) if word == "use" => {
                    self.at += 1;
                    self.tree(&[]);
                    continue;
                }
                Token::Word(_) => {
                    self.path();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn token(&self, ahead: usize) -> Option<Token> {
        self.tokens.get(self.at + ahead).map(|(_, token)| token.clone())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        while self.inner.last().is_some_and(|(_, depth)| *depth >= self.depth) {
            self.inner.pop();
        }
    }

    fn module_begins(&mut self) {
        if let (Some(Token::Word(name)), Some(Token::Mark('{'))) = (self.token(1), self.token(2)) {
            self.inner.push((name, self.depth));
        }
    }

    /// A path of an expression or a type: words with `::` between them. One word alone names nothing.
    fn path(&mut self) {
        let line = self.tokens[self.at].0;
        let mut segments = Vec::new();
        while let Some(Token::Word(word)) = self.token(0) {
            segments.push(word);
            self.at += 1;
            match (self.token(0), self.token(1)) {
                (Some(Token::Path), Some(Token::Word(_))) => self.at += 1,
                _ => break,
            }
        }
        if segments.len() > 1 {
            self.note(line, segments);
        }
    }

    /// One branch of a `use`, up to what ends it.
    fn tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
        while let Some(token) = self.token(0) {
            match token {
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Word(word) => {
                    segments.push(word);
                    self.at += 1;
                }
                Token::Mark('*') => {
                    segments.push("*".to_owned());
                    self.at += 1;
                }
                Token::Path => self.at += 1,
                Token::Mark('{') => return self.group(&segments),
                _ => break,
            }
        }
        if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
            segments.pop();
        }
        if !segments.is_empty() {
            self.note(line, segments);
        }
    }

    fn group(&mut self, before: &[String]) {
        self.at += 1;
        while let Some(token) = self.token(0) {
            match token {
                Token::Mark('}') => {
                    self.at += 1;
                    return;
                }
                Token::Mark(',') => self.at += 1,
                Token::Word(_) | Token::Path | Token::Mark('{' | '*') => self.tree(before),
                Token::Mark(_) => return,
            }
        }
    }

    fn note(&mut self, line: usize, segments: Vec<String>) {
        self.found.push(Named { line, segments: self.resolved(segments) });
    }

    /// `self` and `super` resolved.
    fn resolved(&self, segments: Vec<String>) -> Vec<String> {
        let up = segments.iter().take_while(|word| *word == "super" || *word == "self").count();
        if up == 0 {
            return segments;
        }
        let levels = segments[..up].iter().filter(|word| *word == "super").count();
        let mut here = self.module.clone();
        here.extend(self.inner.iter().map(|(name, _)| name.clone()));
        here.truncate(here.len().saturating_sub(levels));
        here.insert(0, "crate".to_owned());
        here.extend_from_slice(&segments[up..]);
        here
    }
}

#[test]
fn paths_are_found_over_lines_in_groups_and_in_expressions() {
    let found = |code: &str| -> Vec<String> {
        named(&["commit", "gather"], code)
            .iter()
            .map(|named| format!("{} {}", named.line, named.text()))
            .collect()
    };
    assert_eq!(
        found("use crate::{\n    io::{self, Disk as D},\n    log::*,\n};\nuse std::io;\n"),
        ["2 crate::io", "2 crate::io::Disk", "3 crate::log::*", "5 std::io"]
    );
    assert_eq!(found("let x =\n    crate\n    ::log::f::<u8>(y.z);\n"), ["2 crate::log::f"]);
    assert_eq!(found("use super::super::engine::Engine;"), ["1 crate::engine::Engine"]);
    assert_eq!(found("use super::{Group, self};"), ["1 crate::commit::Group", "1 crate::commit"]);
    assert_eq!(
        found("mod inner { use super::x; } super::y();"),
        ["1 crate::commit::gather::x", "1 crate::commit::y"]
    );
    assert_eq!(found("use crate as engine;"), ["1 crate"]);
    assert_eq!(found("fn f() { a.b } struct S;"), Vec::<String>::new());
}
