//! Lakes of single tenants, as the configuration names them.

use std::collections::BTreeMap;

use serde_json::json;
use weir_model::TenantId;

use crate::config::tree::{self, Tree, Wrong};

/// Where one tenant's tables lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantLake {
    /// A place as `lake.url` takes it.
    pub(crate) url: String,
    /// Options of the object store; none are taken over from `lake.options`.
    pub(crate) options: BTreeMap<String, String>,
}

/// By tenant.
pub(crate) type TenantLakes = BTreeMap<TenantId, TenantLake>;

/// What is known of one.
const NAMES: [&str; 2] = ["url", "options"];

/// Reads them from a file; what is right is given also where other parts are wrong.
pub(crate) fn of_tree(tree: &Tree, wrong: &mut Wrong) -> TenantLakes {
    let mut all = TenantLakes::new();
    for (name, place, inner) in tree.names(wrong) {
        let lake = one(inner, wrong);
        match TenantId::new(name) {
            Ok(_) if lake.url.is_empty() => {
                wrong.at(*place, format!("the lake of `{name}` wants a `url`"));
            }
            Ok(tenant) => {
                all.insert(tenant, lake);
            }
            Err(why) => wrong.at(*place, why.to_string()),
        }
    }
    all
}

fn one(tree: &Tree, wrong: &mut Wrong) -> TenantLake {
    let mut lake = TenantLake::default();
    for (name, place, value) in tree.names(wrong) {
        match name.as_str() {
            "url" => value
                .text(wrong)
                .unwrap_or_default()
                .clone_into(&mut lake.url),
            "options" => {
                for (option, _, text) in value.names(wrong) {
                    let text = text.text(wrong).unwrap_or_default().to_owned();
                    lake.options.insert(option.clone(), text);
                }
            }
            _ => wrong.at(*place, tree::unknown(name, &NAMES)),
        }
    }
    lake
}

/// Reads them from one line, as a variable or a flag has them.
///
/// # Errors
///
/// A sentence that says what is wanted; it does not repeat the text, which may hold a secret.
pub(crate) fn read(text: &str) -> Result<TenantLakes, String> {
    let mut wrong = Wrong::default();
    let tree = tree::read(text, &mut wrong);
    let all = of_tree(&tree, &mut wrong);
    let wanted =
        |_| "lakes as `{acme: {url: s3://bucket/lake, options: {aws_region: x}}}` are wanted";
    wrong.or(all).map_err(|w| wanted(w).to_owned())
}

/// The same line, which [`read`] reads; `hide` is put in the place of each option.
pub(crate) fn line(all: &TenantLakes, hide: Option<&str>) -> String {
    let lake = |lake: &TenantLake| {
        let options = lake.options.iter();
        let options: BTreeMap<&str, &str> = options
            .map(|(name, text)| (name.as_str(), hide.unwrap_or(text)))
            .collect();
        json!({ "url": lake.url, "options": options })
    };
    let all: BTreeMap<&str, _> = all.iter().map(|(t, l)| (t.as_str(), lake(l))).collect();
    json!(all).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantLakes {
        let options = BTreeMap::from([("aws_region".to_owned(), "eu-west-1".to_owned())]);
        let url = "s3://acme/weir".to_owned();
        TenantLakes::from([(TenantId::new("acme").unwrap(), TenantLake { url, options })])
    }

    #[test]
    fn a_line_reads_back_as_the_same_lakes() {
        assert_eq!(read(&line(&acme(), None)), Ok(acme()));
        let plain = "{acme: {url: s3://acme/weir, options: {aws_region: eu-west-1}}}";
        assert_eq!(read(plain), Ok(acme()));
        assert_eq!(read("{}"), Ok(TenantLakes::new()));
        assert!(!line(&acme(), Some("***")).contains("eu-west-1"));
    }

    #[test]
    fn what_is_no_lake_is_refused_without_being_repeated() {
        for bad in [
            "acme",
            "[acme]",
            "{acme: s3://hunter2/x}",
            "{Acme: {url: hunter2}}",
            "{acme: {options: {key: hunter2}}}",
            "{acme: {url: x, option: {key: hunter2}}}",
        ] {
            let why = read(bad).unwrap_err();
            assert!(!why.contains("hunter2"), "{bad}: {why}");
        }
    }
}
