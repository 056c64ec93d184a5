//! Enums over messages: all requests, all responses, all records of the metadata log.

use super::model::{Kind, Message};
use super::names;

/// `Request`, `Response` and what ties the two halves of an API together.
pub(super) fn api_enums(messages: &[&Message]) -> String {
    let requests: Vec<&Message> = of_kind(messages, Kind::Request);
    let responses: Vec<&Message> = of_kind(messages, Kind::Response);
    let mut code = expanded_keys(&requests);
    code += &enum_over("Request", "A request of any API that is expanded.", &requests, "Request");
    code += &enum_over("Response", "A response of any API that is expanded.", &responses, "Response");
    code += &decode_by_key("Request", "", &requests, "Request");
    code += &decode_by_key("Response", "    #[cfg(feature = \"client\")]\n", &responses, "Response");
    code += &encode_any("Request", "    #[cfg(feature = \"client\")]\n", &requests, "Request");
    code += &encode_any("Response", "", &responses, "Response");
    for (request, response) in requests.iter().zip(&responses) {
        code += &api_message(request);
        code += &api_message(response);
        code += &request_trait(request, response);
        code += &response_trait(response);
    }
    code
}

fn of_kind<'m>(messages: &[&'m Message], kind: Kind) -> Vec<&'m Message> {
    let mut found: Vec<&Message> = messages.iter().copied().filter(|message| message.kind == kind).collect();
    found.sort_by_key(|message| message.key);
    found
}

fn api_name<'m>(message: &'m Message, suffix: &str) -> &'m str {
    message.name.strip_suffix(suffix).unwrap_or(&message.name)
}

fn expanded_keys(requests: &[&Message]) -> String {
    let keys: Vec<String> =
        requests.iter().map(|request| format!("ApiKey::{}", api_name(request, "Request"))).collect();
    format!(
        "/// The APIs whose messages are expanded, by rising key.\npub const EXPANDED: &[ApiKey] = &[{}];\n",
        keys.join(", ")
    )
}

fn enum_over(name: &str, docs: &str, messages: &[&Message], suffix: &str) -> String {
    let mut code = format!(
        "/// {docs}\n#[derive(Debug, Clone, PartialEq)]\n#[non_exhaustive]\npub enum {name}<'a> {{\n"
    );
    for message in messages {
        let payload = names::struct_type(message, &message.name);
        code += &format!("    /// [`{}`].\n    {}({payload}),\n", message.name, api_name(message, suffix));
    }
    code + "}\n"
}

fn decode_by_key(name: &str, gate: &str, messages: &[&Message], suffix: &str) -> String {
    let mut code = format!(
        "impl<'a> {name}<'a> {{\n{gate}    /// Reads the body of a message of this API.\n    \
         pub fn decode(r: &mut Reader<'a>, key: ApiKey, version: i16) -> Result<Self, DecodeError> {{\n        \
         Ok(match key {{\n"
    );
    for message in messages {
        let api = api_name(message, suffix);
        code +=
            &format!("            ApiKey::{api} => Self::{api}({}::decode(r, version)?),\n", message.name);
    }
    code += "            #[allow(unreachable_patterns, reason = \"all APIs may be expanded\")]\n";
    code + "            _ => return Err(DecodeError::NotExpanded { key }),\n        })\n    }\n}\n"
}

fn encode_any(name: &str, gate: &str, messages: &[&Message], suffix: &str) -> String {
    let mut code = format!(
        "impl {name}<'_> {{\n{gate}    /// Writes the body of the message.\n    \
         pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\n        match self {{\n"
    );
    for message in messages {
        let api = api_name(message, suffix);
        code += &format!("            Self::{api}(message) => message.encode(w, version),\n");
    }
    code += "        }\n    }\n    /// The API that the message belongs to.\n    pub fn key(&self) -> ApiKey {\n        match self {\n";
    for message in messages {
        let api = api_name(message, suffix);
        code += &format!("            Self::{api}(_) => ApiKey::{api},\n");
    }
    code + "        }\n    }\n}\n"
}

