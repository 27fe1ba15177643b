//! Error numbers of the kernel, by name.
//!
//! Source: `include/uapi/asm-generic/errno-base.h` and `errno.h`.
//!
//! Rule: an error number is carried as the kernel gave it; what it means is said by [`AccessError`](crate::AccessError), which knows
//! the operation and the register.

use core::fmt;

/// An error number as the kernel returned it, as a positive number. The kernel has none of 0: [`Errno::from_raw`] keeps a 0 that a
/// caller makes up, and it has no name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Errno = Errno($number);)*
        }

        /// Those that have a constant.
        #[cfg(test)]
        const CONSTANTS: &[(Errno, &str)] = &[$((Errno::$name, stringify!($name))),*];
    };
}

errnos! {
    /// Operation not permitted.
    EPERM = 1;
    /// No such file, directory or register.
    ENOENT = 2;
    /// Interrupted by a signal.
    EINTR = 4;
    /// Input/output error; KVM: the VM is dead.
    EIO = 5;
    /// No such device or address; KVM: no such attribute.
    ENXIO = 6;
    /// Argument list too long; KVM: an address or id beyond the limit.
    E2BIG = 7;
    /// Bad file descriptor.
    EBADF = 9;
    /// Out of memory.
    ENOMEM = 12;
    /// Permission denied.
    EACCES = 13;
    /// Bad address.
    EFAULT = 14;
    /// Busy.
    EBUSY = 16;
    /// Already exists.
    EEXIST = 17;
    /// No such device.
    ENODEV = 19;
    /// Invalid argument.
    EINVAL = 22;
    /// Inappropriate ioctl for the device.
    ENOTTY = 25;
    /// No space left; KVM: no VM id is free on the host.
    ENOSPC = 28;
    /// The hardware did not answer in time.
    ETIMEDOUT = 110;
}

/// The names of all numbers, from 1 on; two numbers have none. What a virtual GIC device does not return, a seccomp filter may.
const NAMES: &[&str] = &[
    "EPERM",
    "ENOENT",
    "ESRCH",
    "EINTR",
    "EIO",
    "ENXIO",
    "E2BIG",
    "ENOEXEC",
    "EBADF",
    "ECHILD",
    "EAGAIN",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "ENOTBLK",
    "EBUSY",
    "EEXIST",
    "EXDEV",
    "ENODEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENFILE",
    "EMFILE",
    "ENOTTY",
    "ETXTBSY",
    "EFBIG",
    "ENOSPC",
    "ESPIPE",
    "EROFS",
    "EMLINK",
    "EPIPE",
    "EDOM",
    "ERANGE",
    "EDEADLK",
    "ENAMETOOLONG",
    "ENOLCK",
    "ENOSYS",
    "ENOTEMPTY",
    "ELOOP",
    "",
    "ENOMSG",
    "EIDRM",
    "ECHRNG",
    "EL2NSYNC",
    "EL3HLT",
    "EL3RST",
    "ELNRNG",
    "EUNATCH",
    "ENOCSI",
    "EL2HLT",
    "EBADE",
    "EBADR",
    "EXFULL",
    "ENOANO",
    "EBADRQC",
    "EBADSLT",
    "",
    "EBFONT",
    "ENOSTR",
    "ENODATA",
    "ETIME",
    "ENOSR",
    "ENONET",
    "ENOPKG",
    "EREMOTE",
    "ENOLINK",
    "EADV",
    "ESRMNT",
    "ECOMM",
    "EPROTO",
    "EMULTIHOP",
    "EDOTDOT",
    "EBADMSG",
    "EOVERFLOW",
    "ENOTUNIQ",
    "EBADFD",
    "EREMCHG",
    "ELIBACC",
    "ELIBBAD",
    "ELIBSCN",
    "ELIBMAX",
    "ELIBEXEC",
    "EILSEQ",
    "ERESTART",
    "ESTRPIPE",
    "EUSERS",
    "ENOTSOCK",
    "EDESTADDRREQ",
    "EMSGSIZE",
    "EPROTOTYPE",
    "ENOPROTOOPT",
    "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT",
    "EOPNOTSUPP",
    "EPFNOSUPPORT",
    "EAFNOSUPPORT",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "ENETDOWN",
    "ENETUNREACH",
    "ENETRESET",
    "ECONNABORTED",
    "ECONNRESET",
    "ENOBUFS",
    "EISCONN",
    "ENOTCONN",
    "ESHUTDOWN",
    "ETOOMANYREFS",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "EALREADY",
    "EINPROGRESS",
    "ESTALE",
    "EUCLEAN",
    "ENOTNAM",
    "ENAVAIL",
    "EISNAM",
    "EREMOTEIO",
    "EDQUOT",
    "ENOMEDIUM",
    "EMEDIUMTYPE",
    "ECANCELED",
    "ENOKEY",
    "EKEYEXPIRED",
    "EKEYREVOKED",
    "EKEYREJECTED",
    "EOWNERDEAD",
    "ENOTRECOVERABLE",
    "ERFKILL",
    "EHWPOISON",
];

impl Errno {
    /// The symbolic name. Nothing for a number that Linux does not have.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let place = usize::try_from(self.0).ok()?.checked_sub(1)?;
        NAMES.get(place).copied().filter(|name| !name.is_empty())
    }

    /// Takes an error number, positive or negated as inside the kernel.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Errno(number.saturating_abs())
    }

    /// The positive number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Errno {}

/// The error of a system call, by its number.
#[cfg(feature = "std")]
impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_name() {
        for (errno, name) in CONSTANTS {
            assert_eq!(errno.name(), Some(*name));
        }
        let name = |number| Errno::from_raw(number).name();
        assert_eq!((name(-84), name(71), name(133)), (Some("EILSEQ"), Some("EPROTO"), Some("EHWPOISON")));
        assert!([0, 41, 58, 134, 512, i32::MAX, i32::MIN].into_iter().all(|number| name(number).is_none()));
    }
}
