//! Names of models as providers, exports and instrumentation write them, made comparable.

/// What stays of a model's name when its writing is taken away: the vendor and region before it,
/// the date and the revision after it, and all that is no letter or digit.
///
/// `anthropic.claude-3-5-sonnet-20241022-v2:0`, `us.anthropic.claude-3-5-sonnet-20241022-v2:0`,
/// `claude-3-5-sonnet-20241022` and `Claude3.5Sonnet` are one model.
pub(crate) fn comparable(name: &str) -> String {
    let name = name.trim().to_lowercase();
    // A path (`models/gemini-2.5-pro`, an ARN) ends in the model's own name.
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split(['@', ':']).next().unwrap_or_default();
    let mut parts: Vec<&str> = name.split('-').collect();
    if parts.len() > 1 && parts.last().is_some_and(|p| is_revision(p)) {
        parts.pop();
    }
    drop_date(&mut parts);
    let joined = parts.join("-");
    let vendors = ["anthropic", "amazon", "meta", "mistral", "cohere", "openai"];
    let bare = vendors.iter().find_map(|vendor| {
        let (before, after) = joined.split_once(&format!("{vendor}."))?;
        // Before the vendor stands nothing but a region (`us.`, `eu.`).
        before.len().le(&6).then(|| after.to_owned())
    });
    let bare = bare.unwrap_or(joined);
    bare.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// `v2`, as Bedrock ends its names.
fn is_revision(part: &str) -> bool {
    let digits = part.strip_prefix('v').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Takes `20241022`, or `2024`, `07`, `18`, off the end.
fn drop_date(parts: &mut Vec<&str>) {
    let digits =
        |part: &&str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() > 1
        && parts
            .last()
            .is_some_and(|p| digits(p, 8) && p.starts_with("20"))
    {
        parts.pop();
        return;
    }
    if let [.., year, month, day] = parts.as_slice()
        && digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && parts.len() > 3
    {
        parts.truncate(parts.len() - 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_is_one_name_however_it_is_written() {
        for name in [
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-sonnet-20241022",
            "claude-3-5-sonnet@20241022",
            "Claude3.5Sonnet",
            "models/claude-3-5-sonnet",
        ] {
            assert_eq!(comparable(name), "claude35sonnet", "{name}");
        }
        assert_eq!(comparable("gpt-4o-mini-2024-07-18"), "gpt4omini");
        assert_eq!(comparable("gpt-4.1"), "gpt41");
        assert_ne!(comparable("gpt-4o"), comparable("gpt-4o-mini"));
        assert_ne!(comparable("claude-3-5-haiku"), comparable("claude-3-haiku"));
        assert_eq!(comparable("o3"), "o3");
    }
}
