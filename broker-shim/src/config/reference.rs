//! `docs/config.md`, written from the tables.

use std::fmt::Write as _;

use super::{
    absent::ABSENT,
    keys::{Effect, KEYS, Key, Mode},
    topic_keys::{TOPIC_KEYS, TopicKey},
};

const HEAD: &str = "# Configuration

This page is written from the tables in `broker-shim/src/config`; `klamm --print-config-reference` prints it.

Keys come from `--config server.properties`, then from `KAFKA_*` environment variables (`KAFKA_LOG_DIRS` is `log.dirs`: one
underscore is a dot, two are a dash, three are an underscore; `CLUSTER_ID` is `klamm.cluster.id`), then from `--override key=value`; the later wins.
A key that is in none of the tables is reported and has no effect. A value that its key does not allow stops the start before anything is opened.

";

/// The whole page.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str("## Broker keys\n\n| key | type | default | allowed | can change | effect | meaning |\n|---|---|---|---|---|---|---|\n");
    for key in KEYS {
        broker_row(&mut page, key);
    }
    page.push_str("\n## Topic keys\n\n| key | type | default | allowed | default comes from | meaning |\n|---|---|---|---|---|---|\n");
    for key in TOPIC_KEYS {
        topic_row(&mut page, key);
    }
    page.push_str("\n## Keys of Kafka's that have no effect\n\nWho gives one is told so at the start. A name that ends with a dot stands for all keys that begin with it and are in no table above.\n\n| key | why |\n|---|---|\n");
    for absent in ABSENT {
        line(&mut page, format_args!("| `{}` | {} |", absent.keys, absent.reason));
    }
    page
}

fn broker_row(page: &mut String, key: &Key) {
    let default = key.default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
    let mode = match key.mode {
        Mode::ReadOnly => "at start",
        Mode::PerBroker => "per broker",
        Mode::ClusterWide => "cluster-wide",
    };
    let effect = match key.effect {
        Effect::Used => "used",
        Effect::Accepted => "accepted, none",
    };
    line(
        page,
        format_args!(
            "| `{}` | {} | {default} | {} | {mode} | {effect} | {} |",
            key.name,
            key.kind.name(),
            key.range,
            key.doc
        ),
    );
}

fn topic_row(page: &mut String, key: &TopicKey) {
    let from = key.synonyms.iter().map(|synonym| format!("`{}`", synonym.key)).collect::<Vec<_>>().join(", ");
    line(
        page,
        format_args!(
            "| `{}` | {} | `{}` | {} | {from} | {} |",
            key.name,
            key.kind.name(),
            key.default,
            key.range,
            key.doc
        ),
    );
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("writing to a String never fails");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_the_tree_is_the_one_that_the_tables_give() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");
        let page = std::fs::read_to_string(path).expect("docs/config.md is in the tree");
        assert!(
            page == super::markdown(),
            "docs/config.md is stale: run `klamm --print-config-reference > docs/config.md`"
        );
    }
}
