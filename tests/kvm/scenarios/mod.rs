//! What must hold, on every kernel.

pub(crate) mod migrate;
