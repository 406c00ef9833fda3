//! Where the lake is: a configured place turned into an object store and the path inside it.
//!
//! | place | store |
//! |---|---|
//! | a path, `file:///path` | local disk, with every write fsynced ([`LocalStore`]) |
//! | `s3://bucket/prefix` | S3 and what speaks like it; `AWS_*` variables, then the options |
//! | `az://container/prefix`, `abfss://...` | Azure Blob Storage; `AZURE_*`, then the options |
//! | `gs://bucket/prefix` | Google Cloud Storage; `GOOGLE_*`, then the options |
//! | `memory:///prefix` | this process, for tests and demos |
//!
//! A commit is a put that must fail where the object is there already; each of these stores keeps
//! that promise (S3 by `If-None-Match`). An S3 lookalike that ignores the header loses commits.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::{LakeError, LocalStore};

/// How long one call may be retried inside the object store's client. Longer waits belong to the
/// delivery loop, which shows them.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// An object store, and the folder in it that is the lake.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) url: Url,
    pub(crate) prefix: Path,
}

impl Location {
    /// Reads the configured place and builds its store; local folders are made.
    pub(crate) fn open(place: &str, options: &BTreeMap<String, String>) -> Result<Self, LakeError> {
        let Some(url) = remote_url(place)? else {
            return local(place);
        };
        let store = match url.scheme() {
            "memory" => Arc::new(InMemory::new()),
            "s3" | "s3a" => s3(&url, options)?,
            "az" | "azure" | "adl" | "abfs" | "abfss" => azure(&url, options)?,
            "gs" => google(&url, options)?,
            other => return Err(wrong(place, &format!("unknown scheme `{other}`"))),
        };
        Self::with_store(store, url)
    }

    /// Takes a store that is there, whose root is the root of `url`.
    pub(crate) fn with_store(store: Arc<dyn ObjectStore>, url: Url) -> Result<Self, LakeError> {
        let mut url = url;
        if !url.path().ends_with('/') {
            let folder = format!("{}/", url.path());
            url.set_path(&folder);
        }
        let prefix =
            Path::from_url_path(url.path()).map_err(|e| wrong(url.as_str(), &e.to_string()))?;
        Ok(Self { store, url, prefix })
    }
}

fn wrong(place: &str, reason: &str) -> LakeError {
    // A URL may carry a password before the host; nobody needs to read it in a log.
    let url = Url::parse(place).map_or_else(
        |_| place.to_owned(),
        |mut url| {
            if url.password().is_some() && url.set_password(None).is_err() {
                return url.scheme().to_owned();
            }
            url.to_string()
        },
    );
    LakeError::Location {
        url,
        reason: reason.to_owned(),
    }
}

/// The place as a URL, unless it is on the local disk.
fn remote_url(place: &str) -> Result<Option<Url>, LakeError> {
    if !place.contains("://") {
        return Ok(None);
    }
    let url = Url::parse(place).map_err(|e| wrong(place, &e.to_string()))?;
    Ok((url.scheme() != "file").then_some(url))
}

fn local(place: &str) -> Result<Location, LakeError> {
    let path = match Url::parse(place) {
        Ok(url) if url.scheme() == "file" => url
            .to_file_path()
            .map_err(|()| wrong(place, "it is no path of this machine"))?,
        Ok(_) | Err(_) => place.into(),
    };
    let path = std::path::absolute(path).map_err(|e| wrong(place, &e.to_string()))?;
    LocalStore::make_folder(&path).map_err(|e| wrong(place, &e.to_string()))?;
    // The log's paths are built from the real path, so a link on the way must not hide it.
    let path = path
        .canonicalize()
        .map_err(|e| wrong(place, &e.to_string()))?;
    let url = Url::from_directory_path(&path).map_err(|()| wrong(place, "it is not absolute"))?;
    Location::with_store(Arc::new(LocalStore::new()), url)
}

/// Gives each option to `set`, by its key of the store's own kind.
fn each_option<K: FromStr>(
    options: &BTreeMap<String, String>,
    mut set: impl FnMut(K, &str),
) -> Result<(), LakeError> {
    for (name, value) in options {
        let key = K::from_str(&name.to_ascii_lowercase())
            .map_err(|_| LakeError::Option { name: name.clone() })?;
        set(key, value);
    }
    Ok(())
}

