use super::*;

fn bill<'a>(export: &'a Export, day: &str, model: &str) -> &'a Billed {
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").unwrap();
    let key = (day, comparable(model));
    export
        .bills
        .get(&key)
        .unwrap_or_else(|| panic!("{key:?} in {:?}", export.bills))
}

fn usd(text: &str) -> Option<i128> {
    usd::parse(text)
}

#[test]
fn openai_usage_from_the_api_and_from_the_dashboard() {
    let api = r#"{"object":"page","data":[{"object":"bucket","start_time":1763596800,"end_time":1763683200,
        "results":[
        {"object":"organization.usage.completions.result","input_tokens":1000,"output_tokens":500,
         "input_cached_tokens":800,"num_model_requests":5,"model":"gpt-4o-2024-08-06","batch":null},
        {"object":"organization.usage.completions.result","input_tokens":10,"output_tokens":5,
         "input_cached_tokens":0,"num_model_requests":1,"model":"gpt-4o-2024-08-06","batch":true}]}],
        "has_more":false,"next_page":null}"#;
    let csv = "start_time,end_time,start_time_iso,num_model_requests,model,batch,input_tokens,\
               output_tokens,input_cached_tokens\n\
               1763596800,1763683200,2025-11-20T00:00:00+00:00,6,gpt-4o-2024-08-06,,1010,505,800\n";
    for text in [api, csv] {
        let export = read(text, None).unwrap();
        assert_eq!(export.provider, Provider::Openai);
        let billed = bill(&export, "2025-11-20", "gpt-4o");
        assert_eq!((billed.requests, billed.input), (Some(6), Some(1010)));
        assert_eq!((billed.cached, billed.output), (Some(800), Some(505)));
        assert_eq!(billed.cost, None);
    }
}

#[test]
fn openai_costs_by_line_item() {
    let api = r#"{"object":"page","data":[{"object":"bucket","start_time":1763596800,"results":[
        {"object":"organization.costs.result","amount":{"value":0.06,"currency":"usd"},
         "line_item":"gpt-4o-2024-08-06, input"},
        {"object":"organization.costs.result","amount":{"value":0.0400000000001,"currency":"usd"},
         "line_item":"gpt-4o-2024-08-06, output"}]}]}"#;
    let export = read(api, None).unwrap();
    let billed = bill(&export, "2025-11-20", "gpt-4o");
    assert_eq!((billed.cost, billed.input), (usd("0.1000000000001"), None));
}

#[test]
fn anthropic_usage_and_cost_with_every_kind_of_input() {
    let api = r#"{"data":[{"starting_at":"2025-11-20T00:00:00Z","ending_at":"2025-11-21T00:00:00Z",
        "results":[{"uncached_input_tokens":1500,"cache_creation":{"ephemeral_1h_input_tokens":1000,
        "ephemeral_5m_input_tokens":500},"cache_read_input_tokens":200,"output_tokens":500,
        "model":"claude-sonnet-4-20250514","service_tier":"standard"}]}],"has_more":false}"#;
    let csv = "usage_date_utc,model_version,api_key,usage_input_tokens_no_cache,\
               usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
               usage_input_tokens_cache_read,usage_output_tokens\n\
               2025-11-20,claude-sonnet-4-20250514,\"main, key\",1500,500,1000,200,500\n";
    for text in [api, csv] {
        let export = read(text, None).unwrap();
        assert_eq!(export.provider, Provider::Anthropic);
        let billed = bill(&export, "2025-11-20", "claude-sonnet-4");
        assert_eq!(
            (billed.input, billed.cached, billed.output),
            (Some(3200), Some(200), Some(500))
        );
    }
    let cents = r#"{"data":[{"starting_at":"2025-11-20T00:00:00Z","results":[
        {"currency":"USD","amount":"123.45","model":"claude-sonnet-4-20250514",
         "token_type":"uncached_input_tokens"},
        {"currency":"USD","amount":"0.55","model":"claude-sonnet-4-20250514","token_type":"output_tokens"},
        {"currency":"USD","amount":"9","model":null,"cost_type":"web_search"}]}]}"#;
    let export = read(cents, None).unwrap();
    assert_eq!(
        bill(&export, "2025-11-20", "claude-sonnet-4").cost,
        usd("1.24")
    );
    assert_eq!(export.bills.len(), 1, "what is no model is no call");
    let dollars = "usage_date_utc,model,token_type,cost_usd\n\
                   2025-11-20,claude-sonnet-4-20250514,input_no_cache,1.24\n";
    let export = read(dollars, None).unwrap();
    assert_eq!(
        bill(&export, "2025-11-20", "claude-sonnet-4").cost,
        usd("1.24")
    );
}

#[test]
fn bedrock_by_usage_type_and_nothing_else_of_the_bill() {
    let csv = "lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageType,\
               lineItem/UsageAmount,lineItem/UnblendedCost,pricing/unit\n\
               2025-11-20T00:00:00Z,AmazonBedrock,USE1-Claude3.5Sonnet-input-tokens,1.5,0.0045,1K tokens\n\
               2025-11-20T00:00:00Z,AmazonBedrock,USE1-Claude3.5Sonnet-output-tokens,0.2,0.003,1K tokens\n\
               2025-11-20T00:00:00Z,AmazonEC2,USE1-BoxUsage:t3.micro,24,0.25,Hrs\n";
    let json = r#"{"ResultsByTime":[{"TimePeriod":{"Start":"2025-11-20","End":"2025-11-21"},"Groups":[
        {"Keys":["USE1-Claude3.5Sonnet-input-tokens"],"Metrics":{"UnblendedCost":{"Amount":"0.0045",
         "Unit":"USD"},"UsageQuantity":{"Amount":"1.5","Unit":"1K tokens"}}},
        {"Keys":["USE1-Claude3.5Sonnet-output-tokens"],"Metrics":{"UnblendedCost":{"Amount":"0.003",
         "Unit":"USD"},"UsageQuantity":{"Amount":"0.2","Unit":"1K tokens"}}}]}]}"#;
    for text in [csv, json] {
        let export = read(text, None).unwrap();
        assert_eq!(export.provider, Provider::Bedrock);
        let billed = bill(
            &export,
            "2025-11-20",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
        );
        assert_eq!((billed.input, billed.output), (Some(1500), Some(200)));
        assert_eq!(billed.cost, usd("0.0075"));
        assert_eq!(export.bills.len(), 1);
    }
}

#[test]
fn what_cannot_be_read_is_refused_and_not_left_out() {
    for (text, fault) in [
        ("", "the file"),
        ("a,b\n1,2\n", "none of the known exports"),
        ("usage_date_utc,model,cost_usd\nsoon,claude,1\n", "line 1"),
        (
            "usage_date_utc,model,cost_usd\n2025-11-20,claude,1\n2025-11-20,claude,free\n",
            "line 2",
        ),
        ("{\"data\":", "no JSON"),
    ] {
        let error = format!("{:#}", read(text, None).unwrap_err());
        assert!(error.contains(fault), "{text:?}: {error}");
    }
}
