//! Whether the lake answers: asked at the start, and then until it does.
//!
//! A node does not need its lake to accept rows: they are durable in the log. So a lake that gives
//! no answer does not keep a node from starting; one that answers with a refusal (no such bucket,
//! no right to it) or that a newer weir has written does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future;
use weir_lake::{Lake, LakeError, Lakes};
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
    /// The lakes answer, and this program reads their tables.
    Here,
    /// One gives no answer.
    Silent {
        /// Which, without credentials.
        lake: String,
        /// Why, for the log.
        error: String,
    },
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

/// Asks the lakes for their tables' logs, once. Whoever owns a tenant's lake can shut it: one that
/// refuses counts as one that is silent, so that the others' rows are still accepted.
///
/// # Errors
///
/// Where the default lake refuses, or any holds what a newer weir wrote.
pub(crate) async fn look(lakes: &Lakes) -> Result<Answer, StartError> {
    let own = lakes.own().map(|(lake, _)| async move {
        match look_at(lake).await {
            Err(StartError::Lake { source }) => {
                let error = format!("{:#}", anyhow::Error::new(source));
                tracing::error!(lake = %lake.url(), error, "lake.refused");
                Ok(silent(lake, error))
            }
            other => other,
        }
    });
    let (default, own) = future::join(look_at(lakes.shared()), future::join_all(own)).await;
    let mut worst = default?;
    for answer in own {
        let answer = answer?;
        if matches!(worst, Answer::Here) {
            worst = answer;
        }
    }
    Ok(worst)
}

async fn look_at(lake: &Lake) -> Result<Answer, StartError> {
    let looked = within(async { Ok(newer(lake.layouts().await?)) }).await?;
    match looked {
        Ok(Some(layout)) => Err(StartError::Newer { layout }),
        Ok(None) => Ok(Answer::Here),
        Err(why) => Ok(silent(lake, why)),
    }
}

fn silent(lake: &Lake, error: String) -> Answer {
    let lake = lake.url().to_string();
    Answer::Silent { lake, error }
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

/// Asks until all lakes answer, or the node stops.
pub(crate) async fn until_reached(node: &Node) {
    while !node.lake_reached.get() {
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match look(&node.lakes).await {
            Ok(Answer::Here) => {
                node.lake_reached.set();
                tracing::info!("lake.reached");
            }
            Ok(Answer::Silent { lake, error }) => tracing::debug!(lake, error, "lake.silent"),
            Err(error) => {
                // Nothing is written to it; a person must act, and is told again and again.
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "lake.refused");
            }
        }
    }
}
