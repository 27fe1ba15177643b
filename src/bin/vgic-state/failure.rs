//! What a command fails with.
//!
//! Rule: it is words for a person; programs go by the exit code.

/// Why a command failed, in words for standard error.
pub(crate) type Failure = Box<dyn std::error::Error>;
