//! Which versions the notes of dead letters carry.

use std::path::Path;

use serde_json::Value;
use weir_model::FoundLayout;

use super::{DeadError, disk};

/// Looks at the notes in the folder `dead` of a data directory; none where it is not there.
///
/// # Errors
///
/// Where a folder or a note cannot be read.
pub fn layouts(folder: &Path) -> Result<Vec<FoundLayout>, DeadError> {
    let mut all = Vec::new();
    for (sink, path) in disk::folders(folder)? {
        for (format, below) in [
            ("dead letter", ""),
            ("cut of a batch", "splits"),
            ("note of a lost batch", "lost"),
        ] {
            let path = path.join(below);
            for name in disk::files(&path)? {
                if !name.ends_with(".json") {
                    continue;
                }
                let bytes = disk::bytes(&path.join(&name))?;
                let body: Option<Value> = serde_json::from_slice(&bytes).ok();
                let layout = body.map(|body| disk::layout_of(&body));
                let parts = ["dead", &sink, below, &name];
                let shown: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                let found = FoundLayout::of(format, shown.join("/"), layout, disk::LAYOUT);
                FoundLayout::gather(&mut all, found);
            }
        }
    }
    Ok(all)
}

/// Looks at what is remembered of sinks, in the folder `sinks` of a data directory; none where it is
/// not there.
///
/// # Errors
///
/// Where the folder or a file cannot be read.
pub fn sink_layouts(folder: &Path) -> Result<Vec<FoundLayout>, DeadError> {
    let mut all = Vec::new();
    let names = disk::files(folder)?;
    for name in names.iter().filter(|name| name.ends_with(".json")) {
        let bytes = disk::bytes(&folder.join(name))?;
        let body: Option<Value> = serde_json::from_slice(&bytes).ok();
        let layout = body.map(|body| disk::layout_of(&body));
        let shown = format!("sinks/{name}");
        let found = FoundLayout::of("routes of a sink", shown, layout, disk::LAYOUT);
        FoundLayout::gather(&mut all, found);
    }
    Ok(all)
}
