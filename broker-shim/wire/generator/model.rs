//! What a schema says, as values.

/// A request, a response, a header or an internal record.
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) key: Option<i16>,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    /// The message itself first, then every struct inside it.
    pub(super) structs: Vec<Struct>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    /// Headers and internal records: read and written by both sides.
    Other,
}

pub(super) struct Struct {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

pub(super) struct Field {
    /// As Kafka spells it.
    pub(super) name: String,
    pub(super) kind: Type,
    /// The versions that have the field.
    pub(super) versions: Versions,
    /// The versions in which it may be null.
    pub(super) nullable: Versions,
    /// Its tag, and the versions in which it is written as a tagged field.
    pub(super) tag: Option<(u32, Versions)>,
    /// Where strings and arrays of this field are compact, if not where those of the message are.
    pub(super) flexible: Option<Versions>,
    pub(super) default: Option<String>,
    /// Whether a value that the version cannot carry is dropped in silence.
    pub(super) ignorable: bool,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

/// A range of versions, empty if `first > last`.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) first: i16,
    pub(super) last: i16,
}

impl Versions {
    pub(super) const NONE: Self = Self { first: 0, last: -1 };

    /// `none`, `3`, `3+` or `3-7`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::NONE);
        }
        let (first, last) = match text.strip_suffix('+') {
            Some(first) => (first.parse().ok()?, i16::MAX),
            None => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                (first.parse().ok()?, last.parse().ok()?)
            }
        };
        Some(Self { first, last })
    }

    pub(super) fn is_none(self) -> bool {
        self.first > self.last
    }

    pub(super) fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    pub(super) fn intersect(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

impl Field {
    /// Whether the field is Rust's `Option`.
    pub(super) fn is_option(&self) -> bool {
        !self.nullable.is_none()
    }

    pub(super) fn is_tagged_in(&self, version: i16) -> bool {
        self.tag.is_some_and(|(_, versions)| versions.contains(version))
    }

    pub(super) fn defaults_to_null(&self) -> bool {
        // Kafka's default of records is always null, of everything else only where the schema says so.
        self.is_option() && (self.kind == Type::Records || self.default.as_deref() == Some("null"))
    }
}

impl Message {
    pub(super) fn struct_named(&self, name: &str) -> &Struct {
        let found = self.structs.iter().find(|candidate| candidate.name == name);
        found.expect("the notation reader checks that every struct is there")
    }

    pub(super) fn is_ever_flexible(&self) -> bool {
        !self.versions.intersect(self.flexible).is_none()
    }

    /// Whether the struct borrows from the frame, so that its type needs a lifetime.
    pub(super) fn borrows(&self, name: &str) -> bool {
        self.is_ever_flexible()
            || self.struct_named(name).fields.iter().any(|field| self.type_borrows(&field.kind))
    }

    fn type_borrows(&self, kind: &Type) -> bool {
        match kind {
            Type::String | Type::Bytes | Type::Records => true,
            Type::Struct(name) => self.borrows(name),
            Type::Array(element) => self.type_borrows(element),
            _ => false,
        }
    }

    /// The fewest bytes that a value of this type takes in any of `versions`: what bounds a count from the wire.
    pub(super) fn encoded_size_min(&self, kind: &Type, versions: Versions) -> usize {
        let versions = versions.first..=versions.last;
        versions.map(|version| self.encoded_size_in(kind, version)).min().unwrap_or(0)
    }

    fn encoded_size_in(&self, kind: &Type, version: i16) -> usize {
        let is_flexible = self.flexible.contains(version);
        match kind {
            Type::Bool | Type::Int8 => 1,
            Type::Int16 | Type::Uint16 => 2,
            Type::Int32 | Type::Uint32 => 4,
            Type::Int64 | Type::Float64 => 8,
            Type::Uuid => 16,
            Type::String if !is_flexible => 2,
            Type::Bytes | Type::Records | Type::Array(_) if !is_flexible => 4,
            Type::String | Type::Bytes | Type::Records | Type::Array(_) => 1,
            Type::Struct(name) => {
                let fields = self.struct_named(name).fields.iter();
                let written = fields.filter(|f| f.versions.contains(version) && !f.is_tagged_in(version));
                let sizes = written.map(|field| match field.kind {
                    Type::Struct(_) if field.nullable.contains(version) => 1,
                    ref kind => self.encoded_size_in(kind, version),
                });
                sizes.sum::<usize>() + usize::from(is_flexible)
            }
        }
    }
}
