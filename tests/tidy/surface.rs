//! The names that `log-engine` promises to a program that embeds it, against a list that is kept in the tree: a new one is
//! written down deliberately, and there are not too many.

/// Names at the root of the crate, its documented modules included.
pub(crate) const NAMES_MAX: usize = 40;

/// Public names of a module as its text declares them; what is hidden from the documentation is left out.
pub(crate) fn names(code: &str) -> Vec<String> {
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("pub ") {
        let is_item = at == 0 || code[..at].ends_with('\n');
        if is_item && !code[..at].trim_end().ends_with("#[doc(hidden)]") {
            names.extend(declared(&code[at + "pub ".len()..]));
        }
    }
    names.sort();
    names
}

fn declared(item: &str) -> Vec<String> {
    let word = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    let item = item.strip_prefix("const fn ").map_or(item.to_owned(), |rest| format!("fn {rest}"));
    let Some((kind, rest)) = item.split_once(' ') else { return Vec::new() };
    match kind {
        "use" => {
            let path = rest.split(';').next().unwrap_or_default();
            let last = path
                .split_once('{')
                .map_or_else(|| path.rsplit("::").next().unwrap_or(path), |(_, group)| group);
            let each = last.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty());
            each.map(|name| name.rsplit(" as ").next().unwrap_or(name).to_owned()).collect()
        }
        "mod" => vec![format!("mod {}", word(rest))],
        "struct" | "enum" | "trait" | "fn" | "const" | "type" => vec![word(rest)],
        _ => Vec::new(),
    }
}

/// How the names of several modules differ from the list: `- name` is gone, `+ name` is new.
pub(crate) fn differences(list: &str, modules: &[(&str, String)]) -> Vec<String> {
    let listed: Vec<String> =
        list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    let found: Vec<String> = modules
        .iter()
        .flat_map(|(module, code)| names(code).into_iter().map(move |name| format!("{module}{name}")))
        .collect();
    let gone = listed.iter().filter(|name| !found.contains(name)).map(|name| format!("- {name}"));
    let new = found.iter().filter(|name| !listed.contains(name)).map(|name| format!("+ {name}"));
    gone.chain(new).collect()
}

#[test]
fn names_are_read_off_the_text_and_what_is_hidden_is_left_out() {
    let code = "//! pub use no::Doc;\nmod own;\npub mod shown;\n#[doc(hidden)]\npub mod hidden;\npub use a::{B, C as D};\npub use e::f;\n\
                pub(crate) use g::H;\n#[must_use]\npub const fn i() {}\nimpl X {\n    pub fn j() {}\n}\n";
    assert_eq!(names(code), ["B", "D", "f", "i", "mod shown"]);
    assert_eq!(
        differences("a B\n# c\na K\n", &[("a ", "pub use x::{B, L};\n".to_owned())]),
        ["- a K", "+ a L"]
    );
}
