//! What every sink must hold to; see [`assert_holds`].

mod rows;

pub use rows::sample_rows;
