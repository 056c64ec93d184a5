//! `klamm log` is the program beside it.

use std::process::{Command, Output};

use klamm_tests::{binaries, corpus};

fn klamm_log(arguments: &[&str]) -> Output {
    // Beside `klamm`, where both were built here; else on the PATH.
    let directory = binaries::klamm_log().parent().expect("a program lies in a directory");
    let mut klamm = Command::new(binaries::klamm());
    klamm.arg("log").args(arguments).env("PATH", directory).output().expect("klamm runs")
}

#[test]
fn klamm_log_answers_with_output_and_exit_code_of_the_tool() {
    let data = corpus::copy();
    let whole = data.path().join("stopped");
    let verified = klamm_log(&["verify", &whole.display().to_string()]);
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(0), "{told}");
    assert!(told.ends_with("damages: 0\n"), "{told}");

    let index = whole.join("rolled-0/00000000000000000124.index");
    std::fs::remove_file(&index).expect("removed");
    let planned = klamm_log(&["repair", "--json", &whole.display().to_string()]);
    let told = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert_eq!(planned.status.code(), Some(1), "{told}");
    assert!(told.contains("\"action\":\"derive\"") && !index.exists(), "{told}");

    assert_eq!(klamm_log(&["verify", "/no/such/place"]).status.code(), Some(2));
}

#[test]
fn help_of_klamm_names_the_tools_and_help_of_the_tools_its_own_commands() {
    let help = Command::new(binaries::klamm()).arg("--help").output().expect("klamm runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("log") && help.contains("--override"), "{help}");
    let help = klamm_log(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for command in ["klamm log", "verify", "repair", "explain", "diff", "Exit code: 0"] {
        assert!(help.contains(command), "{help}");
    }
}
