//! Until when a certificate holds: the one field that is read of it here.
//!
//! ```text
//! Certificate = SEQ { TBS = SEQ { [0] version?, INTEGER serial, SEQ algorithm, SEQ issuer,
//!                                 SEQ validity { notBefore, notAfter }, ... }, ... }   RFC 5280, 4.1
//! ```

use chrono::NaiveDateTime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the certificate in `der` ends, in seconds since 1970 UTC; `None` where it cannot be read.
pub(crate) fn not_after(der: &[u8]) -> Option<i64> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (signed, _) = expect(certificate, SEQUENCE)?;
    let (tag, _, after_first) = element(signed)?;
    // The version is left out where it is the first.
    let rest = if tag == VERSION { after_first } else { signed };
    let (_, _, rest) = element(rest)?; // serial number
    let (_, rest) = expect(rest, SEQUENCE)?; // algorithm
    let (_, rest) = expect(rest, SEQUENCE)?; // issuer
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (_, _, rest) = element(validity)?; // not before
    let (tag, time, _) = element(rest)?;
    let text = std::str::from_utf8(time).ok()?;
    let whole = match tag {
        // Two digits of a year from 1950 to 2049.
        UTC_TIME => {
            let year: u32 = text.get(..2)?.parse().ok()?;
            format!("{}{text}", if year < 50 { "20" } else { "19" })
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(&whole, "%Y%m%d%H%M%SZ").ok()?;
    Some(time.and_utc().timestamp())
}

/// The contents of an element that must have `tag`, and what follows it.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, contents, rest) = element(bytes)?;
    (found == tag).then_some((contents, rest))
}

/// Tag, contents and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // The long form: so many bytes of length; four are 4 GiB.
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        let length = digits.iter().fold(0, |n, b| (n << 8) | usize::from(*b));
        (length, rest.get(count..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_spellings_of_a_time_are_read() {
        // Until 2049 a year has two digits.
        assert_eq!(not_after(&made(2031, 2, 3)), Some(1_927_843_200));
        assert_eq!(not_after(&made(2050, 1, 1)), Some(2_524_608_000));
    }

    #[test]
    fn what_is_cut_or_something_else_has_no_end() {
        let whole = made(2031, 2, 3);
        assert!((0..whole.len()).all(|length| not_after(&whole[..length]).is_none()));
        assert_eq!(not_after(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
