//! What is refused leaves what is stored as it was, to the byte, in memory's view and on the disk.

use std::fs;

use klamm_tests::questions::{self, administration, transactions};

use crate::in_process::{Klamm, fetch, produce};

#[test]
fn no_question_that_is_refused_changes_a_byte_of_what_is_stored() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("kept", 1);
    for value in [&b"one"[..], b"two", b"three"] {
        produce(&mut client, "kept", &[value]);
    }
    let stored = fetch(&mut client, "kept", 0);
    let log = klamm.directory().join("data/kept-0/00000000000000000000.log");
    let bytes = fs::read(&log).expect("the log is there");
    assert_eq!(bytes, stored.1, "the first segment is all there is");

    let address = klamm.address().to_string();
    let asked = questions::ask(&address).len()
        + administration::ask(&address).len()
        + transactions::ask(&address).len();
    assert!(asked > 300, "{asked} questions");
    assert_eq!(fetch(&mut client, "kept", 0), stored);
    assert_eq!(fs::read(&log).expect("the log is there"), bytes);
    drop(client);
    klamm.restart();
    assert_eq!(fetch(&mut klamm.client(), "kept", 0), stored);
    assert_eq!(fs::read(&log).expect("the log is there"), bytes);
}
