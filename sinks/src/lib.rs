//! The sink trait, the delivery loop that settles every batch, and the sinks.
