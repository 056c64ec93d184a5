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
    /// For a list: `*`, or each of its members `partition:broker`.
    Replicas,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::AtLeast(low) => write!(f, "{low} or more"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
            Self::BetweenOr(low, high, other) => write!(f, "{low} to {high}, or {other}"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Self::Replicas => f.write_str("* or a list of partition:broker"),
        }
    }
}

/// Why a value is refused, in the words of Kafka's `ConfigException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A value is not of the key's type, or not allowed.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// The text that was given; what it was read as, where it is of the right type.
        value: String,
        /// What is wrong with it.
        reason: Reason,
    },
    /// A list has a member without a text.
    #[error("Configuration '{0}' values must not be empty.")]
    EmptyMember(String),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The text is no value of the key's type.
    NotOfType(Kind),
    /// A number is too small.
    Below(i64),
    /// A number is too large.
    Above(i64),
    /// A number is neither between the first two nor the third.
    NeitherBetweenNor(i64, i64, i64),
    /// A word is none of these.
    NotAmong(&'static [&'static str]),
    /// The list does not name replicas.
    NoReplicas(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOfType(Kind::Boolean) => f.write_str("Expected value to be either true or false"),
            Self::NotOfType(kind) => write!(f, "Not a number of type {}", kind.name().to_ascii_uppercase()),
            Self::Below(low) => write!(f, "Value must be at least {low}"),
            Self::Above(high) => write!(f, "Value must be no more than {high}"),
            Self::NeitherBetweenNor(low, high, other) => {
                write!(f, "Value must be between {low} and {high} or equal to {other}")
            }
            Self::NotAmong(words) => write!(f, "String must be one of: {}", words.join(", ")),
            Self::NoReplicas(key) => write!(
                f,
                "{key} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        }
    }
}

/// Checks a text against a type and a range.
pub fn check(key: &str, value: &str, kind: Kind, range: Range) -> Result<(), ValueError> {
    let refused = |value: String, reason| Err(ValueError::Invalid { key: key.to_owned(), value, reason });
    let text = value.trim();
    let judged = match kind {
        Kind::Boolean => parse_bool(text).map(|_| Ok(())),
        Kind::Int => text.parse::<i32>().ok().map(|number| judge_number(number.into(), range)),
        Kind::Short => text.parse::<i16>().ok().map(|number| judge_number(number.into(), range)),
        Kind::Long => text.parse::<i64>().ok().map(|number| judge_number(number, range)),
        Kind::Double => parse_double(text).map(|number| judge_fraction(number, range)),
        Kind::List => return check_list(key, text, range),
        Kind::String | Kind::Class | Kind::Password => Some(judge_word(text, range)),
    };
    match judged {
        Some(Ok(())) => Ok(()),
        Some(Err((value, reason))) => refused(value, reason),
        None => refused(value.to_owned(), Reason::NotOfType(kind)),
    }
}

/// The value as it was read, and what is wrong with it.
type Judged = Result<(), (String, Reason)>;

fn judge_number(number: i64, range: Range) -> Judged {
    let reason = match range {
        Range::AtLeast(low) | Range::Between(low, _) if number < low => Reason::Below(low),
        Range::Between(_, high) if number > high => Reason::Above(high),
        Range::BetweenOr(low, high, other) if number != other && !(low..=high).contains(&number) => {
            Reason::NeitherBetweenNor(low, high, other)
        }
        _ => return Ok(()),
    };
    Err((number.to_string(), reason))
}

// What is no number is neither below nor above anything, to Kafka as to IEEE 754.
#[expect(clippy::cast_precision_loss, reason = "the bounds in the table are small")]
fn judge_fraction(number: f64, range: Range) -> Judged {
    let reason = match range {
        Range::AtLeast(low) | Range::Between(low, _) if number < low as f64 => Reason::Below(low),
        Range::Between(_, high) if number > high as f64 => Reason::Above(high),
        _ => return Ok(()),
    };
    Err((java_text(number), reason))
}

fn judge_word(word: &str, range: Range) -> Judged {
    match range {
        Range::OneOf(words) if !words.contains(&word) => Err((word.to_owned(), Reason::NotAmong(words))),
        _ => Ok(()),
    }
}

fn check_list(key: &str, text: &str, range: Range) -> Result<(), ValueError> {
    let invalid = |(value, reason)| Err(ValueError::Invalid { key: key.to_owned(), value, reason });
    match range {
        Range::OneOf(_) => {
            for word in members(text) {
                if word.is_empty() {
                    return Err(ValueError::EmptyMember(key.to_owned()));
                }
                judge_word(word, range).or_else(invalid)?;
            }
            Ok(())
        }
        Range::Replicas => {
            let words: Vec<&str> = members(text).collect();
            if words.first() == Some(&"*") || words.iter().all(|word| names_replica(word)) {
                return Ok(());
            }
            invalid((format!("[{}]", words.join(", ")), Reason::NoReplicas(key.to_owned())))
        }
        _ => Ok(()),
    }
}

// `partition:broker`, or nothing.
fn names_replica(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.is_empty()
        || word.split_once(':').is_some_and(|(partition, broker)| digits(partition) && digits(broker))
}

// What lies between the commas; nothing at all is no member.
fn members(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(move |_| !text.is_empty())
}

/// As Java's `Double.parseDouble` reads it: a suffix is allowed, words but two are not.
pub fn parse_double(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    if ["NaN", "Infinity"].contains(&digits) {
        return text.parse().ok();
    }
    let digits = digits.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(digits);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if plain { format!("{sign}{digits}").parse().ok() } else { None }
}

/// As Java's `Double.toString` writes it.
fn java_text(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-3..1e7).contains(&size) || !number.is_finite() {
        return format!("{number:?}").replace("inf", "Infinity");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
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
            ("NaN", Kind::Double, Range::Between(0, 1), true),
            ("nan", Kind::Double, Range::Any, false),
            ("0.5f", Kind::Double, Range::Any, true),
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
            ("9", Kind::Int, Range::Between(1, 5), "Value must be no more than 5"),
        ];
        for (value, kind, range, reason) in rows {
            let error = check("k", value, kind, range).expect_err("it is refused");
            assert_eq!(error.to_string(), format!("Invalid value {value} for configuration k: {reason}"));
        }
    }

    /// As `Double.toString` writes them.
    #[test]
    fn a_fraction_is_repeated_as_java_writes_it() {
        for (number, text) in [
            (2.0, "2.0"),
            (-0.1, "-0.1"),
            (1e-3, "0.001"),
            (5e-4, "5.0E-4"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(java_text(number), text);
        }
    }
}
