//! Ids, which columns hold as hex digits.

use std::fmt;

/// Makes an id that columns hold as lower-case hex digits; its order is that of its text.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($number:ty) digits $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl $name {
            /// Reads it from its hex digits; `None` where it is none.
            pub fn parse(text: &str) -> Option<Self> {
                let plain = text.len() == $digits && text.bytes().all(|b| b.is_ascii_hexdigit());
                plain.then(|| <$number>::from_str_radix(text, 16).ok()).flatten().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A trace's id.
    TraceId(u128) digits 32
);
id!(
    /// A span's id, unique within its trace.
    SpanId(u64) digits 16
);
id!(
    /// What was sent of a span, hashed: equal for a resend, different for a conflict.
    ContentKey(u128) digits 32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_digits_of_their_length_and_order_as_their_texts() {
        let id = SpanId::parse("00f1e2d3c4b5a697").expect("an id");
        assert_eq!(id.to_string(), "00f1e2d3c4b5a697");
        assert!(id < SpanId::parse("10f1e2d3c4b5a697").expect("an id"));
        for wrong in [
            "",
            "0f1e2d3c4b5a697",
            "+0f1e2d3c4b5a697",
            "00f1e2d3c4b5a69g",
        ] {
            assert_eq!(SpanId::parse(wrong), None, "{wrong:?}");
        }
        assert!(TraceId::parse(&"f".repeat(32)).is_some());
    }
}
