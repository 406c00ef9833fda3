//! Which versions lie in a data directory, over all the crates that keep something there.

use std::path::Path;

use weir_model::FoundLayout;

/// All of it but the lake.
///
/// # Errors
///
/// Where something cannot be read.
pub(crate) fn in_directory(dir: &Path) -> anyhow::Result<Vec<FoundLayout>> {
    let mut found = weir_ingest::layouts(dir)?;
    found.extend(beside_the_log(dir)?);
    Ok(found)
}

/// What is kept beside the log: keys, dead letters and the routes of sinks.
///
/// # Errors
///
/// Where something cannot be read.
pub(crate) fn beside_the_log(dir: &Path) -> anyhow::Result<Vec<FoundLayout>> {
    let mut found: Vec<FoundLayout> = weir_store::layout(dir)?.into_iter().collect();
    found.extend(weir_sinks::dead_layouts(&dir.join("dead"))?);
    found.extend(weir_sinks::sink_layouts(&dir.join("sinks"))?);
    Ok(found)
}
