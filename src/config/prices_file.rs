//! The file of one's own prices (`prices.file`).

use std::collections::BTreeMap;

use weir_model::TenantId;
use weir_transforms::{
    Commitment, Override, OverrideFault, OverrideRate, Own, check_commitments, check_overrides,
};

use crate::config::file::Place;
use crate::config::tree::{self, Node, Tree, Wrong};

/// The names of an entry.
const NAMES: [&str; 14] = [
    "name",
    "tenant",
    "provider",
    "model",
    "model_prefix",
    "model_regex",
    "service_tier",
    "batch",
    "from",
    "until",
    "per_million",
    "per_thousand",
    "factor",
    "percent_off",
];

/// The names of a commitment.
const COMMITMENT_NAMES: [&str; 9] = [
    "name",
    "tenant",
    "provider",
    "model",
    "model_prefix",
    "model_regex",
    "from",
    "until",
    "amount_usd",
];

/// Where an entry and its parts stand.
struct Places {
    entry: Place,
    parts: BTreeMap<String, Place>,
    faulty: bool,
}

/// Reads `text` as the entries of the file, first match first, and its commitments.
///
/// # Errors
///
/// All that is wrong with it; then nothing of it is used.
pub(crate) fn read(text: &str) -> Result<Own, Wrong> {
    let mut wrong = Wrong::default();
    let root = tree::read(text, &mut wrong);
    let mut own = Own::default();
    let (mut prices, mut commitments) = (Vec::new(), Vec::new());
    for (name, place, part) in root.names(&mut wrong) {
        match name.as_str() {
            "prices" => {
                for item in part.items(&mut wrong) {
                    let (entry, at) = entry(item, &mut wrong);
                    own.prices.push(entry);
                    prices.push(at);
                }
            }
            "commitments" => {
                for item in part.items(&mut wrong) {
                    let (commitment, at) = commitment(item, &mut wrong);
                    own.commitments.push(commitment);
                    commitments.push(at);
                }
            }
            other => wrong.at(*place, tree::unknown(other, &["prices", "commitments"])),
        }
    }
    let faults = check_overrides(&own.prices).err().unwrap_or_default();
    tell(faults, &prices, &mut wrong);
    let faults = check_commitments(&own.commitments)
        .err()
        .unwrap_or_default();
    tell(faults, &commitments, &mut wrong);
    wrong.or(own)
}

/// Puts each fault where the part stands that it is of.
fn tell(faults: Vec<OverrideFault>, places: &[Places], wrong: &mut Wrong) {
    for fault in faults {
        let Some(at) = places.get(fault.index) else {
            continue;
        };
        let part = at.parts.get(fault.field).copied();
        // What is missing may be what was misspelt.
        if at.faulty && part.is_none() {
            continue;
        }
        wrong.at(
            part.unwrap_or(at.entry),
            format!("`{}`: {}", fault.field, fault.why),
        );
    }
}

fn entry(item: &Tree, wrong: &mut Wrong) -> (Override, Places) {
    let mut entry = Override::default();
    let places = parts(item, wrong, |name, place, value, wrong| {
        let text = |wrong: &mut Wrong| value.text(wrong).map(str::to_owned);
        match name {
            "name" => entry.name = text(wrong),
            "tenant" => entry.tenant = tenant(value, wrong),
            "provider" => entry.provider = text(wrong),
            "model" => entry.model = text(wrong),
            "model_prefix" => entry.model_prefix = text(wrong),
            "model_regex" => entry.model_regex = text(wrong),
            "service_tier" => entry.service_tier = text(wrong),
            "batch" => entry.batch = switch(value, wrong),
            "from" => entry.from = text(wrong),
            "until" => entry.until = text(wrong),
            "per_million" => entry.per_million = rates(value, wrong),
            "per_thousand" => entry.per_thousand = rates(value, wrong),
            "factor" => entry.factor = text(wrong),
            "percent_off" => entry.percent_off = text(wrong),
            other => wrong.at(place, tree::unknown(other, &NAMES)),
        }
    });
    (entry, places)
}

fn commitment(item: &Tree, wrong: &mut Wrong) -> (Commitment, Places) {
    let mut commitment = Commitment::default();
    let places = parts(item, wrong, |name, place, value, wrong| {
        let slot = match name {
            "tenant" => {
                commitment.tenant = tenant(value, wrong);
                return;
            }
            "name" => &mut commitment.name,
            "provider" => &mut commitment.provider,
            "model" => &mut commitment.model,
            "model_prefix" => &mut commitment.model_prefix,
            "model_regex" => &mut commitment.model_regex,
            "from" => &mut commitment.from,
            "until" => &mut commitment.until,
            "amount_usd" => &mut commitment.amount_usd,
            other => return wrong.at(place, tree::unknown(other, &COMMITMENT_NAMES)),
        };
        *slot = value.text(wrong).map(str::to_owned);
    });
    (commitment, places)
}

/// Gives each part of `item` to `take`, and notes where it stands.
fn parts(
    item: &Tree,
    wrong: &mut Wrong,
    mut take: impl FnMut(&str, Place, &Tree, &mut Wrong),
) -> Places {
    let before = wrong.0.len();
    let mut parts = BTreeMap::new();
    for (name, place, value) in item.names(wrong) {
        parts.insert(name.clone(), value.place);
        take(name, *place, value, wrong);
    }
    Places {
        entry: item.place,
        parts,
        faulty: wrong.0.len() > before,
    }
}

