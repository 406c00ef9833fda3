//! Facts as bytes, for keeping them on disk.
//!
//! A fact is its version, its fixed fields, and then what it has: little-endian numbers of the least
//! length, texts behind their length. Unknown versions are refused rather than guessed.

use std::sync::Arc;

use super::booking::CostStatus;
use super::fact::{
    ContentKey, Context, Fact, Inherited, ModelCall, Shared, Skill, SkillSource, SpanId, ToolRole,
    Usage, UsageCount,
};
use super::names::OpKind;

/// The layout that is written.
const VERSION: u8 = 1;

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

/// Which optional parts follow, one bit each.
mod has {
    pub(super) const PARENT: u16 = 1;
    pub(super) const END: u16 = 1 << 1;
    pub(super) const ROLE: u16 = 1 << 2;
    pub(super) const AGGREGATE: u16 = 1 << 3;
    pub(super) const ERROR: u16 = 1 << 4;
    pub(super) const DIALECT: u16 = 1 << 5;
    pub(super) const CONTEXT: u16 = 1 << 6;
    pub(super) const SKILL: u16 = 1 << 7;
    pub(super) const CALL: u16 = 1 << 8;
    pub(super) const ALL: u16 = (1 << 9) - 1;
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the last with its top bit clear.
    fn unsigned(&mut self, mut number: u128) {
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
    fn signed(&mut self, number: i128) {
        self.unsigned((number.cast_unsigned() << 1) ^ (number >> 127).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u128);
        self.bytes(text.as_bytes());
    }

    /// One bit for each text that is there, then those.
    fn texts<'t>(&mut self, texts: impl Iterator<Item = Option<&'t Arc<str>>> + Clone) {
        let bits = texts.clone().enumerate();
        let mask = bits.fold(0, |mask, (at, text)| {
            mask | u128::from(text.is_some()) << at
        });
        self.unsigned(mask);
        texts.flatten().for_each(|text| self.text(text));
    }

    /// As [`Writer::texts`], of numbers.
    fn numbers(&mut self, numbers: impl Iterator<Item = Option<i128>> + Clone) {
        let bits = numbers.clone().enumerate();
        let mask = bits.fold(0, |mask, (at, n)| mask | u128::from(n.is_some()) << at);
        self.unsigned(mask);
        numbers.flatten().for_each(|number| self.signed(number));
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn unsigned(&mut self) -> Result<u128, DecodeError> {
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

    fn signed(&mut self) -> Result<i128, DecodeError> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    fn long(&mut self) -> Result<i64, DecodeError> {
        i64::try_from(self.signed()?).map_err(|_| DecodeError::Damaged)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.unsigned()?).map_err(|_| DecodeError::Short)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| DecodeError::Damaged)
    }

