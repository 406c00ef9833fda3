//! Request bodies in, Arrow rows out.
