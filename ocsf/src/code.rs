//! The stable names of what can be found.

use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The event does not hold to its schema.
    Error,
    /// It does, but something is odd, outdated, or was put right.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $level:ident;)*) => {
        /// What can be found in an event. The names are stable: they are stored, and programs
        /// compare them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, errors first.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// How much it weighs.
            pub const fn level(self) -> Level {
                match self {
                    $(Self::$name => Level::$level,)*
                }
            }
        }
    };
}

codes! {
    /// The schema has no such class.
    ClassUidUnknown = "class_uid_unknown", Error;
    /// A required attribute is not there, or null.
    AttributeRequiredMissing = "attribute_required_missing", Error;
    /// The value is of another type than the attribute's.
    AttributeWrongType = "attribute_wrong_type", Error;
    /// The class or object has no such attribute under the profiles that the event names.
    AttributeUnknown = "attribute_unknown", Error;
    /// The value is none of the attribute's.
    AttributeEnumValueUnknown = "attribute_enum_value_unknown", Error;
    /// An item of the list is none of the attribute's values.
    AttributeEnumArrayValueUnknown = "attribute_enum_array_value_unknown", Error;
    /// The list of names beside a list of values lacks an item.
    AttributeEnumArraySiblingMissing = "attribute_enum_array_sibling_missing", Error;
    /// The list of names beside a list of values names another value.
    AttributeEnumArraySiblingIncorrect = "attribute_enum_array_sibling_incorrect", Error;
    /// `type_uid` is not `class_uid` times 100 plus `activity_id`.
    TypeUidIncorrect = "type_uid_incorrect", Error;
    /// Of some attributes at least one, or exactly one, must be there.
    ConstraintFailed = "constraint_failed", Error;
    /// The schema has no such profile.
    ProfileUnknown = "profile_unknown", Error;
    /// `metadata.version` is no version.
    VersionInvalidFormat = "version_invalid_format", Error;
    /// `metadata.version` is later than every table.
    VersionIncompatibleLater = "version_incompatible_later", Error;
    /// `metadata.version` is one before a release.
    VersionIncompatiblePrerelease = "version_incompatible_prerelease", Error;
    /// `metadata.version` is one before 1.0.0.
    VersionIncompatibleInitialDevelopment = "version_incompatible_initial_development", Error;
    /// An observable names an attribute that the class does not have.
    ObservableNameInvalidReference = "observable_name_invalid_reference", Error;
    /// A number outside of its type's range.
    AttributeValueExceedsRange = "attribute_value_exceeds_range", Error;
    /// A text longer than its type allows.
    AttributeValueExceedsMaxLen = "attribute_value_exceeds_max_len", Error;
    /// A recommended attribute is not there; looked for where asked for only.
    AttributeRecommendedMissing = "attribute_recommended_missing", Warning;
    /// `metadata.version` is earlier than the table, and no release.
    VersionEarlier = "version_earlier", Warning;
    /// The name beside a value names another value.
    AttributeEnumSiblingIncorrect = "attribute_enum_sibling_incorrect", Warning;
    /// The value is 99 (other), and the name beside it says only that.
    AttributeEnumSiblingSuspiciousOther = "attribute_enum_sibling_suspicious_other", Warning;
    /// A text that does not look as its type's do.
    AttributeValueRegexNotMatched = "attribute_value_regex_not_matched", Warning;
    /// The class is going away.
    ClassDeprecated = "class_deprecated", Warning;
    /// The object is going away.
    ObjectDeprecated = "object_deprecated", Warning;
    /// The attribute is going away.
    AttributeDeprecated = "attribute_deprecated", Warning;
    /// The value is going away.
    AttributeEnumValueDeprecated = "attribute_enum_value_deprecated", Warning;
    /// Ours: a number or truth value that was sent as text, or a text sent as one, was read as
    /// what the schema wants.
    WeirScalarCoerced = "weir_scalar_coerced", Warning;
    /// Ours: a value where the schema wants a list was read as a list of one.
    WeirListCoerced = "weir_list_coerced", Warning;
    /// Ours: a time that is no number of milliseconds was read by its size or as RFC 3339.
    WeirTimeCoerced = "weir_time_coerced", Warning;
    /// Ours: there is no readable `time`; another time of the event or of its wrapper was taken.
    WeirTimeSubstituted = "weir_time_substituted", Warning;
    /// Ours: there is no readable time at all; the time of receipt was taken.
    WeirTimeReceived = "weir_time_received", Warning;
    /// Ours: `type_uid` was computed from class and activity.
    WeirTypeUidComputed = "weir_type_uid_computed", Warning;
    /// Ours: attributes of the root that the schema does not know were read as unmapped ones.
    WeirUnmapped = "weir_unmapped", Warning;
    /// Ours: what nests deeper was not looked at.
    WeirTooDeep = "weir_too_deep", Warning;
}

impl Code {
    /// Whether it is one of ours, which the schema server does not know.
    pub fn is_ours(self) -> bool {
        self.as_str().starts_with("weir_")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A set of codes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Codes(u64);

impl Codes {
    /// Adds a code.
    pub fn insert(&mut self, code: Code) {
        self.0 |= bit(code);
    }

    /// Whether it is among them.
    pub fn contains(self, code: Code) -> bool {
        self.0 & bit(code) != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The codes, errors first.
    pub fn iter(self) -> impl Iterator<Item = Code> {
        Code::ALL
            .iter()
            .copied()
            .filter(move |code| self.contains(*code))
    }
}

fn bit(code: Code) -> u64 {
    1 << (code as u8)
}

impl FromIterator<Code> for Codes {
    fn from_iter<T: IntoIterator<Item = Code>>(codes: T) -> Self {
        let mut set = Self::default();
        for code in codes {
            set.insert(code);
        }
        set
    }
}

impl fmt::Debug for Codes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}
