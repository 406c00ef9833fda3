//! Giving rows to a sink again that it had refused, at an operator's word.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_model::{Batch, Fault};
use weir_sinks::lake::{self, LakeSink};
use weir_sinks::{DeadError, DeadLetter, DeadLetters, LetterId, Part, Sink};

use crate::app::Node;
use crate::app::sinks::told;

/// How long one replay is tried while the sink does not answer; below what a request may take.
const TRY_FOR: Duration = Duration::from_secs(10);

/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(500);

/// A letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// Its sink is none of the node's.
    #[error("this node has no sink `{0}`")]
    NoSink(String),
    /// The sink refuses the rows as before; the letter stays, with the new reason.
    #[error("the sink still refuses these rows: {0}")]
    Refused(String),
    /// The sink could not take them just now; the same replay may be asked for again.
    #[error("the sink cannot take them just now: {0}")]
    Busy(String),
    /// The letter cannot be read or written.
    #[error(transparent)]
    Letters(#[from] DeadError),
    /// A helper thread ended early.
    #[error("a helper thread ended early")]
    Worker,
}

/// Offers the rows of letter `id` to its sink.
///
/// # Errors
///
/// [`ReplayError`]; the letter is still there.
pub(crate) async fn replay(node: &Node, id: &LetterId) -> Result<DeadLetter, ReplayError> {
    let sink: Arc<dyn Sink> = match node.fanout.find(&id.sink) {
        Some(outlet) => Arc::clone(outlet.sink()),
        None if id.sink == lake::NAME => Arc::new(LakeSink::new(node.lakes.clone())),
        None => return Err(ReplayError::NoSink(id.sink.clone())),
    };
    // One at a time: a sink settles what is replayed in the order of its numbers.
    let _turn = node.fanout.replaying().await;
    let batch = match letters(node, id, DeadLetters::replay).await {
        Err(ReplayError::Letters(DeadError::Unfinished { id: first })) => {
            // What became of that one is settled first.
            let batch = letters(node, &first, DeadLetters::replay).await?;
            offer(node, (&sink, &first), &batch).await?;
            letters(node, id, DeadLetters::replay).await?
        }
        other => other?,
    };
    offer(node, (&sink, id), &batch).await
}

async fn offer(
    node: &Node,
    (sink, id): (&Arc<dyn Sink>, &LetterId),
    batch: &Batch,
) -> Result<DeadLetter, ReplayError> {
    let run = [Part::whole(batch.clone())];
    let until = Instant::now() + TRY_FOR;
    loop {
        let written = tokio::time::timeout_at(until, sink.write(&run)).await;
        let error = match written {
            Ok(Ok(_)) => return letters(node, id, DeadLetters::replayed).await,
            Ok(Err(error)) => error,
            Err(_) => return Err(ReplayError::Busy("it gave no answer in time".to_owned())),
        };
        let reason = told(error.as_ref());
        match error.fault() {
            Fault::Permanent => {
                let kept = reason.clone();
                let note = move |dead: &DeadLetters, id: &LetterId| dead.refused_again(id, &kept);
                letters(node, id, note).await?;
                return Err(ReplayError::Refused(reason));
            }
            Fault::Transient { after } => {
                let wait = after.unwrap_or_default().max(PAUSE);
                if Instant::now() + wait >= until {
                    return Err(ReplayError::Busy(reason));
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Does `work` with the letters, which blocks for the disk.
async fn letters<T: Send + 'static>(
    node: &Node,
    id: &LetterId,
    work: impl FnOnce(&DeadLetters, &LetterId) -> Result<T, DeadError> + Send + 'static,
) -> Result<T, ReplayError> {
    let (dead, id) = (Arc::clone(&node.dead), id.clone());
    let done = tokio::task::spawn_blocking(move || work(&dead, &id)).await;
    Ok(done.map_err(|_| ReplayError::Worker)??)
}
