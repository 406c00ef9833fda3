//! Bugs that tests plant on purpose, to prove that they would be found.

/// A way to lose or double rows, each known from a real system.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Waiters are answered before the frame is synced.
    AckBeforeSync,
    /// Folders are not synced after create, rename and delete.
    NoDirSync,
    /// A segment is deleted on a cursor that is not durable.
    UnlinkBeforeCursor,
    /// Writing goes on in the newest segment after a torn tail.
    AppendAfterTornTail,
    /// A failed fsync is tried again, and believed.
    RetryFsync,
    /// Frames of another segment's life are taken for this one's.
    NoSaltCheck,
    /// Checksums are not compared.
    NoChecksum,
    /// A batch is shown to sinks before its seal is durable.
    ShowBeforeSeal,
    /// Batch numbers start again where the segments that held them are gone.
    ReuseNumbers,
    /// After a failed write the next frame goes behind the garbage.
    WriteAfterFailure,
    /// Frames beyond the next segment's first are taken.
    KeepAbandoned,
    /// The newest frame is not made durable again at start.
    TrustPageCache,
    /// A damaged frame ends the reading of its segment.
    StopAtDamage,
}

/// Which bug is planted, if any.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    bug: Option<Bug>,
}

impl Planted {
    /// Plants `bug`.
    #[cfg(feature = "planted-bugs")]
    pub fn new(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    /// Whether `bug` is planted; never in a product build.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether `bug` is planted; never in a product build.
    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) fn has(self, _bug: Bug) -> bool {
        false
    }
}
