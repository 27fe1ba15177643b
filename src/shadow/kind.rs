//! The kinds of shadow memory.
//!
//! Source: mmap(2), `MAP_PRIVATE`; proc(5), `overcommit_memory`, `pagemap`.
//!
//! Rule: the kind says what is read where nobody wrote, and nothing else that a VMM could see.

/// What shadow memory reads as where nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ShadowKind {
    /// Zeros: anonymous memory. For guest memory of every kind. A sparse file without a name for each slot, which is slower, where
    /// `/proc/thread-self/pagemap` cannot be used (a chroot without `/proc`, `mlockall`), where memory that is not used counts
    /// (`vm.overcommit_memory` 2, or not readable), and where anonymous memory is limited (`RLIMIT_DATA`).
    Zero,
    /// The guest's memory: a private mapping of its file. For guest memory that is a shared mapping of a file, and not in huge pages.
    /// Holes of the file that are touched get pages of zeros.
    CopyOnWrite,
}
