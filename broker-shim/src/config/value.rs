//! Types and ranges of configuration values, judged as Kafka's `ConfigDef` judges them.

use std::fmt;

/// The type of a key's value, with the number under which DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// A 32 bit number.
    Int = 3,
    /// A 16 bit number.
    Short = 4,
    /// A 64 bit number.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A text that is never shown.
    Password = 9,
}

impl Kind {
    /// The name in documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// What values of a key are allowed beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Every value of the type.
    Any,
    /// This number or more.
    AtLeast(i64),
    /// Between the two, both included.
    Between(i64, i64),
    /// Between the two, or the third, which means a default of the codec.
    BetweenOr(i64, i64, i64),
    /// One of these words; for a list, each of its members.
    OneOf(&'static [&'static str]),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::AtLeast(low) => write!(f, "{low} or more"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
            Self::BetweenOr(low, high, other) => write!(f, "{low} to {high}, or {other}"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// Why a value is refused, in the words of Kafka's `ConfigException`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("Invalid value {value} for configuration {key}: {reason}")]
pub struct ValueError {
    /// The key.
    pub key: String,
    /// The text that was given.
    pub value: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The text is no value of the key's type.
    NotOfType(Kind),
    /// The value is of the type but not allowed.
    OutOfRange(Kind, Range),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOfType(Kind::Boolean) => f.write_str("Expected value to be either true or false"),
            Self::NotOfType(kind) => write!(f, "Not a number of type {}", kind.name().to_ascii_uppercase()),
            Self::OutOfRange(_, Range::AtLeast(low)) => write!(f, "Value must be at least {low}"),
            Self::OutOfRange(_, Range::OneOf(words)) => {
                write!(f, "String must be one of: {}", words.join(", "))
            }
            Self::OutOfRange(_, range) => write!(f, "Value must be {range}"),
        }
    }
}

/// Checks a text against a type and a range.
pub fn check(key: &str, value: &str, kind: Kind, range: Range) -> Result<(), ValueError> {
    let refused = |reason| Err(ValueError { key: key.to_owned(), value: value.to_owned(), reason });
    let allowed = match kind {
        Kind::Boolean => parse_bool(value).map(|_| true),
        Kind::Int => value.trim().parse::<i32>().ok().map(|n| number_allowed(n.into(), range)),
        Kind::Short => value.trim().parse::<i16>().ok().map(|n| number_allowed(n.into(), range)),
        Kind::Long => value.trim().parse::<i64>().ok().map(|n| number_allowed(n, range)),
        Kind::Double => value.trim().parse::<f64>().ok().map(|n| fraction_allowed(n, range)),
        Kind::List => Some(list(value).all(|word| word_allowed(word, range))),
        Kind::String | Kind::Class | Kind::Password => Some(word_allowed(value.trim(), range)),
    };
    match allowed {
        Some(true) => Ok(()),
        Some(false) => refused(Reason::OutOfRange(kind, range)),
        None => refused(Reason::NotOfType(kind)),
    }
}

/// `true` and `false` in any case.
pub fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// The members of a list: separated by commas, space around them dropped; the empty text is the empty list.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn number_allowed(number: i64, range: Range) -> bool {
    match range {
        Range::Any | Range::OneOf(_) => true,
        Range::AtLeast(low) => number >= low,
        Range::Between(low, high) => (low..=high).contains(&number),
        Range::BetweenOr(low, high, other) => (low..=high).contains(&number) || number == other,
    }
}

#[expect(clippy::cast_precision_loss, reason = "the bounds in the table are small")]
fn fraction_allowed(number: f64, range: Range) -> bool {
    match range {
        Range::AtLeast(low) => number >= low as f64,
        Range::Between(low, high) => number >= low as f64 && number <= high as f64,
        _ => number.is_finite(),
    }
}

fn word_allowed(word: &str, range: Range) -> bool {
    match range {
        Range::OneOf(words) => words.contains(&word),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_by_type_and_range() {
        let policies = Range::OneOf(&["compact", "delete"]);
        let rows = [
            ("5", Kind::Int, Range::Any, true),
            (" 5 ", Kind::Int, Range::Any, true),
            ("5.0", Kind::Int, Range::Any, false),
            ("", Kind::Int, Range::Any, false),
            ("2147483648", Kind::Int, Range::Any, false),
            ("2147483648", Kind::Long, Range::Any, true),
            ("32768", Kind::Short, Range::Any, false),
            ("0", Kind::Int, Range::AtLeast(1), false),
            ("TRUE", Kind::Boolean, Range::Any, true),
            ("yes", Kind::Boolean, Range::Any, false),
            ("0.5", Kind::Double, Range::Between(0, 1), true),
            ("1.5", Kind::Double, Range::Between(0, 1), false),
            ("NaN", Kind::Double, Range::Between(0, 1), false),
            ("delete, compact", Kind::List, policies, true),
            ("delete,purge", Kind::List, policies, false),
            ("-1", Kind::Int, Range::BetweenOr(1, 9, -1), true),
            ("0", Kind::Int, Range::BetweenOr(1, 9, -1), false),
        ];
        for (value, kind, range, allowed) in rows {
            assert_eq!(check("k", value, kind, range).is_ok(), allowed, "{value:?} as {kind:?} in {range}");
        }
    }

    /// The first three as Kafka 4.3 answered them.
    #[test]
    fn a_refusal_says_what_kafka_says() {
        let codecs = Range::OneOf(&["zstd", "lz4"]);
        let rows = [
            ("soon", Kind::Long, Range::Any, "Not a number of type LONG"),
            ("-1", Kind::Int, Range::AtLeast(7), "Value must be at least 7"),
            ("bzip2", Kind::String, codecs, "String must be one of: zstd, lz4"),
            ("yes", Kind::Boolean, Range::Any, "Expected value to be either true or false"),
            ("9", Kind::Int, Range::Between(1, 5), "Value must be 1 to 5"),
        ];
        for (value, kind, range, reason) in rows {
            let error = check("k", value, kind, range).expect_err("it is refused");
            assert_eq!(error.to_string(), format!("Invalid value {value} for configuration k: {reason}"));
        }
    }
}
