//! Lower-case hex text as the bytes that it spells: half as long, and nothing that a compressor
//! would look through in vain.

/// How many digits are looked at together, so that the loop becomes vector instructions.
const LANES: usize = 32;

/// The value of each digit; anything else makes the result invalid.
#[inline(always)]
fn digit(c: u8) -> (u8, bool) {
    let is_number = c.wrapping_sub(b'0') < 10;
    let is_letter = c.wrapping_sub(b'a') < 6;
    // '0' is 0x30 and 'a' is 0x61, so letters lack nine.
    ((c & 15) + 9 * u8::from(is_letter), is_number | is_letter)
}

/// Whether `text` may be hex: an even number of characters of which the first are digits.
pub(super) fn looks_like(text: &[u8]) -> bool {
    let first = text.get(..LANES).unwrap_or(text);
    text.len() >= 16 && text.len().is_multiple_of(2) && first.iter().all(|c| digit(*c).1)
}

/// Appends the bytes that `text` spells; where it is not hex, `out` is as before.
pub(super) fn pack(text: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    out.reserve(text.len() / 2);
    let mut valid = true;
    let (blocks, rest) = text.as_chunks::<LANES>();
    for block in blocks {
        let mut packed = [0; LANES / 2];
        for (to, pair) in packed.iter_mut().zip(block.as_chunks::<2>().0) {
            let ((high, a), (low, b)) = (digit(pair[0]), digit(pair[1]));
            *to = high << 4 | low;
            valid &= a & b;
        }
        out.extend_from_slice(&packed);
    }
    for pair in rest.as_chunks::<2>().0 {
        let ((high, a), (low, b)) = (digit(pair[0]), digit(pair[1]));
        out.push(high << 4 | low);
        valid &= a & b;
    }
    if !valid {
        out.truncate(before);
    }
    valid
}

/// The text that `packed` came from.
pub(super) fn unpack(packed: &[u8]) -> Vec<u8> {
    let letter = |nibble: u8| nibble + b'0' + 39 * u8::from(nibble > 9);
    let mut out = Vec::with_capacity(packed.len() * 2);
    for byte in packed {
        out.extend_from_slice(&[letter(byte >> 4), letter(byte & 15)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_length_comes_back() {
        let all: String = (0..=255_u8).map(|b| format!("{b:02x}")).collect();
        for len in (0..all.len()).step_by(2) {
            let text = &all.as_bytes()[all.len() - len..];
            let mut out = vec![7];
            assert!(pack(text, &mut out));
            assert_eq!(out.len(), 1 + len / 2);
            assert_eq!(unpack(&out[1..]), text);
        }
    }

    #[test]
    fn one_wrong_character_anywhere_refuses_it() {
        let good = [b'a'; 70];
        for at in 0..good.len() {
            for wrong in (0..=255_u8).filter(|c| !matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
                let mut text = good;
                text[at] = wrong;
                let mut out = vec![1, 2];
                assert!(!pack(&text, &mut out), "{wrong} at {at}");
                assert_eq!(out, [1, 2]);
            }
        }
        assert!(!looks_like(b"0123456789abcde"));
        assert!(!looks_like(b"0123456789ABCDEF"));
        assert!(looks_like(b"0123456789abcdef"));
    }
}
