# `just` lists these; `.ci/run` is the gate.

# Format everything.
fmt:
    cargo fmt --all

# Lints, as the gate has them.
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# All tests; those against Apache Kafka say so where Java is absent.
test *ARGS:
    cargo test --workspace {{ARGS}}

# Everything that must pass before a change lands.
ci:
    .ci/run

# Kafka, Klamm and the bare loop beside each other.
versus *ARGS:
    cargo run --release -p benches --bin versus -- {{ARGS}}

# Fuzz one target for so many seconds; needs cargo-fuzz and a nightly compiler.
fuzz TARGET SECONDS="60":
    mkdir -p log-engine/fuzz/corpus/{{TARGET}}
    cd log-engine/fuzz && cargo +nightly fuzz run {{TARGET}} corpus/{{TARGET}} seeds/{{TARGET}} -- -max_total_time={{SECONDS}}

# Licences and sources of the dependencies; needs cargo-deny.
deny:
    cargo deny check licenses bans sources