fn api_message(message: &Message) -> String {
    let suffix = if message.kind == Kind::Request { "Request" } else { "Response" };
    format!(
        "impl ApiMessage for {} {{\n    const KEY: ApiKey = ApiKey::{};\n}}\n",
        names::anonymous_type(message),
        api_name(message, suffix)
    )
}

fn request_trait(request: &Message, response: &Message) -> String {
    let lifetime = if response.borrows(&response.name) { "<'r>" } else { "" };
    format!(
        "impl RequestMessage for {} {{\n    type Response<'r> = {}{lifetime};\n}}\n",
        names::anonymous_type(request),
        response.name
    )
}

fn response_trait(response: &Message) -> String {
    let own = response.structs.iter().find(|found| found.name == response.name);
    let has_throttle_time =
        own.is_some_and(|own| own.fields.iter().any(|field| field.name == "ThrottleTimeMs"));
    let throttle_time = if has_throttle_time { "Some(&mut self.throttle_time_ms)" } else { "None" };
    format!(
        "impl ResponseMessage for {} {{\n    \
             fn throttle_time_ms(&mut self) -> Option<&mut i32> {{\n        {throttle_time}\n    }}\n}}\n",
        names::anonymous_type(response)
    )
}

/// `MetadataRecord`: any record of the metadata log, told apart by its key.
pub(super) fn metadata_enum(messages: &[Message]) -> String {
    let messages: Vec<&Message> = messages.iter().collect();
    let docs = "A record of the metadata log.";
    let mut code = enum_over("MetadataRecord", docs, &messages, "Record");
    code += "impl<'a> MetadataRecord<'a> {\n    /// Reads the record whose type and version stand in its frame.\n    \
             pub(super) fn decode_body(r: &mut Reader<'a>, key: u32, version: i16) -> Result<Self, DecodeError> {\n        \
             Ok(match key {\n";
    for message in &messages {
        let (name, variant) = (&message.name, api_name(message, "Record"));
        let key = message.key.unwrap_or(-1);
        code += &format!("            {key} => Self::{variant}({name}::decode(r, version)?),\n");
    }
    code += "            _ => return Err(DecodeError::UnknownRecord { key }),\n        })\n    }\n    \
             pub(super) fn encode_body(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\n        \
             match self {\n";
    for message in &messages {
        code += &format!(
            "            Self::{}(record) => record.encode(w, version),\n",
            api_name(message, "Record")
        );
    }
    code += "        }\n    }\n    /// The number that stands for the type of the record in its frame.\n    \
             pub fn key(&self) -> u32 {\n        match self {\n";
    for message in &messages {
        let key = message.key.unwrap_or(-1);
        code += &format!("            Self::{}(_) => {key},\n", api_name(message, "Record"));
    }
    code += "        }\n    }\n    /// Kafka's name of the type.\n    pub fn type_name(&self) -> &'static str {\n        match self {\n";
    for message in &messages {
        let name = names::module(&message.name).to_ascii_uppercase();
        code += &format!("            Self::{}(_) => {name:?},\n", api_name(message, "Record"));
    }
    code += "        }\n    }\n    #[cfg(feature = \"json\")]\n    /// The record in Kafka's JSON.\n    \
             pub fn to_json(&self, version: i16) -> String {\n        match self {\n";
    for message in &messages {
        code += &format!(
            "            Self::{}(record) => record.to_json(version),\n",
            api_name(message, "Record")
        );
    }
    code += "        }\n    }\n    /// The versions that the record has.\n    \
             pub fn versions(&self) -> Versions {\n        match self {\n";
    for message in &messages {
        code +=
            &format!("            Self::{}(_) => {}::VERSIONS,\n", api_name(message, "Record"), message.name);
    }
    code + "        }\n    }\n}\n"
}
