//! What a disk is made of: sectors, and a journal of names.

use std::collections::BTreeMap;

/// What is written whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// A change of names.
#[derive(Clone, Debug)]
pub(crate) enum NameOp {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

/// Carries a change out.
pub(crate) fn apply(names: &mut BTreeMap<String, u64>, op: NameOp) {
    match op {
        NameOp::Link(name, inode) => {
            names.insert(name, inode);
        }
        NameOp::Unlink(name) => {
            names.remove(&name);
        }
        NameOp::Rename(from, to, inode) => {
            names.remove(&from);
            names.insert(to, inode);
        }
    }
}

/// Cuts a write at the borders of sectors.
pub(crate) fn split(bytes: &[u8], offset: usize) -> Vec<(usize, &[u8])> {
    let mut out = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        out.push((at, piece));
        at += piece.len();
        rest = next;
    }
    out
}

/// Carries one sector over, as far as both sides have it.
pub(crate) fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}
