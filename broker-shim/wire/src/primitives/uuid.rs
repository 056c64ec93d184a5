//! Kafka's ids of topics, directories and processes.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of the text form.
const TEXT_LEN: usize = 22;

/// Sixteen bytes. Their text form is URL-safe base64 without padding, as Kafka's `Uuid` prints it.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All bytes zero: no id.
    pub const ZERO: Self = Self([0; 16]);
    /// The second reserved id: the topic of the metadata log, and in directory ids one that is not assigned yet.
    pub const ONE: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this stands for no id.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        // 128 bits are 21 characters of 6 bits and a last one of 2 bits, which base64 fills up with zeros.
        for at in 0..TEXT_LEN {
            let bits = if at < TEXT_LEN - 1 { number >> (122 - 6 * at) } else { number << 4 };
            let letter = ALPHABET[(bits & 0x3f) as usize];
            fmt::Write::write_char(f, char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no id.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 22 characters of A-Z, a-z, 0-9, - and _")]
pub struct UuidError;

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let letters = text.as_bytes();
        let (last, leading) = letters.split_last().ok_or(UuidError)?;
        if letters.len() != TEXT_LEN {
            return Err(UuidError);
        }
        let mut number: u128 = 0;
        for letter in leading {
            number = number << 6 | value_of(*letter)?;
        }
        Ok(Self((number << 2 | value_of(*last)? >> 4).to_be_bytes()))
    }
}

fn value_of(letter: u8) -> Result<u128, UuidError> {
    let value = ALPHABET.iter().position(|candidate| *candidate == letter);
    value.map(|value| value as u128).ok_or(UuidError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts printed by Kafka's own class.
    #[test]
    fn the_text_form_is_kafkas() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::ONE.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = Uuid(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes());
        assert_eq!(id.to_string(), "ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!("ASNFZ4mrze_-3LqYdlQyEA".parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(text.parse::<Uuid>(), Err(UuidError), "{text}");
        }
    }
}
