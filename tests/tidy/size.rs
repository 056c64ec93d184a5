//! The report of what grows: largest files and longest functions. It judges nothing; it starts conversations.

use std::fmt::Write;

/// Lines of code without comments and tests, largest first.
pub(crate) fn report<'a>(files: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut sizes = Vec::new();
    let mut functions = Vec::new();
    for (path, code) in files {
        sizes.push((code.lines().filter(|line| !line.trim().is_empty()).count(), path.to_owned()));
        functions.extend(
            function_lengths(&code).into_iter().map(|(length, name)| (length, format!("{path}: {name}"))),
        );
    }
    let mut text = String::new();
    for (title, list) in [("largest files", &mut sizes), ("longest functions", &mut functions)] {
        list.sort_by(|a, b| b.cmp(a));
        writeln!(text, "{title} (lines of code)").expect("a string takes text");
        for (length, name) in list.iter().take(15) {
            writeln!(text, "{length:6}  {name}").expect("a string takes text");
        }
    }
    text
}

/// Length and name of every function, by the indentation that rustfmt gives.
fn function_lengths(code: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut functions = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indentation}}}");
        let length = lines[start..].iter().position(|later| *later == close).map_or(1, |end| end + 1);
        functions.push((length, name.to_owned()));
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = before.split_whitespace().all(|word| {
        matches!(word, "const" | "async" | "unsafe" | "extern")
            || word.starts_with("pub")
            || word.ends_with(')')
    });
    let name = after.split(['(', '<']).next()?;
    (qualifiers && !name.is_empty() && !line.trim_end().ends_with(';')).then_some(name)
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let code = "pub(crate) fn one() {\n    1\n}\nimpl X {\n    fn two(&self) -> u8 {\n        a();\n        b()\n    }\n}\n";
    assert_eq!(function_lengths(code), [(3, "one".to_owned()), (4, "two".to_owned())]);
}
