//! The node's intake: the write-ahead log, its batches, its recent rows and its cursors.