fn retry() -> RetryConfig {
    RetryConfig {
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

fn s3(url: &Url, options: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let mut builder =
        Some(AmazonS3Builder::from_env().with_conditional_put(S3ConditionalPut::ETagMatch));
    each_option(options, |key: AmazonS3ConfigKey, value| {
        builder = builder.take().map(|b| b.with_config(key, value));
    })?;
    let builder = builder.unwrap_or_default();
    Ok(Arc::new(
        builder.with_url(url.as_str()).with_retry(retry()).build()?,
    ))
}

fn azure(url: &Url, options: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let mut builder = Some(MicrosoftAzureBuilder::from_env());
    each_option(options, |key: AzureConfigKey, value| {
        builder = builder.take().map(|b| b.with_config(key, value));
    })?;
    let builder = builder.unwrap_or_default();
    Ok(Arc::new(
        builder.with_url(url.as_str()).with_retry(retry()).build()?,
    ))
}

fn google(
    url: &Url,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let mut builder = Some(GoogleCloudStorageBuilder::from_env());
    each_option(options, |key: GoogleConfigKey, value| {
        builder = builder.take().map(|b| b.with_config(key, value));
    })?;
    let builder = builder.unwrap_or_default();
    Ok(Arc::new(
        builder.with_url(url.as_str()).with_retry(retry()).build()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_and_a_file_url_name_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("with space").join("lake");
        let plain = Location::open(path.to_str().unwrap(), &BTreeMap::new()).unwrap();
        assert!(path.try_exists().unwrap(), "the folder is made");
        let url = Url::from_directory_path(&path).unwrap();
        let spelt = Location::open(url.as_str(), &BTreeMap::new()).unwrap();
        assert_eq!(plain.url, spelt.url);
        assert_eq!(plain.prefix, spelt.prefix);
        assert!(plain.url.path().ends_with("/with%20space/lake/"));
    }

    #[test]
    fn buckets_give_the_path_behind_the_host() {
        let options = BTreeMap::from([
            ("aws_region".to_owned(), "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "x".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "y".to_owned()),
        ]);
        let at = Location::open("s3://bucket/some/prefix", &options).unwrap();
        assert_eq!(at.prefix.as_ref(), "some/prefix");
        assert_eq!(at.url.as_str(), "s3://bucket/some/prefix/");
    }

    #[test]
    fn what_cannot_be_understood_is_refused_without_its_secret() {
        let none = BTreeMap::new();
        let error = Location::open("ftp://user:hunter2@host/x", &none).unwrap_err();
        assert!(
            error.to_string().contains("unknown scheme `ftp`"),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let odd = BTreeMap::from([("aws_regoin".to_owned(), "secret".to_owned())]);
        let error = Location::open("s3://bucket/x", &odd).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the object store knows no option `aws_regoin`"
        );
    }
    /// A server of one request: it keeps the head and answers that the object is stored.
    fn one_put(listener: std::net::TcpListener) -> std::thread::JoinHandle<String> {
        use std::io::{BufRead as _, Read as _, Write as _};
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            head
        })
    }

    /// Encryption at rest is the bucket's or the options': what is set is said with each object.
    #[tokio::test]
    async fn objects_name_the_key_that_encrypts_them() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = one_put(listener);
        let key = "arn:aws:kms:eu-central-1:1:key/2";
        let options = [
            ("aws_access_key_id", "x"),
            ("aws_secret_access_key", "y"),
            ("aws_region", "eu-central-1"),
            ("aws_allow_http", "true"),
            ("aws_endpoint", endpoint.as_str()),
            ("aws_server_side_encryption", "aws:kms"),
            ("aws_sse_kms_key_id", key),
            ("aws_sse_bucket_key_enabled", "true"),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let at = Location::open("s3://bucket/lake", &options.into()).unwrap();
        let path = at.prefix.clone().join("object");
        object_store::ObjectStoreExt::put(&at.store, &path, "x".into())
            .await
            .unwrap();
        let head = server.join().unwrap();
        for (name, value) in [
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", key),
            ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
        ] {
            assert!(
                head.contains(&format!("\r\n{name}: {value}\r\n")),
                "{name} in {head}"
            );
        }
    }
}
