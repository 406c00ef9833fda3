use object_store::memory::InMemory;

use super::*;

const NODE: &str = "00000000000000aa";

async fn log(lines: &[&[&str]]) -> Arc<dyn ObjectStore> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (version, commit) in (0..).zip(lines) {
        let text = commit.join("\n");
        store.put(&commit_path(version), text.into()).await.unwrap();
    }
    store
}

const META: &str = r#"{"metaData":{"id":"x","format":{"provider":"parquet"},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"tenant_id\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":["part_date","tenant_id"],"configuration":{}}}"#;
const PROTOCOL_1_2: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
const ADD: &str = r#"{"add":{"path":"part_date=2026-01-02/tenant_id=acme/a%20b.parquet","partitionValues":{"part_date":"2026-01-02","tenant_id":"acme"},"size":12,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":3}"}}"#;

async fn replayed(lines: &[&[&str]]) -> Result<Snapshot, LakeError> {
    let mut replay = Replay::new(Dataset::Spans);
    replay.refresh(&log(lines).await).await?;
    Ok(replay.snapshot())
}

#[tokio::test]
async fn the_log_tells_files_columns_and_batches() {
    let txn = format!(r#"{{"txn":{{"appId":"weir/{NODE}/spans","version":7}}}}"#);
    let foreign = r#"{"txn":{"appId":"weir/zz/spans","version":9}}"#;
    let info = r#"{"commitInfo":{"timestamp":1,"operation":"WRITE"}}"#;
    let snapshot = replayed(&[&[info, PROTOCOL_1_2, META], &[info, ADD, &txn, foreign, ""]])
        .await
        .unwrap();
    assert_eq!(snapshot.version(), Some(1));
    let file = &snapshot.files()[0];
    assert_eq!(file.path, "part_date=2026-01-02/tenant_id=acme/a b.parquet");
    assert_eq!((file.rows, file.size), (3, 12));
    assert_eq!(file.part_date, Some(20_455));
    assert_eq!(file.tenant.as_ref().unwrap().as_str(), "acme");
    let nodes: Vec<_> = snapshot.nodes().collect();
    assert_eq!(nodes, [(&NodeId::new(NODE).unwrap(), 7)]);
    assert_eq!(snapshot.columns(), ["tenant_id"]);
}

#[tokio::test]
async fn a_removed_file_is_gone() {
    let remove = r#"{"remove":{"path":"part_date=2026-01-02/tenant_id=acme/a%20b.parquet","dataChange":true}}"#;
    let snapshot = replayed(&[&[PROTOCOL_1_2, META, ADD], &[remove]])
        .await
        .unwrap();
    assert_eq!(snapshot.files(), []);
}

#[tokio::test]
async fn a_table_beyond_our_protocol_is_refused_and_never_misread() {
    let later = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":[],"writerFeatures":[]}}"#;
    let error = replayed(&[&[later, META]]).await.unwrap_err();
    assert!(error.to_string().contains("reader protocol 3"), "{error}");
    let vector = ADD.replace(
        r#""size":12"#,
        r#""size":12,"deletionVector":{"storageType":"u"}"#,
    );
    let error = replayed(&[&[PROTOCOL_1_2, META], &[&vector]]).await;
    assert!(matches!(error, Err(LakeError::Log { version: 1, .. })));
    let writer = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7}}"#;
    let mut replay = Replay::new(Dataset::Spans);
    replay
        .refresh(&log(&[&[writer, META]]).await)
        .await
        .unwrap();
    assert!(matches!(
        replay.writable(),
        Err(LakeError::Unsupported { .. })
    ));
}

#[tokio::test]
async fn a_refresh_reads_only_what_is_new_and_a_bad_commit_is_read_again() {
    let store = log(&[&[PROTOCOL_1_2, META]]).await;
    let mut replay = Replay::new(Dataset::Spans);
    assert!(replay.refresh(&store).await.unwrap());
    assert!(!replay.refresh(&store).await.unwrap());
    store
        .put(&commit_path(1), "{\"add\":".into())
        .await
        .unwrap();
    assert!(replay.refresh(&store).await.is_err());
    assert_eq!(replay.snapshot().version(), Some(0));
    store.put(&commit_path(1), ADD.into()).await.unwrap();
    assert!(replay.refresh(&store).await.unwrap());
    assert_eq!(replay.snapshot().files().len(), 1);
}

#[test]
fn days_are_spelt_and_read_alike() {
    for days in [0, -1, 20_454, -719_528, 2_932_896] {
        assert_eq!(parse_date(&spell_date(days).unwrap()), Some(days));
    }
    assert_eq!(spell_date(20_454).unwrap(), "2026-01-01");
    for beyond in [i32::MIN, i32::MAX, 2_932_897] {
        assert_eq!(spell_date(beyond), None);
    }
}

#[test]
fn progress_inside_a_batch_only_grows() {
    let at = |batch, rows_end| Partial { batch, rows_end };
    let steps = [at(1, 1), at(1, i32::MAX), at(2, 1), at(1 << 30, 5)];
    let versions = steps.map(|p| part_version(p).unwrap());
    assert!(versions.is_sorted());
    assert_eq!(versions.map(|v| partial_of(v).unwrap()), steps);
    assert_eq!(part_version(at(1 << 31, 0)), None);
}