fn tenant(value: &Tree, wrong: &mut Wrong) -> Option<String> {
    let text = value.text(wrong)?;
    if let Err(error) = TenantId::new(text) {
        wrong.at(value.place, error.to_string());
    }
    Some(text.to_owned())
}

fn switch(value: &Tree, wrong: &mut Wrong) -> Option<bool> {
    let read = match value.text(wrong)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    if read.is_none() {
        wrong.at(value.place, "`true` or `false` is wanted");
    }
    read
}

fn rates(value: &Tree, wrong: &mut Wrong) -> BTreeMap<String, OverrideRate> {
    let mut rates = BTreeMap::new();
    for (name, _, value) in value.names(wrong) {
        rates.extend(rate(value, wrong).map(|rate| (name.clone(), rate)));
    }
    rates
}

/// A number, or `{base: 3, above: {200000: 6}}`.
fn rate(value: &Tree, wrong: &mut Wrong) -> Option<OverrideRate> {
    let Node::Map(parts) = &value.node else {
        return Some(OverrideRate::Flat(value.text(wrong)?.to_owned()));
    };
    let (mut base, mut above) = (None, BTreeMap::new());
    for (name, place, part) in parts {
        match name.as_str() {
            "base" => base = part.text(wrong).map(str::to_owned),
            "above" => {
                for (start, place, price) in part.names(wrong) {
                    let tokens = start.replace('_', "").parse();
                    match (tokens, price.text(wrong)) {
                        (Ok(tokens), Some(price)) => {
                            above.insert(tokens, price.to_owned());
                        }
                        (Err(_), _) => wrong.at(*place, "a number of input tokens is wanted"),
                        (Ok(_), None) => {}
                    }
                }
            }
            other => wrong.at(*place, tree::unknown(other, &["base", "above"])),
        }
    }
    match base {
        Some(base) => Some(OverrideRate::Tiered { base, above }),
        None => {
            wrong.at(
                value.place,
                "`base` is wanted, the price up to the first tier",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_read_as_it_is_written() {
        let text = "\
prices:
  - name: own-llama
    tenant: acme
    provider: vllm
    model: llama-3-70b
    from: 2026-01-01
    per_million: {input: 0.20, output: 0.6000000000000001}
  - model_prefix: gpt-5
    per_million:
      input: {base: 3, above: {200_000: 6}}
      output: 15
    per_thousand: {web_searches: 10}
  - provider: openai
    batch: false
    factor: 0.85
  - provider: anthropic
    percent_off: 12.5
commitments:
  - name: openai-2026
    tenant: acme
    provider: openai
    from: 2026-01-01
    until: 2027-01-01
    amount_usd: 500000
";
        let Own {
            prices: entries,
            commitments,
        } = read(text).unwrap();
        assert_eq!(entries[3].percent_off.as_deref(), Some("12.5"));
        assert_eq!(commitments[0].amount_usd.as_deref(), Some("500000"));
        assert_eq!(entries.len(), 4);
        // Digits stay as they are written; none goes by way of a float.
        let output = OverrideRate::Flat("0.6000000000000001".into());
        assert_eq!(entries[0].per_million["output"], output);
        let tiered = OverrideRate::Tiered {
            base: "3".into(),
            above: [(200_000, "6".into())].into(),
        };
        assert_eq!(entries[1].per_million["input"], tiered);
        assert_eq!(entries[2].batch, Some(false));
        assert_eq!(read("").unwrap(), Own::default());
    }

    #[test]
    fn all_faults_are_told_at_once_and_where() {
        let text = "\
prices:
  - modell: gpt-4o
    per_million: {input: 1}
  - model: gpt-4o
    per_million: {input: cheap, water: 1}
  - tenant: 'Not A Tenant'
    model_regex: '('
    from: someday
    factor: 0.5
  - provider: openai
    factor: 2000
    per_million: {input: 1}
  - provider: openai
    percent_off: 101
  - provider: openai
    percent_off: 5
    factor: 0.9
commitments:
  - name: half
    tenant: acme
    from: 2026-01-01
    until: 2025-01-01
    amount_usd: 0
    skil: pdf
  - provider: openai
other: 1
";
        let Wrong(wrong) = read(text).unwrap_err();
        let shown: Vec<String> = wrong.iter().map(|(p, w)| format!("{p}: {w}")).collect();
        let starts = [
            "2:5: unknown name `modell`; did you mean `model`?",
            "5:18: `per_million`: `input`",
            "5:18: `per_million`: `water`",
            "6:13: a tenant id",
            "7:18: `model_regex`: it is no pattern",
            "8:11: `from`: a date",
            "11:13: `factor`: a factor is on the list's price",
            "14:18: `percent_off`: a number from 0 to 100",
            "16:18: `percent_off`: a discount is a factor already",
            "22:12: `until`: it must lie after",
            "23:17: `amount_usd`: dollars above 0",
            "24:5: unknown name `skil`",
            "25:5: `name`: it is wanted",
            "25:5: `tenant`: it is wanted",
            "25:5: `from`: it is wanted",
            "25:5: `until`: it is wanted",
            "25:5: `amount_usd`: it is wanted",
            "26:1: unknown name `other`",
        ];
        for start in starts {
            assert!(
                shown.iter().any(|s| s.starts_with(start)),
                "{start} {shown:#?}"
            );
        }
        assert_eq!(shown.len(), starts.len(), "{shown:#?}");
    }
}
