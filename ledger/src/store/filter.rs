//! A set of hashes that says "not here" or "maybe here", in blocks of one cache line.

/// Bytes of a block: one cache line, and one small read where the filter lies on disk.
pub(crate) const BLOCK: usize = 64;
/// Bits that stand for one hash in its block.
const PROBES: u32 = 8;

/// How many bytes a filter for `keys` hashes takes at `bits` bits each.
pub(crate) fn bytes_for(keys: usize, bits: usize) -> usize {
    (keys.saturating_mul(bits) / 8).div_ceil(BLOCK).max(1) * BLOCK
}

/// Which block of a filter of `bytes` bytes a hash belongs to, as the block's first byte.
pub(crate) fn block_at(bytes: usize, hash: u64) -> usize {
    let blocks = (bytes / BLOCK).max(1) as u128;
    // The high half of a product is an even choice among the blocks, so it is below their number.
    let block = (u128::from(hash) * blocks) >> 64;
    usize::try_from(block).unwrap_or(0) * BLOCK
}

/// The bits of a hash within its block: byte and mask.
fn bits_of(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    // The block was chosen by the high bits; an odd factor makes the low ones matter anew.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let step = (mixed >> 32) | 1;
    (0..PROBES).map(move |n| {
        let bit = mixed.wrapping_add(step.wrapping_mul(u64::from(n) + 1)) >> 7;
        // Nine bits name one of the 512 of a block.
        let bit = usize::try_from(bit & 0x1ff).unwrap_or(0);
        (bit / 8, 1 << (bit % 8))
    })
}

/// Puts a hash into the filter.
pub(crate) fn insert(filter: &mut [u8], hash: u64) {
    let at = block_at(filter.len(), hash);
    let Some(block) = filter.get_mut(at..at + BLOCK) else {
        return;
    };
    for (byte, mask) in bits_of(hash) {
        if let Some(byte) = block.get_mut(byte) {
            *byte |= mask;
        }
    }
}

/// Whether the hash may be in the filter that this block belongs to.
pub(crate) fn block_may_hold(block: &[u8], hash: u64) -> bool {
    bits_of(hash).all(|(byte, mask)| block.get(byte).is_none_or(|b| b & mask != 0))
}

/// Whether the hash may be in the filter.
pub(crate) fn may_hold(filter: &[u8], hash: u64) -> bool {
    let at = block_at(filter.len(), hash);
    filter
        .get(at..at + BLOCK)
        .is_none_or(|block| block_may_hold(block, hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn wrongly_maybe(bits: usize) -> usize {
        let keys = 20_000_u64;
        let mut filter = vec![0; bytes_for(20_000, bits)];
        let hash = |n: u64| xxh3_64(&n.to_le_bytes());
        (0..keys).for_each(|n| insert(&mut filter, hash(n)));
        assert!(
            (0..keys).all(|n| may_hold(&filter, hash(n))),
            "never a wrong no"
        );
        (keys..keys * 6)
            .filter(|n| may_hold(&filter, hash(*n)))
            .count()
    }

    #[test]
    fn it_never_denies_and_seldom_errs() {
        assert!(wrongly_maybe(12) < 1_500, "{} of 100000", wrongly_maybe(12));
        assert!(wrongly_maybe(24) < 60, "{} of 100000", wrongly_maybe(24));
    }
}
