//! Rows and stores for the tests of this crate.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use weir_model::schema::ColumnType;
use weir_model::{Batch, BatchId, Dataset, NodeId};

/// 2026-01-01.
pub(crate) const DAY: i32 = 20_454;

/// A row in short: its tenant, its day after [`DAY`], and its time in microseconds.
pub(crate) type Short<'a> = (&'a str, i32, Option<i64>);

/// Accepted rows of `dataset`, NULL where that is allowed.
pub(crate) fn accepted(dataset: Dataset, rows: &[Short<'_>]) -> RecordBatch {
    let schema = dataset.accepted_schema();
    let n = rows.len();
    let columns = dataset.columns().iter().take(schema.fields().len());
    let columns = columns.map(|c| -> ArrayRef {
        let times = || rows.iter().map(|r| r.2);
        match (c.name, c.kind) {
            ("tenant_id", _) => Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
            ("part_date", _) => Arc::new(Date32Array::from_iter_values(
                rows.iter().map(|r| DAY + r.1),
            )),
            ("trace_id", _) => Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| format!("{i:032x}")),
            )),
            (name, ColumnType::Time) if name == dataset.time_column() => {
                Arc::new(TimestampMicrosecondArray::from_iter(times()).with_timezone("UTC"))
            }
            (_, kind) if c.nullable => new_null_array(&kind.arrow(), n),
            (_, ColumnType::Time) => {
                Arc::new(TimestampMicrosecondArray::from(vec![0; n]).with_timezone("UTC"))
            }
            (_, ColumnType::Int64) => Arc::new(Int64Array::from(vec![7; n])),
            (_, ColumnType::Int32) => Arc::new(Int32Array::from(vec![7; n])),
            (_, ColumnType::Bool) => Arc::new(BooleanArray::from(vec![true; n])),
            (_, ColumnType::MoneySum) => {
                let sums = Decimal128Array::from(vec![7; n]);
                Arc::new(sums.with_data_type(ColumnType::MoneySum.arrow()))
            }
            (_, ColumnType::Ints) => new_empty_lists(n),
            _ => Arc::new(StringArray::from(vec!["x"; n])),
        }
    });
    RecordBatch::try_new(schema, columns.collect()).unwrap()
}

/// Lists without an element.
fn new_empty_lists(n: usize) -> ArrayRef {
    let element = Field::new("element", DataType::Int64, true);
    let mut lists = ListBuilder::new(Int64Builder::new()).with_field(element);
    (0..n).for_each(|_| lists.append(true));
    Arc::new(lists.finish())
}

pub(crate) fn node(n: u64) -> NodeId {
    NodeId::from_bits(n)
}

/// A sealed batch.
pub(crate) fn batch(dataset: Dataset, node: &NodeId, number: i64, rows: &[Short<'_>]) -> Batch {
    let id = BatchId {
        node: node.clone(),
        dataset,
        number,
    };
    Batch::seal(id, &accepted(dataset, rows)).unwrap()
}

/// What a [`FaultStore`] does to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutFault {
    /// It fails, and nothing is there.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is done, the answer is lost, and the store does not answer the next get either.
    DoneThenDark,
    /// It fails, nothing is there, and the store does not answer the next get either.
    RefusedThenDark,
}

/// A store whose puts and gets fail as planned.
#[derive(Debug)]
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    /// Faults for puts to paths that contain the text.
    puts: Mutex<Vec<(&'static str, PutFault)>>,
    /// How many gets fail from now on.
    gets: AtomicUsize,
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            puts: Mutex::default(),
            gets: AtomicUsize::new(0),
        })
    }

    pub(crate) fn plan_put(&self, at: &'static str, fault: PutFault) {
        self.puts.lock().push((at, fault));
    }

    fn get_fault(&self) -> Result<()> {
        let less = |n: usize| n.checked_sub(1);
        match self
            .gets
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        {
            Ok(_) => Err(planned()),
            Err(_) => Ok(()),
        }
    }
}

fn planned() -> Error {
    Error::Generic {
        store: "FaultStore",
        source: "planned".into(),
    }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultStore")
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, how: PutOptions) -> Result<PutResult> {
        let fault = {
            let mut puts = self.puts.lock();
            let found = puts.iter().position(|(text, _)| at.as_ref().contains(text));
            found.map(|i| puts.remove(i).1)
        };
        match fault {
            None => self.inner.put_opts(at, payload, how).await,
            Some(PutFault::Refused) => Err(planned()),
            Some(PutFault::RefusedThenDark) => {
                self.gets.store(1, Ordering::SeqCst);
                Err(planned())
            }
            Some(PutFault::AnswerLost) => {
                self.inner.put_opts(at, payload, how).await?;
                Err(planned())
            }
            Some(PutFault::DoneThenDark) => {
                self.inner.put_opts(at, payload, how).await?;
                self.gets.store(1, Ordering::SeqCst);
                Err(planned())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.get_fault()?;
        self.inner.get_opts(at, how).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}
