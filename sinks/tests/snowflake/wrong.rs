//! Wrong configuration: what a person is told.

use super::*;

/// What the probe says, and what a write says.
async fn told(snow: &Snow) -> String {
    let sink = snow.open();
    let written = sink.write(&run([1])).await.unwrap_err();
    let fault = written.fault();
    assert_ne!(fault, weir_model::Fault::Permanent, "rows are not at fault");
    let error = sink.probe().await.unwrap_err();
    chain(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_told_in_words() {
    let mut snow = Snow::start().await;
    let good = snow.config.clone();

    snow.config.database = "nowhere".to_owned();
    let text = told(&snow).await;
    assert!(text.contains("Database 'NOWHERE' does not exist"), "{text}");

    snow.config = good.clone();
    snow.config.role = "nobody".to_owned();
    let text = told(&snow).await;
    assert!(text.contains("NOBODY"), "{text}");

    // A key that Snowflake does not hold for the user.
    snow.config = good.clone();
    snow.config.user = "somebody".to_owned();
    let text = told(&snow).await;
    assert!(text.contains("JWT token is invalid"), "{text}");
    assert!(text.contains("key or token right"), "{text}");

    let secret = "pat-which-is-wrong";
    snow.config = good.clone();
    snow.config.token = secret.into();
    let text = told(&snow).await;
    assert!(text.contains("no such credentials"), "{text}");
    assert!(!text.contains(secret), "{text}");

    snow.config = good.clone();
    snow.config.private_key_file = "no-such-file.p8".to_owned();
    let text = told(&snow).await;
    assert!(text.contains("no-such-file.p8"), "{text}");

    snow.config = good.clone();
    snow.emulator.catalog(|c| c.enterprise = false);
    let text = told(&snow).await;
    assert!(text.contains("row_access_policy"), "{text}");
    snow.emulator.catalog(|c| c.enterprise = true);

    snow.emulator.catalog(|c| c.read_only = true);
    let text = told(&snow).await;
    assert!(text.contains("Insufficient privileges"), "{text}");
    snow.emulator.catalog(|c| c.read_only = false);

    // The tables are there, and the role may read them only.
    let sink = snow.open();
    write(&sink, &run([1])).await;
    snow.open().probe().await.unwrap();
    snow.emulator.catalog(|c| c.read_only = true);
    let error = snow.open().probe().await.unwrap_err();
    assert!(chain(&error).contains("insert into"), "{}", chain(&error));
    snow.emulator.catalog(|c| c.read_only = false);
    assert_eq!(
        snow.emulator.channels().len(),
        1,
        "the probe leaves no channel"
    );

    let ca = std::mem::take(&mut snow.config.ca_file);
    let text = told(&snow).await;
    assert!(
        text.contains("certificate") || text.contains("Certificate"),
        "{text}"
    );
    snow.config.ca_file = ca;
    snow.emulator.stop().await;
    let text = told(&snow).await;
    assert!(text.contains("no answer from 127.0.0.1"), "{text}");
}
