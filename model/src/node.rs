//! Which node accepted a row.

use std::fmt;
use std::sync::Arc;

/// The length of a node id in hex digits.
pub const NODE_DIGITS: usize = 16;

/// A random name of a data directory: 16 lower-case hex digits, made with the directory.
///
/// Batch numbers count up per node, so a node must never go on under an old name with numbers that
/// a sink has already seen; such a node takes a new id (design: a restored or wiped directory).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// The text is not a node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 16 lower-case hex digits")]
pub struct InvalidNode;

impl NodeId {
    /// Names a node by 64 random bits.
    pub fn from_bits(bits: u64) -> Self {
        Self(Arc::from(format!("{bits:016x}")))
    }

    /// Reads an id that was written before.
    ///
    /// # Errors
    ///
    /// [`InvalidNode`] where it is not 16 lower-case hex digits.
    pub fn new(text: &str) -> Result<Self, InvalidNode> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == NODE_DIGITS && text.bytes().all(hex) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidNode)
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
