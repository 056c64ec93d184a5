//! How many may connect, changed while the broker runs.

use std::net::TcpListener;

use klamm_tests::client::Client;
use wire::ErrorCode;
use wire::messages::ApiVersionsRequest;

use crate::admin::{BROKER, alter};
use crate::in_process::{Klamm, until};

fn is_served(client: &mut Client) -> bool {
    client.call(&ApiVersionsRequest::default(), 0, |answer| answer.error_code).is_ok_and(|code| code == 0)
}

fn set(client: &mut Client, key: &str, value: Option<&str>) {
    assert_eq!(alter(client, BROKER, "1", key, value), ErrorCode::None, "{key}");
}

#[test]
fn how_many_may_connect_from_an_address_can_be_changed_and_holds_after_a_restart() {
    let mut klamm = Klamm::start(&[]);
    let mut first = klamm.client();
    let mut second = klamm.client();
    assert!(is_served(&mut second));
    set(&mut first, "max.connections.per.ip", Some("2"));
    assert!(is_served(&mut second), "who is in stays in");
    assert!(!is_served(&mut klamm.client()));
    set(&mut first, "max.connections.per.ip", Some("1"));
    assert!(is_served(&mut second), "also where there are too many");
    set(&mut first, "max.connections.per.ip.overrides", Some("127.0.0.1:3"));
    let mut third = klamm.client();
    assert!(is_served(&mut third));
    assert!(!is_served(&mut klamm.client()));
    set(&mut first, "max.connections.per.ip.overrides", None);
    drop((second, third));

    drop(first);
    klamm.restart();
    let mut first = klamm.client();
    assert!(is_served(&mut first));
    assert!(!is_served(&mut klamm.client()));
    set(&mut first, "max.connections.per.ip", None);
    assert!(is_served(&mut klamm.client()));
}

#[test]
fn who_waits_for_a_place_is_served_once_there_may_be_more() {
    let klamm = Klamm::start(&[]);
    let mut first = klamm.client();
    assert!(is_served(&mut first));
    set(&mut first, "max.connections", Some("1"));
    let mut waits = klamm.client();
    waits.send(&ApiVersionsRequest::default(), 0).expect("sent into the backlog");
    set(&mut first, "max.connections", Some("2"));
    assert!(waits.receive_frame().is_ok());
}

#[test]
fn the_only_place_is_for_whichever_listener_is_asked_first() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:{port}");
    let map = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT";
    let klamm = Klamm::start(&[&listeners, map, "max.connections=1"]);
    for address in [klamm.address(), ([127, 0, 0, 1], port).into(), klamm.address()] {
        // The place is given back when the broker sees that the connection ended.
        until("the place", || Client::connect(address).is_ok_and(|mut client| is_served(&mut client)));
    }
}
