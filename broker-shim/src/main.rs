//! The `klamm` binary.

fn main() {
    print!("{}", broker_shim::config::reference::markdown());
}
