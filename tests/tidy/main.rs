//! Rules of the house that a machine can hold: who depends on whom, where `unsafe` may stand, words that must not be
//! left behind, links that lead somewhere. CONTRIBUTING.md and ARCHITECTURE.md state them; this enforces them.
//!
//! Each rule is a function from text to findings, tested on a planted violation beside it, and applied to the tree here.

mod architecture;
mod dependencies;
mod layers;
mod links;
mod paths;
mod size;
mod surface;
mod tree;
mod words;

use tree::Tree;

fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn packages_depend_on_each_other_in_one_direction() {
    assert_none("direction of dependency", &dependencies::wrong_directions(&dependencies::metadata()));
}

#[test]
fn the_engine_has_no_runtime_and_the_codec_does_no_io() {
    assert_none(
        "dependencies that a layer must not have",
        &dependencies::out_of_place(&dependencies::metadata()),
    );
}

#[test]
fn every_dependency_has_its_line_of_reason() {
    let tree = Tree::read();
    let manifest = tree.text("Cargo.toml");
    assert_none("dependencies without a reason", &dependencies::without_reason(manifest));
}

#[test]
fn modules_of_the_engine_use_only_what_lies_below_them() {
    let tree = Tree::read();
    let given_away = ["log-engine/src/lib.rs", "log-engine/src/operation.rs"].map(|path| tree.code(path));
    let root = layers::Root::of(&given_away.each_ref().map(String::as_str));
    assert_none("layers of log-engine", &layers_of(&tree, &layers::ENGINE, &root));
}

#[test]
fn modules_of_the_broker_use_only_what_lies_below_them() {
    let tree = Tree::read();
    let root = layers::Root::of(&[&tree.code("broker-shim/src/lib.rs")]);
    assert_none("layers of broker-shim", &layers_of(&tree, &layers::BROKER, &root));
}

fn layers_of(tree: &Tree, package: &layers::Package, root: &layers::Root) -> Vec<String> {
    tree.rust().flat_map(|file| layers::violations(package, root, &file.path, &file.code())).collect()
}

#[test]
fn every_module_and_test_package_stands_in_architecture_and_all_that_stands_there_exists() {
    let tree = Tree::read();
    let page = tree.text("ARCHITECTURE.md");
    let mut findings = Vec::new();
    for (heading, directory) in [
        ("## log-engine", "log-engine/src"),
        ("## broker-shim", "broker-shim/src"),
        ("## tools, tests", "tests"),
    ] {
        let there = architecture::children(directory, tree.names());
        findings.extend(architecture::differences(page, heading, directory, &there));
    }
    findings.extend(architecture::missing_paths(page, |path| tree.has(path)));
    assert_none("ARCHITECTURE.md", &findings);
}

#[test]
fn every_decision_stands_in_the_index_of_decisions() {
    let tree = Tree::read();
    let decisions: Vec<&str> = tree.files().filter_map(|file| file.path.strip_prefix("docs/adr/0")).collect();
    let findings = architecture::unlisted(tree.text("docs/adr/README.md"), &decisions);
    assert_none("docs/adr/README.md", &findings);
    assert!(decisions.len() >= 12, "the decisions were found");
}

#[test]
fn unsafe_code_lives_under_io_of_the_engine() {
    let tree = Tree::read();
    let findings: Vec<String> =
        tree.rust().flat_map(|file| layers::stray_unsafe(&file.path, &file.code())).collect();
    assert_none("unsafe outside log-engine/src/io", &findings);
}

#[test]
fn nothing_unfinished_or_of_one_machine_is_left_behind() {
    let tree = Tree::read();
    let findings: Vec<String> =
        tree.files().flat_map(|file| words::left_behind(&file.path, &file.text)).collect();
    assert_none("words left behind", &findings);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let tree = Tree::read();
    let findings: Vec<String> = tree
        .files()
        .filter(|file| file.path.ends_with(".md"))
        .flat_map(|file| links::dead(&file.path, &file.text, |target| tree.has(target)))
        .collect();
    assert_none("links that lead nowhere", &findings);
}

#[test]
fn the_largest_files_and_functions_are_reported() {
    let tree = Tree::read();
    let report = size::report(tree.rust().map(|file| (file.path.as_str(), file.code())));
    println!("{report}");
    assert!(report.lines().count() > 10, "the tree has files and functions to report");
}

#[test]
fn the_engine_promises_the_names_that_are_written_down_and_no_others() {
    let tree = Tree::read();
    let module = |name: &'static str, path: &str| (name, tree.text(path).to_owned());
    let modules = [
        module("", "log-engine/src/lib.rs"),
        module("operation::", "log-engine/src/operation.rs"),
        module("batch::", "log-engine/src/batch/mod.rs"),
        module("inspect::", "log-engine/src/inspect/mod.rs"),
    ];
    let list = include_str!("surface.txt");
    assert_none(
        "public names of log-engine that differ from tests/tidy/surface.txt",
        &surface::differences(list, &modules),
    );
    let at_root = surface::names(&modules[0].1).len();
    assert!(at_root <= surface::NAMES_MAX, "{at_root} names at the root of log-engine");
}
