//! Request bodies decompressed, within a limit.
//!
//! A small body can stand for gigabytes, so the output is read piece by piece and the work stops
//! at the first byte beyond the limit; no length named in the body is believed.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// How much room the output starts with, as a multiple of the body.
const GROWTH_GUESS: usize = 4;

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952; several members in a row are one body.
    Gzip,
    /// RFC 1950 (zlib), as HTTP means it; a bare RFC 1951 stream is taken too, since clients send it.
    Deflate,
    /// RFC 8878, with a window within the limit.
    Zstd,
}

/// What decompressing a body may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the plain body.
    pub bytes_max: usize,
    /// The window that a zstd frame may ask for, as a power of two: memory beside the body.
    pub zstd_window_log_max: u32,
}

/// The `Content-Encoding` is none that this server takes (415).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this Content-Encoding is not supported; send one of identity, gzip, deflate, zstd")]
pub struct UnsupportedCoding;

/// The body could not be decompressed; nothing of it was used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// It is longer than allowed once decompressed (413).
    #[error("the body is larger than {limit} bytes once decompressed")]
    TooLarge {
        /// The most bytes that are taken.
        limit: usize,
    },
    /// It is not what its coding promises, or ends early (400).
    #[error("the body is damaged or incomplete: it does not decompress")]
    Corrupt(#[source] io::Error),
}

impl Coding {
    /// Reads a `Content-Encoding` header; none and the empty one mean identity.
    ///
    /// # Errors
    ///
    /// [`UnsupportedCoding`] for any other coding and for several in a row.
    pub fn from_header(value: Option<&str>) -> Result<Self, UnsupportedCoding> {
        let name = value.unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" | "none" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" | "zlib" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnsupportedCoding),
        }
    }
}

/// Gives the body as it was before `coding`, if that stays within `limits`.
///
/// # Errors
///
/// [`DecompressError::TooLarge`] as soon as one byte more than the limit has come out, and
/// [`DecompressError::Corrupt`] where the stream is damaged, cut off, or wants a larger window.
/// Neither gives a part.
pub fn decompress(body: Bytes, coding: Coding, limits: Limits) -> Result<Bytes, DecompressError> {
    let (coded, max) = (body.len(), limits.bytes_max);
    match coding {
        Coding::Identity if coded > max => Err(DecompressError::TooLarge { limit: max }),
        Coding::Identity => Ok(body),
        Coding::Gzip => read_capped(MultiGzDecoder::new(body.as_ref()), coded, max),
        Coding::Deflate if is_zlib(&body) => {
            read_capped(ZlibDecoder::new(body.as_ref()), coded, max)
        }
        Coding::Deflate => read_capped(DeflateDecoder::new(body.as_ref()), coded, max),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref())
                .map_err(DecompressError::Corrupt)?;
            decoder
                .window_log_max(limits.zstd_window_log_max)
                .map_err(DecompressError::Corrupt)?;
            read_capped(decoder, coded, max)
        }
    }
}

/// Whether the body begins with a zlib header: method 8, and a multiple of 31 as a number.
fn is_zlib(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => {
            first & 0x0f == 8 && (u16::from(*first) * 256 + u16::from(*second)) % 31 == 0
        }
        _ => false,
    }
}

fn read_capped(reader: impl Read, coded: usize, limit: usize) -> Result<Bytes, DecompressError> {
    let room = coded.saturating_mul(GROWTH_GUESS).min(limit);
    let mut out = Vec::with_capacity(room);
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(most)
        .read_to_end(&mut out)
        .map_err(DecompressError::Corrupt)?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge { limit });
    }
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn limits(bytes_max: usize) -> Limits {
        Limits {
            bytes_max,
            zstd_window_log_max: 23,
        }
    }

    const TEXT: &[u8] = b"what goes in comes out, what goes in comes out";

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(data).unwrap();
        coder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(data).unwrap();
        coder.finish().unwrap()
    }

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut coder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(data).unwrap();
        coder.finish().unwrap()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).unwrap()
    }

    fn bodies(data: &[u8]) -> Vec<(Coding, Vec<u8>)> {
        vec![
            (Coding::Identity, data.to_vec()),
            (Coding::Gzip, gzip(data)),
            (Coding::Deflate, zlib(data)),
            (Coding::Deflate, deflate(data)),
            (Coding::Zstd, zstd(data)),
        ]
    }

    #[test]
    fn every_coding_gives_back_what_went_in_up_to_the_limit() {
        for (coding, body) in bodies(TEXT) {
            for beyond in [0, 1] {
                let most = limits(TEXT.len() + beyond);
                let out = decompress(body.clone().into(), coding, most).unwrap();
                assert_eq!(out, TEXT, "{coding:?}");
            }
        }
    }

    #[test]
    fn one_byte_beyond_the_limit_is_too_large() {
        for (coding, body) in bodies(TEXT) {
            let error = decompress(body.into(), coding, limits(TEXT.len() - 1)).unwrap_err();
            assert!(
                matches!(error, DecompressError::TooLarge { .. }),
                "{coding:?}: {error}"
            );
        }
    }

    #[test]
    fn a_body_cut_off_anywhere_is_corrupt() {
        for (coding, body) in bodies(TEXT).into_iter().skip(1) {
            for cut in 1..body.len() {
                let out = decompress(body[..cut].to_vec().into(), coding, limits(1 << 20));
                assert!(
                    matches!(out, Err(DecompressError::Corrupt(_))),
                    "{coding:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn several_gzip_members_are_one_body() {
        let mut body = gzip(b"one ");
        body.extend(gzip(b"two"));
        let out = decompress(body.into(), Coding::Gzip, limits(100)).unwrap();
        assert_eq!(out, b"one two".as_slice());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0_u8; 8 << 20];
        for (coding, body) in bodies(&zeros).into_iter().skip(1) {
            let error = decompress(body.into(), coding, limits(1 << 20)).unwrap_err();
            assert!(
                matches!(error, DecompressError::TooLarge { limit: 1_048_576 }),
                "{coding:?}"
            );
        }
    }

    /// A frame that asks for a window of 2 to the `log`: small ones name a smaller window.
    fn zstd_with_window(log: u32) -> Vec<u8> {
        let mut coder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        coder.window_log(log).unwrap();
        coder.write_all(&vec![7_u8; (1 << log) + 1]).unwrap();
        coder.finish().unwrap()
    }

    #[test]
    fn a_zstd_window_is_taken_up_to_the_limit() {
        for max in [20, 23] {
            let most = Limits {
                bytes_max: 64 << 20,
                zstd_window_log_max: max,
            };
            for log in [max - 1, max] {
                let out = decompress(zstd_with_window(log).into(), Coding::Zstd, most);
                assert!(out.is_ok(), "{log} of {max}");
            }
            let out = decompress(zstd_with_window(max + 1).into(), Coding::Zstd, most);
            assert!(matches!(out, Err(DecompressError::Corrupt(_))), "of {max}");
        }
    }

    #[test]
    fn headers_name_one_coding_in_any_case() {
        assert_eq!(Coding::from_header(None), Ok(Coding::Identity));
        assert_eq!(Coding::from_header(Some(" GZip ")), Ok(Coding::Gzip));
        assert_eq!(Coding::from_header(Some("deflate")), Ok(Coding::Deflate));
        assert_eq!(Coding::from_header(Some("zstd")), Ok(Coding::Zstd));
        for other in ["br", "snappy", "gzip, gzip", "gzip;q=1"] {
            assert_eq!(Coding::from_header(Some(other)), Err(UnsupportedCoding));
        }
    }
}
