//! Pure functions of rows: the attribute mapping and the price.