    /// `N` texts, each there or not.
    fn texts<const N: usize>(&mut self) -> Result<[Option<&'a str>; N], DecodeError> {
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
    fn numbers<const N: usize>(&mut self) -> Result<[Option<i128>; N], DecodeError> {
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

    fn code<T>(&mut self, from: impl Fn(u8) -> Option<T>) -> Result<T, DecodeError> {
        from(self.byte()?).ok_or(DecodeError::Damaged)
    }
}

impl ModelCall {
    fn encode(&self, out: &mut Writer<'_>) {
        let texts = [
            &self.provider,
            &self.model_request,
            &self.model_response,
            &self.service_tier,
            &self.response_id,
            &self.price_ref,
            &self.list,
        ];
        out.texts(texts.into_iter().map(Option::as_ref));
        let counts = UsageCount::ALL.map(|count| self.usage.get(count).map(i128::from));
        out.numbers(counts.into_iter());
        out.numbers([self.reported, self.computed, self.cost].into_iter());
        let flags = [
            self.invalid,
            self.made_inclusive,
            self.reasoning_added,
            self.batch.is_some(),
            self.batch == Some(true),
            self.disagrees.is_some(),
            self.disagrees == Some(true),
        ];
        let flags = flags.into_iter().enumerate();
        out.unsigned(flags.fold(0, |mask, (at, set)| mask | u128::from(set) << at));
        out.0.push(self.status as u8);
    }

    fn decode(from: &mut Reader<'_>, shared: &mut Shared) -> Result<Self, DecodeError> {
        let [
            provider,
            request,
            response,
            tier,
            response_id,
            price_ref,
            list,
        ] = from.texts()?;
        let mut usage = Usage::default();
        let counts: [_; UsageCount::ALL.len()] = from.numbers()?;
        for (which, count) in UsageCount::ALL.into_iter().zip(counts) {
            let count = count.map(i64::try_from).transpose();
            usage.set(which, count.map_err(|_| DecodeError::Damaged)?);
        }
        let [reported, computed, cost] = from.numbers()?;
        let flags = from.unsigned()?;
        let flag = |at: u32| flags >> at & 1 == 1;
        if flags >> 7 != 0 || (flag(4) && !flag(3)) || (flag(6) && !flag(5)) {
            return Err(DecodeError::Damaged);
        }
        let mut text = |text: Option<&str>| text.map(|t| shared.text(t));
        Ok(Self {
            provider: text(provider),
            model_request: text(request),
            model_response: text(response),
            service_tier: text(tier),
            response_id: response_id.map(Arc::from),
            price_ref: text(price_ref),
            list: text(list),
            usage,
            reported,
            computed,
            cost,
            invalid: flag(0),
            made_inclusive: flag(1),
            reasoning_added: flag(2),
            batch: flag(3).then(|| flag(4)),
            disagrees: flag(5).then(|| flag(6)),
            status: from.code(CostStatus::from_code)?,
        })
    }
}

impl Fact {
    /// Appends the fact to `out`. The same fact gives the same bytes, in any process.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.encode_body(&mut Writer(out));
    }

    fn encode_body(&self, out: &mut Writer<'_>) {
        let parts = [
            (has::PARENT, self.parent.is_some()),
            (has::END, self.end.is_some()),
            (has::ROLE, self.role.is_some()),
            (has::AGGREGATE, self.aggregate),
            (has::ERROR, self.error.is_some()),
            (has::DIALECT, self.dialect.is_some()),
            (has::CONTEXT, self.context.is_some()),
            (has::SKILL, self.skill.is_some()),
            (has::CALL, self.call.is_some()),
        ];
        let mask = parts.into_iter().filter(|(_, there)| *there);
        let mask = mask.fold(0, |mask, (bit, _)| mask | bit);
        out.bytes(&mask.to_le_bytes());
        out.bytes(&self.span.0.to_le_bytes());
        out.bytes(&self.content_key.0.to_le_bytes());
        out.signed(self.received_us.into());
        out.signed(self.start.into());
        out.0.push(self.kind as u8);
        if let Some(parent) = self.parent {
            out.bytes(&parent.0.to_le_bytes());
        }
        if let Some(end) = self.end {
            // Mostly a short while after the start.
            out.signed(i128::from(end) - i128::from(self.start));
        }
        if let Some(role) = self.role {
            out.0.push(role as u8);
        }
        if let Some(error) = &self.error {
            out.text(error);
        }
        if let Some(dialect) = &self.dialect {
            out.text(dialect);
        }
        if let Some(context) = &self.context {
            let inherited = context.inherited.iter().map(Option::as_ref);
            out.texts(inherited.chain([context.environment.as_ref()]));
        }
        if let Some(skill) = &self.skill {
            out.0.push(skill.source as u8);
            out.texts([Some(&skill.name), skill.version.as_ref()].into_iter());
        }
        if let Some(call) = &self.call {
            call.encode(out);
        }
    }

    /// Reads a fact that [`Fact::encode`] wrote; equal texts are shared by `shared`.
    ///
    /// # Errors
    ///
    /// Where `bytes` are not exactly one fact of a known version.
    pub fn decode(bytes: &[u8], shared: &mut Shared) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        match from.byte()? {
            VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let mask = u16::from_le_bytes(from.take()?);
        if mask & !has::ALL != 0 {
            return Err(DecodeError::Damaged);
        }
        let there = |bit: u16| mask & bit != 0;
        let span = SpanId(u64::from_le_bytes(from.take()?));
        let content_key = ContentKey(u128::from_le_bytes(from.take()?));
        let received_us = from.long()?;
        let start = from.long()?;
        let kind = from.code(OpKind::from_code)?;
        let parent = there(has::PARENT).then(|| from.take()).transpose()?;
        let after = there(has::END).then(|| from.signed()).transpose()?;
        let end = after.map(|after| after.checked_add(start.into()));
        let end = end.map(|end| {
            end.and_then(|end| i64::try_from(end).ok())
                .ok_or(DecodeError::Damaged)
        });
        let role = there(has::ROLE)
            .then(|| from.code(ToolRole::from_code))
            .transpose()?;
        let error = there(has::ERROR).then(|| from.text()).transpose()?;
        let dialect = there(has::DIALECT).then(|| from.text()).transpose()?;
        let fact = Self {
            span,
            content_key,
            received_us,
            parent: parent.map(|id| SpanId(u64::from_le_bytes(id))),
            start,
            end: end.transpose()?,
            kind,
            role,
            aggregate: there(has::AGGREGATE),
            error: error.map(|t| shared.text(t)),
            dialect: dialect.map(|t| shared.text(t)),
            context: there(has::CONTEXT)
                .then(|| context(&mut from, shared))
                .transpose()?
                .flatten(),
            skill: there(has::SKILL)
                .then(|| skill(&mut from, shared))
                .transpose()?,
            call: there(has::CALL)
                .then(|| ModelCall::decode(&mut from, shared).map(Box::new))
                .transpose()?,
        };
        if from.0.is_empty() {
            Ok(fact)
        } else {
            Err(DecodeError::Long)
        }
    }

    /// A key of the fact's own content, for rows that have none: arrival and price do not change it.
    pub(super) fn hashed(&self) -> ContentKey {
        let mut content = self.clone();
        content.content_key = ContentKey(0);
        content.received_us = 0;
        if let Some(call) = &mut content.call {
            call.computed = None;
            call.cost = None;
            call.status = CostStatus::default();
            call.disagrees = None;
            call.price_ref = None;
            call.list = None;
        }
        let mut bytes = Vec::new();
        content.encode(&mut bytes);
        // FNV-1a: nobody gains by a collision with a span of the own trace.
        let hash = bytes.iter().fold(
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128,
            |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b),
        );
        ContentKey(hash)
    }
}

fn context(
    from: &mut Reader<'_>,
    shared: &mut Shared,
) -> Result<Option<Arc<Context>>, DecodeError> {
    let texts: [_; Inherited::ALL.len() + 1] = from.texts()?;
    let mut context = Context::default();
    for (which, text) in Inherited::ALL.into_iter().zip(texts) {
        context.set(which, text.map(|t| shared.text(t)));
    }
    let environment = texts.last().copied().flatten();
    context.environment = environment.map(|t| shared.text(t));
    Ok(shared.context(context))
}

fn skill(from: &mut Reader<'_>, shared: &mut Shared) -> Result<Skill, DecodeError> {
    let source = from.code(SkillSource::from_code)?;
    let [name, version] = from.texts()?;
    Ok(Skill {
        name: shared.text(name.ok_or(DecodeError::Damaged)?),
        version: version.map(|t| shared.text(t)),
        source,
    })
}
