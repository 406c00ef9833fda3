use weir_transforms::{Call, Priced, Tokens};

use super::*;

fn config_with(dir: &Path, prices: Option<&str>) -> Config {
    let mut config = Config {
        data_dir: dir.join("data"),
        ..Config::default()
    };
    if let Some(text) = prices {
        let file = dir.join("prices.yaml");
        std::fs::write(&file, text).unwrap();
        config.prices.file = file.to_string_lossy().into_owned();
    }
    config
}

/// What 1,000 input and 10 output tokens of gpt-4o cost, in microdollars.
fn price(tariff: &Tariff) -> i128 {
    let call = Call {
        provider: Some("openai"),
        models: [Some("gpt-4o"), None],
        start_us: 1_795_208_519_000_000,
        tokens: Tokens {
            input: 1_000,
            output: 10,
            ..Tokens::default()
        },
        ..Call::default()
    };
    match tariff.price(&call) {
        Priced::Amount(amount, reference) => {
            assert!(reference.starts_with(&format!("{}:", tariff.name())));
            amount / 1_000_000
        }
        other @ (Priced::Unpriced | Priced::InvalidUsage) => panic!("{other:?}"),
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

const OWN: &str = "\
prices:
  - {tenant: acme, model: gpt-4o, per_million: {input: 1, output: 100}}
  - {provider: openai, factor: 0.5}
";

#[test]
fn tenants_have_their_own_prices_and_all_others_the_common_ones() {
    let dir = tempfile::tempdir().unwrap();
    let book = PriceBook::open(&config_with(dir.path(), Some(OWN))).unwrap();
    assert_eq!(price(&book.current(&tenant("acme"))), 2_000);
    assert_eq!(price(&book.current(&tenant("other"))), 1_300);
    let plain = PriceBook::open(&config_with(dir.path(), None)).unwrap();
    assert_eq!(price(&plain.current(&tenant("acme"))), 2_600);
    let names = [
        book.current(&tenant("acme")),
        book.current(&tenant("other")),
        plain.current(&tenant("other")),
    ];
    let names: BTreeSet<&str> = names.iter().map(|t| t.name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_bad_file_keeps_the_old_one_in_effect_and_a_good_one_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), Some(OWN));
    let book = PriceBook::open(&config).unwrap();
    assert_eq!(book.reload(false), Look::Same);
    let change = |text: &str| std::fs::write(&config.prices.file, text).unwrap();
    change("prices:\n  - {model: gpt-4o, per_million: {input: free}}\n");
    assert_eq!(book.reload(false), Look::Refused);
    assert_eq!(book.reload(false), Look::Same, "told once");
    assert_eq!(price(&book.current(&tenant("other"))), 1_300);
    change("prices:\n  - {provider: openai, factor: 0.25}\n");
    assert_eq!(book.reload(false), Look::Taken);
    assert_eq!(price(&book.current(&tenant("other"))), 650);
    std::fs::remove_file(&config.prices.file).unwrap();
    assert_eq!(book.reload(false), Look::Refused);
    assert_eq!(price(&book.current(&tenant("other"))), 650);
    assert!(matches!(
        PriceBook::open(&config),
        Err(PricesError::Read { .. })
    ));
}

#[test]
fn a_tariff_is_found_by_its_name_after_it_was_replaced_and_in_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), Some(OWN));
    let book = PriceBook::open(&config).unwrap();
    let names: Vec<String> = ["acme", "other"]
        .map(|t| book.current(&tenant(t)).name().to_owned())
        .into();
    std::fs::write(&config.prices.file, "").unwrap();
    assert_eq!(book.reload(false), Look::Taken);
    let again = PriceBook::open(&config).unwrap();
    for book in [&book, &again] {
        let old: Vec<i128> = names
            .iter()
            .map(|name| price(&book.by_name(name).unwrap()))
            .collect();
        assert_eq!(old, [2_000, 1_300]);
        assert_eq!(price(&book.current(&tenant("acme"))), 2_600);
    }
    let again = Arc::new(again);
    let named = Named::of(&again, &tenant("acme"));
    assert_eq!(named.under(Some(&names[1])).name(), names[1]);
    let current = again.current(&tenant("acme"));
    for new in [None, Some("genai-prices-0.2.1-000000000000")] {
        assert_eq!(named.under(new).name(), current.name());
    }
    for unknown in ["", "genai-prices-0.2.1-000000000000", "../state", "a/b"] {
        assert!(again.by_name(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn a_kept_tariff_that_was_changed_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), Some(OWN));
    let book = PriceBook::open(&config).unwrap();
    let name = book.current(&tenant("other")).name().to_owned();
    let file = config.data_dir.join(format!("prices/{name}.json"));
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&config.prices.file, "").unwrap();
    let later = PriceBook::open(&config).unwrap();
    std::fs::write(&file, kept.replace("0.5", "0.1")).unwrap();
    assert!(later.by_name(&name).is_none());
    std::fs::write(&file, kept).unwrap();
    assert_eq!(price(&later.by_name(&name).unwrap()), 1_300);
}

#[test]
fn which_cost_is_preferred_is_of_the_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_with(dir.path(), None);
    config.cost.prefer_by_tenant = [("acme".into(), "computed".into())].into();
    let book = PriceBook::open(&config).unwrap();
    assert_eq!(book.current(&tenant("acme")).prefer(), Prefer::Computed);
    assert_eq!(book.current(&tenant("other")).prefer(), Prefer::Reported);
}

#[test]
fn the_examples_of_the_pages_are_good_files() {
    let example = |page: &str| {
        let (_, rest) = page.split_once("```yaml\n").unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let prices = prices_file::read(&example(include_str!("../../../docs/prices.md")));
    let own = prices.unwrap();
    assert_eq!((own.prices.len(), own.commitments.len()), (4, 1));
    let mapping = example(include_str!("../../../docs/mapping.md"));
    assert_eq!(
        crate::config::mapping_file::read(&mapping).unwrap().len(),
        9
    );
}
