//! Small files, written so that they are whole and durable or not there.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::DeadError;

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> DeadError {
    let path = path.to_owned();
    move |source| DeadError::Disk { path, source }
}

fn sync_folder(path: &Path) -> Result<(), DeadError> {
    let sync = File::open(path).and_then(|f| f.sync_all());
    sync.map_err(failed(path))
}

/// Makes `folder` and what is missing above it, durably.
pub(crate) fn make_folders(folder: &Path) -> Result<(), DeadError> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return std::fs::create_dir_all(folder).map_err(failed(folder));
    };
    make_folders(parent)?;
    match std::fs::create_dir(folder) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(folder)(e)),
    }
    sync_folder(parent)
}

/// Writes `path` anew: beside it, fsynced, renamed, and the folder fsynced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), DeadError> {
    let beside = path.with_extension("tmp");
    let put = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    put().map_err(failed(path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The layout of the small files here that this program writes, and the newest that it reads. Files
/// from before there was a number are of layout 1.
pub(crate) const LAYOUT: u64 = 1;

/// The layout that a small file says it has.
pub(super) fn layout_of(body: &Value) -> u64 {
    body.get("layout").and_then(Value::as_u64).unwrap_or(1)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DeadError> {
    let mut body = serde_json::to_value(value).map_err(|e| failed(path)(e.into()))?;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("layout".to_owned(), LAYOUT.into());
    }
    let text = serde_json::to_vec_pretty(&body).map_err(|e| failed(path)(e.into()))?;
    write(path, &text)
}

/// The bytes of `path`.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, DeadError> {
    std::fs::read(path).map_err(failed(path))
}

/// Reads `path`; `None` where there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DeadError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(path)(e)),
    };
    let damaged = |e: serde_json::Error| DeadError::Damaged {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let body: Value = serde_json::from_slice(&text).map_err(damaged)?;
    let found = layout_of(&body);
    if found > LAYOUT {
        return Err(DeadError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    Ok(Some(serde_json::from_value(body).map_err(damaged)?))
}

/// Deletes `path`, durably; one that is not there is no error.
pub(super) fn remove(path: &Path) -> Result<(), DeadError> {
    match std::fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed(path)(e)),
    }
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, DeadError> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(folder)(e)),
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry.map_err(failed(folder))?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The folders in `folder`, by name; none where it is not there.
pub(super) fn folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, DeadError> {
    let mut found = entries(folder)?;
    found.retain(|(_, path)| path.is_dir());
    Ok(found)
}

/// The names of the files in `folder`; none where it is not there.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, DeadError> {
    let found = entries(folder)?.into_iter();
    Ok(found
        .filter(|(_, path)| path.is_file())
        .map(|(name, _)| name)
        .collect())
}
