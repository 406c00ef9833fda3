//! Whether the lake answers: asked at the start, and then until it does.
//!
//! A node does not need its lake to accept rows: they are durable in the log. So a lake that gives
//! no answer does not keep a node from starting; one that answers with a refusal (no such bucket,
//! no right to it) or that a newer weir has written does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_lake::{Lake, LakeError};
use weir_model::FoundLayout;
use weir_model::layout::Verdict;

use crate::app::Node;
use crate::app::running::StartError;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before the next one.
const PAUSE: Duration = Duration::from_secs(2);

/// What a question came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The lake answers, and this program reads its tables.
    Here,
    /// It gives no answer; why, for the log.
    Silent(String),
}

/// Whether the lake has answered since the start; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Reached(Arc<AtomicBool>);

impl Reached {
    /// A lake that has answered, or has not.
    pub(crate) fn new(reached: bool) -> Self {
        Self(Arc::new(AtomicBool::new(reached)))
    }

    /// Whether it has.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks the lake for its tables' logs, once.
///
/// # Errors
///
/// Where the place refuses, or holds what a newer weir wrote.
pub(crate) async fn look(lake: &Lake) -> Result<Answer, StartError> {
    within(async {
        let found = lake.layouts().await?;
        Ok(newer(found))
    })
    .await
    .and_then(|looked| match looked {
        Ok(Some(layout)) => Err(StartError::Newer { layout }),
        Ok(None) => Ok(Answer::Here),
        Err(why) => Ok(Answer::Silent(why)),
    })
}

/// Does `work` with the lake; the inner error is why there was no answer.
///
/// # Errors
///
/// Where the place refuses.
pub(crate) async fn within<T>(
    work: impl Future<Output = Result<T, LakeError>>,
) -> Result<Result<T, String>, StartError> {
    match tokio::time::timeout(PATIENCE, Box::pin(work)).await {
        Ok(Ok(done)) => Ok(Ok(done)),
        Ok(Err(error)) if error.is_silence() => Ok(Err(format!("{:#}", anyhow::Error::new(error)))),
        Ok(Err(source)) => Err(StartError::Lake { source }),
        Err(_) => Ok(Err(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// The first of `found` that this program must not touch.
pub(crate) fn newer(found: Vec<FoundLayout>) -> Option<FoundLayout> {
    let mut found = found.into_iter();
    found.find(|layout| layout.verdict() == Verdict::Newer)
}

/// Asks until the lake answers, or the node stops.
pub(crate) async fn until_reached(node: &Node) {
    while !node.lake_reached.get() {
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match look(&node.lake).await {
            Ok(Answer::Here) => {
                node.lake_reached.set();
                tracing::info!("lake.reached");
            }
            Ok(Answer::Silent(error)) => tracing::debug!(error, "lake.silent"),
            Err(error) => {
                // Nothing is written to it; a person must act, and is told again and again.
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "lake.refused");
            }
        }
    }
}
