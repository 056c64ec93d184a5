//! Kafka's spelling to Rust's.

use super::model::{Kind, Message, Type};

const KEYWORDS: [&str; 8] = ["type", "match", "move", "ref", "use", "in", "where", "loop"];

/// `TopicId` to `topic_id`; Rust's keywords get their `r#`.
pub(super) fn field(name: &str) -> String {
    let name = snake_case(name);
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// The field in Kafka's JSON: `TopicId` is `topicId`.
pub(super) fn json(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

/// The module of a message.
pub(super) fn module(message: &str) -> String {
    snake_case(message)
}

fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
        let before_lower = at > 0 && letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `FetchTopic<'a>`, or without a lifetime where nothing borrows.
pub(super) fn struct_type(message: &Message, name: &str) -> String {
    if message.borrows(name) { format!("{name}<'a>") } else { name.to_owned() }
}

/// The message's type where its lifetime needs no name.
pub(super) fn anonymous_type(message: &Message) -> String {
    let lifetime = if message.borrows(&message.name) { "<'_>" } else { "" };
    format!("{}{lifetime}", message.name)
}

/// The Rust type of a value that is not null.
pub(super) fn value_type(message: &Message, kind: &Type) -> String {
    match kind {
        Type::Bool => "bool".to_owned(),
        Type::Int8 => "i8".to_owned(),
        Type::Int16 => "i16".to_owned(),
        Type::Uint16 => "u16".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::Uint32 => "u32".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Uuid => "Uuid".to_owned(),
        Type::String => "Cow<'a, str>".to_owned(),
        Type::Bytes => "Cow<'a, [u8]>".to_owned(),
        Type::Records if message.kind == Kind::Response => "ResponseRecords<'a>".to_owned(),
        Type::Records => "RecordsRef<'a>".to_owned(),
        Type::Struct(name) => struct_type(message, name),
        Type::Array(element) => format!("Vec<{}>", value_type(message, element)),
    }
}
