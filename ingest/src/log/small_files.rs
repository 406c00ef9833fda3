//! Small JSON files under a checksum: `node.json` and the cursors.

use serde_json::{Map, Value};

const CRC: &str = "crc32c";

/// The layout of both kinds of file that this program writes, and the newest that it reads.
pub(crate) const LAYOUT: u64 = 1;

/// The layout of a small file, where it is newer than this program reads. The checksum is looked at
/// first: only what somebody really wrote can be newer.
pub(crate) fn newer(bytes: &[u8]) -> Option<u16> {
    let layout = decode(bytes)?.get("layout")?.as_u64()?;
    (layout > LAYOUT).then(|| u16::try_from(layout).unwrap_or(u16::MAX))
}

/// The bytes of a small file.
pub(crate) fn encode(mut body: Map<String, Value>) -> Vec<u8> {
    let crc = checksum(&body);
    body.insert(CRC.to_owned(), Value::String(crc));
    Value::Object(body).to_string().into_bytes()
}

/// Reads a small file back; `None` where it is damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(bytes) else {
        return None;
    };
    let Some(Value::String(crc)) = body.remove(CRC) else {
        return None;
    };
    (crc == checksum(&body)).then_some(body)
}

/// Over the compact form, which is the same for the same content.
fn checksum(body: &Map<String, Value>) -> String {
    let text = Value::Object(body.clone()).to_string();
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_never_changes_what_is_read() {
        let mut body = Map::new();
        body.insert("sink".into(), "lake".into());
        body.insert("spans".into(), 12_345.into());
        let bytes = encode(body.clone());
        assert_eq!(decode(&bytes), Some(body.clone()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_none_or(|read| read == body), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None);
        }
    }
}
