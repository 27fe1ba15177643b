//! What is wrong with values that were given as those of attributes.
//!
//! Rule: an error names the attribute, its value, and the ITS that it is of.

use super::AttrId;
use core::fmt;

/// Why a list of attribute values does not make a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// Neither a register of the state, nor one that is known to carry no state.
    #[error("{} is {value:#x}: it is no register that a state has", Of(*its, *attribute))]
    Unknown {
        /// The ITS, if the value is one of an ITS: the address of its registers.
        its: Option<u64>,
        /// The attribute.
        attribute: AttrId,
        /// Its value.
        value: u64,
    },
    /// Of a vCPU that the VM does not have: another one, or its affinity in another form than that of an attribute.
    #[error("{} is {value:#x}: the VM has no such vCPU", attribute.of_gicv3())]
    UnknownVcpu {
        /// The attribute.
        attribute: AttrId,
        /// Its value.
        value: u64,
    },
    /// A value that the register cannot have.
    #[error("{} is {value:#x}, at most {max:#x} is possible", Of(*its, *attribute))]
    Value {
        /// The ITS, if the value is one of an ITS: the address of its registers.
        its: Option<u64>,
        /// The attribute.
        attribute: AttrId,
        /// Its value.
        value: u64,
        /// The greatest value possible: by the width of the register; 0 where KVM shows zero, for a number of interrupts or of priority
        /// bits that the VM does not have.
        max: u64,
    },
    /// Two values of one register, or of two that show the same state: `ICENABLER` and `ISENABLER`, `ICACTIVER` and `ISACTIVER`.
    #[error("{} is both {first:#x} and {second:#x}", Of(*its, *attribute))]
    Conflict {
        /// The ITS, if the values are of an ITS: the address of its registers.
        its: Option<u64>,
        /// The attribute that the second value is of.
        attribute: AttrId,
        /// The value that came first.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// There is no value of a register whose reset value depends on the host.
    #[error("{} is missing, and its value in a new VM depends on the host", attribute.of_gicv3())]
    Missing {
        /// The attribute.
        attribute: AttrId,
    },
}

/// An attribute with the ITS that it is of.
struct Of(Option<u64>, AttrId);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(base) => write!(f, "{} of the ITS at {base:#x}", self.1.of_gicv3()),
            None => self.1.of_gicv3().fmt(f),
        }
    }
}
