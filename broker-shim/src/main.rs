//! The `klamm` binary.

fn main() {}
