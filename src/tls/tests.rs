//! What is wrong with files is said in words that name the file.

use super::testing::Authority;
use super::*;

fn fault(certificate: &str, key: &str, authorities: Option<&str>) -> String {
    let load = || {
        let authorities = authorities.map(Pem::read).transpose()?;
        server(
            &Pem::read(certificate)?,
            &Pem::read(key)?,
            authorities.as_ref(),
        )
    };
    load().map(drop).unwrap_err().to_string()
}

#[test]
fn each_bad_file_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let (one, other) = (authority.sign("one"), authority.sign("other"));
    let path = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let nothing = path("nothing.pem", b"");
    let chain = std::fs::read(&one.certificate).unwrap();
    let cut = path("cut.pem", &chain[..chain.len() / 2]);
    let junk = path(
        "junk.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let absent = folder
        .path()
        .join("absent.pem")
        .to_string_lossy()
        .into_owned();

    let good = server(
        &Pem::read(&one.certificate).unwrap(),
        &Pem::read(&one.key).unwrap(),
        Some(&Pem::read(&authority.path()).unwrap()),
    );
    assert!(good.is_ok());
    let cases = [
        (fault(&absent, &one.key, None), "absent.pem cannot be read"),
        (
            fault(&nothing, &one.key, None),
            "nothing.pem holds no certificate",
        ),
        (
            fault(&one.certificate, &nothing, None),
            "nothing.pem holds no private key",
        ),
        (
            fault(&one.key, &one.key, None),
            "one.key holds no certificate",
        ),
        (fault(&cut, &one.key, None), "cut.pem is damaged"),
        (
            fault(&junk, &one.key, None),
            "junk.pem holds cannot be used",
        ),
        (
            fault(&one.certificate, &other.key, None),
            "other.key does not belong to",
        ),
        (
            fault(&one.certificate, &one.key, Some(&nothing)),
            "nothing.pem holds no certificate",
        ),
        (
            fault(&one.certificate, &one.key, Some(&junk)),
            "junk.pem holds cannot be used",
        ),
    ];
    for (said, wanted) in cases {
        assert!(said.contains(wanted), "{wanted:?} in {said:?}");
    }
}

#[test]
fn a_fault_is_found_behind_an_io_error() {
    let io = std::io::Error::other(rustls::Error::DecryptError);
    let outer = TlsError::Read {
        path: PathBuf::from("x"),
        source: io,
    };
    assert_eq!(fault_in(&outer), Some(&rustls::Error::DecryptError));
    let other = std::io::Error::other("else");
    assert_eq!(fault_in(&other), None);
}
