//! Numbers and texts as few bytes: what facts are written with.

use std::sync::Arc;

/// Why bytes are no fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end early.
    #[error("a fact breaks off")]
    Short,
    /// They go on behind the fact.
    #[error("a fact is followed by something else")]
    Long,
    /// A newer version of weir wrote them.
    #[error("a fact has the unknown version {0}")]
    Version(u8),
    /// A number or a text is not what it must be.
    #[error("a fact is damaged")]
    Damaged,
}

/// Appends numbers and texts.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the last with its top bit clear.
    pub(super) fn unsigned(&mut self, mut number: u128) {
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    /// Small numbers of either sign are short.
    pub(super) fn signed(&mut self, number: i128) {
        self.unsigned((number.cast_unsigned() << 1) ^ (number >> 127).cast_unsigned());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u128);
        self.bytes(text.as_bytes());
    }

    /// One bit for each text that is there, then those.
    pub(super) fn texts<'t>(&mut self, texts: impl Iterator<Item = Option<&'t Arc<str>>> + Clone) {
        let bits = texts.clone().enumerate();
        let mask = bits.fold(0, |mask, (at, text)| {
            mask | u128::from(text.is_some()) << at
        });
        self.unsigned(mask);
        texts.flatten().for_each(|text| self.text(text));
    }

    /// As [`Writer::texts`], of numbers.
    pub(super) fn numbers(&mut self, numbers: impl Iterator<Item = Option<i128>> + Clone) {
        let bits = numbers.clone().enumerate();
        let mask = bits.fold(0, |mask, (at, n)| mask | u128::from(n.is_some()) << at);
        self.unsigned(mask);
        numbers.flatten().for_each(|number| self.signed(number));
    }
}

/// Takes them off again.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn unsigned(&mut self) -> Result<u128, DecodeError> {
        let mut number: u128 = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            // 18 bytes hold 126 bits, so that the last one has two left.
            if shift > 126 || (shift == 126 && part > 3) {
                return Err(DecodeError::Damaged);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Damaged)
    }

    pub(super) fn signed(&mut self) -> Result<i128, DecodeError> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn long(&mut self) -> Result<i64, DecodeError> {
        i64::try_from(self.signed()?).map_err(|_| DecodeError::Damaged)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| DecodeError::Short)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| DecodeError::Damaged)
    }

    /// `N` texts, each there or not.
    pub(super) fn texts<const N: usize>(&mut self) -> Result<[Option<&'a str>; N], DecodeError> {
        let mask = self.unsigned()?;
        if mask >> N != 0 {
            return Err(DecodeError::Damaged);
        }
        let mut texts = [None; N];
        for (at, slot) in texts.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *slot = Some(self.text()?);
            }
        }
        Ok(texts)
    }

    /// `N` numbers, each there or not.
    pub(super) fn numbers<const N: usize>(&mut self) -> Result<[Option<i128>; N], DecodeError> {
        let mask = self.unsigned()?;
        if mask >> N != 0 {
            return Err(DecodeError::Damaged);
        }
        let mut numbers = [None; N];
        for (at, slot) in numbers.iter_mut().enumerate() {
            if mask >> at & 1 == 1 {
                *slot = Some(self.signed()?);
            }
        }
        Ok(numbers)
    }

    pub(super) fn code<T>(&mut self, from: impl Fn(u8) -> Option<T>) -> Result<T, DecodeError> {
        from(self.byte()?).ok_or(DecodeError::Damaged)
    }
}
