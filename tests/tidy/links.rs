//! Links of Markdown documents to files of the tree.

/// Relative link targets that are not there. Addresses of the web are not asked.
pub(crate) fn dead(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut fenced = false;
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let dead = targets(line).filter(|target| !leads_somewhere(path, target, &exists));
        findings.extend(dead.map(|target| format!("{path}:{}: {target}", number + 1)));
    }
    findings
}

/// What stands in `](...)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn leads_somewhere(from: &str, target: &str, exists: impl Fn(&str) -> bool) -> bool {
    let file = target.split('#').next().expect("split yields a part");
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    resolve(from, file).is_some_and(|path| exists(&path))
}

/// The path from the top of the tree that `target` names when it stands in the document `from`.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            // Above the top there is nothing of ours.
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn a_dead_link_is_found_and_a_living_one_is_not() {
    let text =
        "[a](b.md) [c](../d.md#part) [w](https://x.y/z) [h](#here)\n```\n[code](no.md)\n```\n[e](gone.md)\n";
    let exists = |path: &str| path == "docs/b.md" || path == "d.md";
    assert_eq!(dead("docs/a.md", text, exists), ["docs/a.md:5: gone.md"]);
}
