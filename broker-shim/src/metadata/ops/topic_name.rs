//! The rules for topic names (Kafka's `Topic.validate` and `Topic.hasCollision`).

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::Refusal;
use crate::metadata::image::Image;

/// Longest name: with `-`, a partition number and a suffix it is the name of a directory.
const NAME_LENGTH_MAX: usize = 249;

/// Whether a name can be that of a topic.
///
/// # Errors
/// The refusal that says which rule the name breaks.
pub fn check_topic_name(name: &str) -> Result<(), Refusal> {
    let why = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        // Kafka counts UTF-16 units; for a name of allowed characters that is the number of bytes.
        _ if name.encode_utf16().count() > NAME_LENGTH_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {NAME_LENGTH_MAX}")
        }
        _ if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(Refusal::InvalidTopic(format!("Topic name is invalid: {why}")))
}

/// Names in which `.` and `_` differ collide, because metric names carry both as `_`.
pub(super) struct Collisions {
    /// From a name with `_` for each `.` to the topic that has it; only names with either of them.
    known: HashMap<String, Arc<str>>,
}

impl Collisions {
    /// What the topics of an image collide with. Looks at them only where one of `names` can collide at all.
    pub(super) fn of<'a>(image: &Image, mut names: impl Iterator<Item = &'a str>) -> Self {
        if !names.any(can_collide) {
            return Self { known: HashMap::new() };
        }
        let colliding = image.topics().filter(|topic| can_collide(&topic.name));
        Self {
            known: colliding
                .map(|topic| (unified(&topic.name).into_owned(), Arc::clone(&topic.name)))
                .collect(),
        }
    }

    /// Refuses a name that collides with another topic's.
    pub(super) fn check(&self, name: &str) -> Result<(), Refusal> {
        match self.known.get(&*unified(name)) {
            Some(other) if **other != *name => {
                Err(Refusal::InvalidTopic(format!("Topic '{name}' collides with existing topic: {other}")))
            }
            _ => Ok(()),
        }
    }
}

fn can_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

fn unified(name: &str) -> Cow<'_, str> {
    if name.contains('.') { name.replace('.', "_").into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_judges_them() {
        let long = "a".repeat(249);
        for name in ["a", "A-z_0.9", "...", "-", long.as_str()] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        let refused = [
            ("", "the empty string is not allowed"),
            (".", "'.' is not allowed"),
            ("..", "'..' is not allowed"),
            ("a b", "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
            ("x/y", "'x/y' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
            (
                "\u{e4}",
                "'\u{e4}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            ),
        ];
        for (name, why) in refused {
            let refusal = check_topic_name(name).map_err(|refusal| refusal.to_string());
            assert_eq!(refusal, Err(format!("Topic name is invalid: {why}")));
        }
        assert!(check_topic_name(&"a".repeat(250)).is_err());
    }
}
