//! The lines of `golden/messages.txt`.

use std::fmt;

/// How Kafka came to the bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A message as its class makes it.
    Default,
    /// Something in every field.
    Full,
    /// Few elements, some nulls, some unknown tags.
    Sparse,
}

/// One message that Kafka wrote.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) version: i16,
    pub(crate) bytes: Vec<u8>,
    /// What Kafka makes of an internal record; empty for requests and responses.
    pub(crate) json: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} version {}", self.name, self.kind, self.version)
    }
}

pub(crate) fn samples() -> Vec<Sample> {
    include_str!("../golden/messages.txt").lines().map(parse).collect()
}

fn parse(line: &str) -> Sample {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().unwrap_or_default();
    let name = word().to_owned();
    let kind = match word() {
        "default" => Kind::Default,
        "full" => Kind::Full,
        "sparse" => Kind::Sparse,
        other => panic!("{other} is no kind of sample"),
    };
    let version = word().parse().expect("a version");
    Sample { name, kind, version, bytes: unhex(word()), json: word().to_owned() }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
