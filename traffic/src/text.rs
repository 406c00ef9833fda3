//! Recorded conversations: as long as asked, and never two alike for long.

const SENTENCES: [&str; 8] = [
    "The invoice of November names an amount that the contract does not know. ",
    "Please read the attached report and list every claim without a source. ",
    "I have opened the file and found three functions that are never called. ",
    "Write to jane.doe@example.com or call +49 30 1234567 before noon. ",
    "The query returned 1,204 rows, of which 17 have no customer. ",
    "Let us think step by step about what the user wants to achieve. ",
    "Der Kunde wünscht eine Rückerstattung innerhalb von vierzehn Tagen. ",
    "tool_result: {\"status\": \"ok\", \"items\": [1, 2, 3]} ",
];

/// About `bytes` of text, by `seed`.
pub(crate) fn conversation(bytes: usize, seed: u64) -> String {
    let mut text = String::with_capacity(bytes + 128);
    let mut stream = crate::random::Stream::of(&[seed]);
    while text.len() < bytes {
        text.push_str(stream.pick(&SENTENCES).unwrap_or_default());
    }
    text
}
