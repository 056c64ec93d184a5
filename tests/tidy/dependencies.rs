//! Who may depend on whom, by what cargo itself says of the manifests.

use std::process::Command;

use klamm_tests::binaries::workspace;
use klamm_tests::process::run;
use serde_json::Value;

/// Our packages that each of our packages may use. Tests and benches may use all.
const DIRECTIONS: [(&str, &[&str]); 5] = [
    ("log-engine", &[]),
    ("wire", &[]),
    ("broker-shim", &["log-engine", "wire"]),
    ("tools", &["log-engine", "wire"]),
    ("klamm-proof", &["log-engine"]),
];

/// Crates that would break what a layer promises: the engine starts no runtime, the codec does no I/O.
const OUT_OF_PLACE: [(&str, &[&str]); 2] = [
    ("log-engine", &["tokio", "async-std", "smol", "mio"]),
    ("wire", &["tokio", "rustix", "libc", "socket2", "io-uring", "log-engine", "memmap2"]),
];

/// `cargo metadata` of the workspace.
pub(crate) fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(workspace());
    serde_json::from_str(&run(&mut command, b"")).expect("cargo metadata prints JSON")
}

/// Dependencies between our packages that point the wrong way.
pub(crate) fn wrong_directions(metadata: &Value) -> Vec<String> {
    let ours: Vec<&str> = packages(metadata).map(name).collect();
    let mut findings = Vec::new();
    for package in packages(metadata) {
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(from, _)| *from == name(package)) else { continue };
        for dependency in dependencies(package).filter(|dependency| ours.contains(dependency)) {
            if !allowed.contains(&dependency) {
                findings.push(format!("{} -> {dependency}", name(package)));
            }
        }
    }
    findings
}

/// Dependencies on crates that the package promises to do without, tests of the package excepted.
pub(crate) fn out_of_place(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages(metadata) {
        let Some((_, unwanted)) = OUT_OF_PLACE.iter().find(|(from, _)| *from == name(package)) else {
            continue;
        };
        for dependency in dependencies(package).filter(|dependency| unwanted.contains(dependency)) {
            findings.push(format!("{} -> {dependency}", name(package)));
        }
    }
    findings
}

/// Lines of `[workspace.dependencies]` that name a crate of others and do not say why.
pub(crate) fn without_reason(manifest: &str) -> Vec<String> {
    let section = manifest.split("[workspace.dependencies]").nth(1).expect("the section is there");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let foreign = lines.filter(|line| line.contains('=') && !line.contains("path ="));
    foreign.filter(|line| !line.starts_with('#') && !line.contains(" # ")).map(str::to_owned).collect()
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().expect("metadata lists packages").iter()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a package has a name")
}

/// Names of a package's dependencies, without those of its tests and those behind an optional feature.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().expect("a package lists dependencies").iter();
    all.filter(|dependency| dependency["kind"] != "dev" && dependency["optional"] != true)
        .map(|dependency| dependency["name"].as_str().expect("a dependency has a name"))
}

#[test]
fn a_dependency_upwards_and_a_runtime_in_the_engine_are_found() {
    let planted = serde_json::json!({"packages": [
        {"name": "log-engine", "dependencies": [
            {"name": "wire", "kind": null, "optional": false},
            {"name": "tokio", "kind": null, "optional": false},
            {"name": "tokio", "kind": "dev", "optional": false}]},
        {"name": "wire", "dependencies": []},
        {"name": "broker-shim", "dependencies": [{"name": "wire", "kind": null, "optional": false}]},
    ]});
    assert_eq!(wrong_directions(&planted), ["log-engine -> wire"]);
    assert_eq!(out_of_place(&planted), ["log-engine -> tokio"]);
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let planted = "[workspace.dependencies]\nown = { path = \"own\" }\na = \"1\" # why\nb = \"2\"\n[other]\nc = \"3\"\n";
    assert_eq!(without_reason(planted), ["b = \"2\""]);
}
