//! The one sink that posts, whatever the form of what is posted.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};

use super::OutboundError;
use super::http::Poster;
use super::posts::Taken;
use crate::{Engine, Part, Receipt, Sink, SinkError};

/// What is posted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// Its own headers, besides those of the configuration.
    pub headers: Vec<(&'static str, String)>,
    /// Its body, before it is compressed.
    pub body: Vec<u8>,
}

/// How rows are put into posts, and what answers say.
pub trait Form: Send + Sync + fmt::Debug + 'static {
    /// The kind of sink.
    const KIND: &'static str;
    /// Rows of one post.
    const POST_ROWS: usize;

    /// The post of `part`, the same each time.
    ///
    /// # Errors
    ///
    /// Where the rows have no such form.
    fn post(&self, part: &Part) -> Result<Post, OutboundError>;

    /// A post without rows: whether it is taken says whether posts with rows are.
    fn probe(&self) -> Post;

    /// Whether a post without rows was let in though `error` came of it.
    fn lets_in(&self, _error: &OutboundError) -> bool {
        false
    }

    /// How many rows an answer of success says were refused.
    fn refused(&self, _answer: &[u8]) -> i64 {
        0
    }
}

/// Posts rows, at least once.
#[derive(Debug)]
pub struct Outbound<F> {
    name: String,
    poster: Poster,
    form: F,
    taken: Taken,
}

impl<F: Form> Outbound<F> {
    pub(super) fn of(name: &str, poster: Poster, form: F) -> Self {
        Self {
            name: name.to_owned(),
            poster,
            form,
            taken: Taken::default(),
        }
    }

    async fn send(&self, post: Post) -> Result<(), OutboundError> {
        let answer = self.poster.post(&post.headers, post.body).await?;
        match self.form.refused(&answer) {
            0 => Ok(()),
            rows => Err(OutboundError::Partly {
                to: self.poster.host(),
                rows,
            }),
        }
    }
}

#[async_trait]
impl<F: Form> Sink for Outbound<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        Want {
            rows_max: F::POST_ROWS.saturating_mul(5),
            bytes_max: 8 << 20,
            gather: Duration::ZERO,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        match self.send(self.form.probe()).await {
            Err(error) if !self.form.lets_in(&error) => Err(error.into()),
            Ok(()) | Err(_) => Ok(Engine {
                name: F::KIND.to_owned(),
                version: String::new(),
            }),
        }
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let mut rows = 0;
        for part in run {
            for chunk in part.chunks(F::POST_ROWS) {
                let id = chunk.id();
                if !self.taken.has(&id) {
                    self.send(self.form.post(&chunk)?).await?;
                    self.taken.note(id);
                    rows += chunk.len() as u64;
                }
            }
        }
        self.taken.forget(run);
        Ok(Receipt {
            rows,
            place: self.poster.host(),
        })
    }

    async fn last_batch(&self, _: Dataset, _: &NodeId) -> Result<Option<i64>, SinkError> {
        Ok(None)
    }

    async fn count(&self, _: Dataset, _: &NodeId) -> Result<u64, SinkError> {
        Err(Box::new(OutboundError::Uncounted))
    }
}
