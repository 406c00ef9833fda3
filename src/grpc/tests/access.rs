//! Keys as metadata, and quotas, with tonic's own client.

use std::time::Duration;

use weir_model::TenantId;
use weir_store::{Scope, Scopes};

use super::*;

async fn call_as(
    rig: &Rig,
    (name, value): (&'static str, &str),
    body: Bytes,
) -> Result<Bytes, Status> {
    let mut client = client(rig).await;
    let mut request = Request::new(body);
    request.metadata_mut().insert(name, value.parse().unwrap());
    let answer = client.unary(request, http_path(TRACES), Raw).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_as_metadata_and_its_lack_is_told_in_grpcs_own_codes() {
    let rig = Rig::start().await;
    let acme = TenantId::new("acme").unwrap();
    let keys = rig.app.node().access.keys();
    let good = keys.create(&acme, Scope::Ingest.into(), "").unwrap().text;
    let other = keys.create(&acme, Scope::Query.into(), "").unwrap().text;
    let bearer = format!("Bearer {good}");
    for form in [("authorization", bearer.as_str()), ("x-api-key", &good)] {
        call_as(&rig, form, request(&[&[1; 8]])).await.unwrap();
    }
    let code = |form| {
        let rig = &rig;
        async move {
            call_as(rig, form, request(&[&[2; 8]]))
                .await
                .unwrap_err()
                .code()
        }
    };
    assert_eq!(code(("x-other", "")).await, Code::Unauthenticated);
    assert_eq!(code(("x-api-key", "wk_wrong")).await, Code::Unauthenticated);
    assert_eq!(code(("x-api-key", &other)).await, Code::PermissionDenied);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_is_resource_exhausted_with_the_wait() {
    let rig = Rig::start_with(|config| {
        config.quota.rows_per_second = Some(1);
        config.quota.burst = Duration::from_secs(20);
    })
    .await;
    let keys = rig.app.node().access.keys();
    let key = keys
        .create(&TenantId::local(), Scopes::all(), "")
        .unwrap()
        .text;
    let ids: Vec<[u8; 8]> = (1..=15).map(|n| [n; 8]).collect();
    let ids: Vec<&[u8]> = ids.iter().map(<[u8; 8]>::as_slice).collect();
    call_as(&rig, ("x-api-key", &key), request(&ids))
        .await
        .unwrap();
    let refused = call_as(&rig, ("x-api-key", &key), request(&ids[..14]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let status = rpc_status::Status::decode(refused.details()).unwrap();
    let info = rpc_status::RetryInfo::decode(status.details[0].value.as_slice()).unwrap();
    let wait = info.retry_delay.unwrap().seconds;
    assert!((1..=9).contains(&wait), "{wait}");
    rig.app.stop().await.unwrap();
}
