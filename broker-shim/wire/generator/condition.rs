//! When a piece of generated code runs, as a condition on the version, in generated code `v`.

use super::model::Versions;

pub(super) enum Condition {
    Always,
    Never,
    When(String),
}

impl Condition {
    /// Whether the version is in `set`, where it is known to be in `within`.
    pub(super) fn of(set: Versions, within: Versions) -> Self {
        let set = set.intersect(within);
        if set.is_none() {
            return Self::Never;
        }
        match (set.first > within.first, set.last < within.last) {
            (false, false) => Self::Always,
            (true, false) => Self::When(format!("v >= {}", set.first)),
            (false, true) => Self::When(format!("v <= {}", set.last)),
            (true, true) => Self::When(format!("({}..={}).contains(&v)", set.first, set.last)),
        }
    }

    /// Whether the version is not in `set`, where it is known to be in `within`.
    pub(super) fn not_of(set: Versions, within: Versions) -> Self {
        let set = set.intersect(within);
        match Self::of(set, within) {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::When(_) if set.first == within.first => Self::When(format!("v > {}", set.last)),
            Self::When(_) if set.last == within.last => Self::When(format!("v < {}", set.first)),
            Self::When(inside) => Self::When(format!("!{inside}")),
        }
    }

    /// As an expression.
    pub(super) fn expression(&self) -> &str {
        match self {
            Self::Always => "true",
            Self::Never => "false",
            Self::When(condition) => condition,
        }
    }

    /// `then` or `otherwise`, or the one of them that always applies.
    pub(super) fn choose(&self, then: &str, otherwise: &str) -> String {
        match self {
            Self::Always => then.to_owned(),
            Self::Never => otherwise.to_owned(),
            Self::When(condition) => format!("if {condition} {{ {then} }} else {{ {otherwise} }}"),
        }
    }
}
