//! Which schema file a message belongs to, and where in it.

use super::definition::Definition;

/// `api/fetch.schema` for both halves of an API; internal records lie together by the jar that owns them.
pub(super) fn schema_file(jar: &str, definition: &Definition) -> String {
    match definition.kind.as_str() {
        "request" | "response" => format!("api/{}.schema", snake_case(api_name(&definition.name))),
        "header" => "headers.schema".to_owned(),
        _ => format!("records/{}.schema", jar.trim_start_matches("kafka-").replace('-', "_")),
    }
}

/// Requests before responses; records by key, then by name.
pub(super) fn order_in_file(definition: &Definition) -> (i16, String, bool) {
    (definition.api_key.unwrap_or(-1), definition.name.clone(), definition.kind == "response")
}

fn api_name(message: &str) -> &str {
    let name = message.strip_suffix("Request").or_else(|| message.strip_suffix("Response"));
    name.unwrap_or(message)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_an_api_lie_in_one_file() {
        assert_eq!(snake_case(api_name("OffsetForLeaderEpochRequest")), "offset_for_leader_epoch");
        assert_eq!(snake_case(api_name("OffsetForLeaderEpochResponse")), "offset_for_leader_epoch");
    }
}
