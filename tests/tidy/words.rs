//! Words that a finished tree does not hold.

/// Marks of unfinished work in code. Written in two halves, so that this file does not find itself.
const UNFINISHED: [(&str, &str); 8] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("#[ign", "ore"),
    ("allow(dead", "_code)"),
    ("FIX", "ME"),
    ("TO", "DO"),
    ("XX", "X:"),
];

/// Paths of somebody's machine.
const MACHINE: [(&str, &str); 4] = [("/wo", "rk/"), ("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/")];

/// Typography that is not ASCII and says nothing that ASCII does not: dashes, curly quotes, ellipsis, soft spaces.
const TYPOGRAPHY: [char; 8] =
    ['\u{2013}', '\u{2014}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2026}', '\u{a0}'];

/// Findings in one file, with their lines.
pub(crate) fn left_behind(path: &str, text: &str) -> Vec<String> {
    let words: Vec<String> = UNFINISHED.iter().chain(&MACHINE).map(|(a, b)| format!("{a}{b}")).collect();
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = words.iter().filter(|word| line.contains(word.as_str())).cloned();
        let typography =
            TYPOGRAPHY.iter().filter(|c| line.contains(**c)).map(|c| c.escape_unicode().to_string());
        findings.extend(found.chain(typography).map(|what| format!("{path}:{}: {what}", number + 1)));
    }
    findings
}

#[test]
fn words_left_behind_are_found_with_their_line() {
    let planted = format!("fine\n  {}!()\n// in {}/x\n\u{2014}\n", "todo", "/home");
    let found = left_behind("a.rs", &planted);
    assert_eq!(
        found,
        [format!("a.rs:2: {}!(", "todo"), format!("a.rs:3: {}/", "/home"), "a.rs:4: \\u{2014}".to_owned()]
    );
}
