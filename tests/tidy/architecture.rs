//! Whether ARCHITECTURE.md and the index of decisions name what is there, and nothing else.

use std::collections::BTreeSet;

/// No modules of their own right: the roots, and what only tests see.
const NOT_MODULES: [&str; 4] = ["lib", "main", "tests", "src"];

/// Names of the modules or folders right below a directory.
pub(crate) fn children<'a>(directory: &str, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let prefix = format!("{directory}/");
    names
        .filter_map(|path| path.strip_prefix(&prefix))
        .filter_map(|rest| match rest.split_once('/') {
            Some((folder, _)) => Some(folder),
            None if rest.contains('.') => rest.strip_suffix(".rs"),
            None => Some(rest),
        })
        .filter(|name| !NOT_MODULES.contains(name))
        .map(str::to_owned)
        .collect()
}

/// What the tables below `heading` name and `directory` has not, and the other way round.
pub(crate) fn differences(
    page: &str,
    heading: &str,
    directory: &str,
    there: &BTreeSet<String>,
) -> Vec<String> {
    let named = named_in_tables(page, heading, directory);
    let missing = there.difference(&named).map(|name| format!("{directory}/{name} is not in the table"));
    let gone =
        named.difference(there).map(|name| format!("{directory}/{name} is in the table and not there"));
    missing.chain(gone).collect()
}

/// Names between backticks in the first column of tables, up to the next heading. Packages beside the modules, which end
/// with a slash, and paths of other directories are no modules.
fn named_in_tables(page: &str, heading: &str, directory: &str) -> BTreeSet<String> {
    let section = page.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with('|'));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    let names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names
        .filter_map(|name| match name.strip_prefix(directory) {
            Some(below) => below.strip_prefix('/'),
            None => Some(name).filter(|name| !name.contains('/')),
        })
        .map(str::to_owned)
        .collect()
}

/// Paths of the tree that a page names between backticks and that are not there.
pub(crate) fn missing_paths(page: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = page
        .lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let tops = ["log-engine/", "broker-shim/", "tools/", "tests/", "benches/", "docs/"];
    quoted
        .filter(|path| tops.iter().any(|top| path.starts_with(top)))
        .filter(|path| !exists(path.trim_end_matches('/')))
        .map(|path| format!("{path} is named and not there"))
        .collect()
}

/// Decisions, by what follows the leading zero of their file name, to which the index has no link.
pub(crate) fn unlisted(index: &str, decisions: &[&str]) -> Vec<String> {
    let missing = decisions.iter().filter(|rest| !index.contains(&format!("](0{rest})")));
    missing.map(|rest| format!("0{rest} is not in the index")).collect()
}

#[test]
fn a_module_that_is_not_named_and_a_name_without_a_module_are_found() {
    let page = "## engine\n| module | what |\n|---|---|\n| `a`, `b` | `x` |\n| `gone` | |\n| `wire/` | |\n## next\n| `c` |\n";
    let files = ["src/a/mod.rs", "src/b.rs", "src/c.rs", "src/lib.rs", "src/tests/x.rs", "other/d.rs"];
    let there = children("src", files.into_iter());
    assert_eq!(
        differences(page, "## engine", "src", &there),
        ["src/c is not in the table", "src/gone is in the table and not there"]
    );
    let paths = "see `docs/gone.md`, `docs/here.md` and `Log::read`";
    assert_eq!(missing_paths(paths, |path| path == "docs/here.md"), ["docs/gone.md is named and not there"]);
}

#[test]
fn a_decision_outside_the_index_is_found() {
    assert_eq!(unlisted("[1](0001-a.md)", &["001-a.md", "002-b.md"]), ["0002-b.md is not in the index"]);
}
