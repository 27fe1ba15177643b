//! Error words: what an ITS reports of a command that it cannot execute.
//!
//! Source: Arm IHI 0069, "ITS command errors"; `include/linux/irqchip/arm-gic-v3.h`, `E_ITS_*`: those that Linux names are certain.
//! The others follow from them, as the word is the command and the reason; for reasons of GICv4 (0x11 to 0x13) and for `SYNC`
//! they are this crate's choice of a number that is free.
//!
//! Rule: a word has one name, and the name says the command and the reason.

use core::fmt;

/// `0x01`, the command (bits `[15:8]`), the reason (bits `[7:0]`).
///
/// ```
/// use vgic_state::its::command::ErrorWord;
///
/// assert_eq!(ErrorWord::MAPD_DEVICE_OOR.get(), 0x01_0801);
/// assert_eq!(ErrorWord::MAPD_DEVICE_OOR.to_string(), "MAPD_DEVICE_OOR");
/// assert_eq!(ErrorWord::new(0x08, 0x7f).to_string(), "0x01087f");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorWord(u32);

impl ErrorWord {
    /// The word for this command (the opcode; for `CLEAR` it is 5 and not 4) and this reason.
    #[must_use]
    pub const fn new(command: u8, reason: u8) -> Self {
        ErrorWord(0x01_0000 | (command as u32) << 8 | reason as u32)
    }

    /// The word.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Bits `[15:8]`.
    #[must_use]
    pub const fn command(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Bits `[7:0]`.
    #[must_use]
    pub const fn reason(self) -> u8 {
        self.0 as u8
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        impl ErrorWord {
            $($(#[$doc])* pub const $name: ErrorWord = ErrorWord($word);)*

            /// Its name, if it has one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($word => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// All words that have a name.
            pub const ALL: &'static [ErrorWord] = &[$(ErrorWord($word),)*];
        }
    };
}

words! {
    /// `MOVI`: DeviceID out of range.
    MOVI_DEVICE_OOR = 0x01_0101,
    /// `MOVI`: ICID out of range.
    MOVI_COLLECTION_OOR = 0x01_0103,
    /// `MOVI`: the device is not mapped.
    MOVI_UNMAPPED_DEVICE = 0x01_0104,
    /// `MOVI`: EventID out of range.
    MOVI_ID_OOR = 0x01_0105,
    /// `MOVI`: the event is not mapped. As in Linux.
    MOVI_UNMAPPED_INTERRUPT = 0x01_0107,
    /// `MOVI`: the event is mapped to a virtual interrupt.
    MOVI_ID_IS_VIRTUAL = 0x01_0108,
    /// `MOVI`: the collection is not mapped. As in Linux.
    MOVI_UNMAPPED_COLLECTION = 0x01_0109,
    /// `INT`: DeviceID out of range.
    INT_DEVICE_OOR = 0x01_0301,
    /// `INT`: the device is not mapped.
    INT_UNMAPPED_DEVICE = 0x01_0304,
    /// `INT`: EventID out of range.
    INT_ID_OOR = 0x01_0305,
    /// `INT`: the event is not mapped. As in Linux.
    INT_UNMAPPED_INTERRUPT = 0x01_0307,
    /// `CLEAR`: DeviceID out of range.
    CLEAR_DEVICE_OOR = 0x01_0501,
    /// `CLEAR`: the device is not mapped.
    CLEAR_UNMAPPED_DEVICE = 0x01_0504,
    /// `CLEAR`: EventID out of range.
    CLEAR_ID_OOR = 0x01_0505,
    /// `CLEAR`: the event is not mapped. As in Linux.
    CLEAR_UNMAPPED_INTERRUPT = 0x01_0507,
    /// `SYNC`: there is no such target.
    SYNC_PROCNUM_OOR = 0x01_0502,
    /// `MAPD`: DeviceID out of range. As in Linux.
    MAPD_DEVICE_OOR = 0x01_0801,
    /// `MAPD`: Size out of range. As in Linux.
    MAPD_ITTSIZE_OOR = 0x01_0802,
    /// `MAPC`: there is no such target. As in Linux.
    MAPC_PROCNUM_OOR = 0x01_0902,
    /// `MAPC`: ICID out of range. As in Linux.
    MAPC_COLLECTION_OOR = 0x01_0903,
    /// `MAPTI`: DeviceID out of range.
    MAPTI_DEVICE_OOR = 0x01_0a01,
    /// `MAPTI`: ICID out of range.
    MAPTI_COLLECTION_OOR = 0x01_0a03,
    /// `MAPTI`: the device is not mapped. As in Linux.
    MAPTI_UNMAPPED_DEVICE = 0x01_0a04,
    /// `MAPTI`: EventID out of range. As in Linux.
    MAPTI_ID_OOR = 0x01_0a05,
    /// `MAPTI`: INTID out of range. As in Linux.
    MAPTI_PHYSICALID_OOR = 0x01_0a06,
    /// `MAPI`: DeviceID out of range.
    MAPI_DEVICE_OOR = 0x01_0b01,
    /// `MAPI`: ICID out of range.
    MAPI_COLLECTION_OOR = 0x01_0b03,
    /// `MAPI`: the device is not mapped.
    MAPI_UNMAPPED_DEVICE = 0x01_0b04,
    /// `MAPI`: EventID out of range.
    MAPI_ID_OOR = 0x01_0b05,
    /// `MAPI`: INTID out of range.
    MAPI_PHYSICALID_OOR = 0x01_0b06,
    /// `INV`: DeviceID out of range.
    INV_DEVICE_OOR = 0x01_0c01,
    /// `INV`: the device is not mapped.
    INV_UNMAPPED_DEVICE = 0x01_0c04,
    /// `INV`: EventID out of range.
    INV_ID_OOR = 0x01_0c05,
    /// `INV`: the event is not mapped. As in Linux.
    INV_UNMAPPED_INTERRUPT = 0x01_0c07,
    /// `INVALL`: ICID out of range.
    INVALL_COLLECTION_OOR = 0x01_0d03,
    /// `INVALL`: the collection is not mapped. As in Linux.
    INVALL_UNMAPPED_COLLECTION = 0x01_0d09,
    /// `MOVALL`: there is no such target. As in Linux.
    MOVALL_PROCNUM_OOR = 0x01_0e01,
    /// `DISCARD`: DeviceID out of range.
    DISCARD_DEVICE_OOR = 0x01_0f01,
    /// `DISCARD`: the device is not mapped.
    DISCARD_UNMAPPED_DEVICE = 0x01_0f04,
    /// `DISCARD`: EventID out of range.
    DISCARD_ID_OOR = 0x01_0f05,
    /// `DISCARD`: the event is not mapped. As in Linux.
    DISCARD_UNMAPPED_INTERRUPT = 0x01_0f07,
    /// `VMOVI`: DeviceID out of range.
    VMOVI_DEVICE_OOR = 0x01_2101,
    /// `VMOVI`: the device is not mapped.
    VMOVI_UNMAPPED_DEVICE = 0x01_2104,
    /// `VMOVI`: EventID out of range.
    VMOVI_ID_OOR = 0x01_2105,
    /// `VMOVI`: INTID out of range.
    VMOVI_PHYSICALID_OOR = 0x01_2106,
    /// `VMOVI`: the event is not mapped.
    VMOVI_UNMAPPED_INTERRUPT = 0x01_2107,
    /// `VMOVI`: vPEID out of range.
    VMOVI_VPE_OOR = 0x01_2111,
    /// `VMOVI`: the vPE is not mapped.
    VMOVI_UNMAPPED_VPE = 0x01_2112,
    /// `VMOVP`: there is no such target.
    VMOVP_PROCNUM_OOR = 0x01_2202,
    /// `VMOVP`: INTID out of range.
    VMOVP_PHYSICALID_OOR = 0x01_2206,
    /// `VMOVP`: vPEID out of range.
    VMOVP_VPE_OOR = 0x01_2211,
    /// `VMOVP`: the vPE is not mapped.
    VMOVP_UNMAPPED_VPE = 0x01_2212,
    /// `VSGI`: vPEID out of range.
    VSGI_VPE_OOR = 0x01_2311,
    /// `VSGI`: the vPE is not mapped.
    VSGI_UNMAPPED_VPE = 0x01_2312,
    /// `VSYNC`: vPEID out of range.
    VSYNC_VPE_OOR = 0x01_2511,
    /// `VSYNC`: the vPE is not mapped.
    VSYNC_UNMAPPED_VPE = 0x01_2512,
    /// `VMAPP`: there is no such target.
    VMAPP_PROCNUM_OOR = 0x01_2902,
    /// `VMAPP`: INTID out of range.
    VMAPP_PHYSICALID_OOR = 0x01_2906,
    /// `VMAPP`: vPEID out of range.
    VMAPP_VPE_OOR = 0x01_2911,
    /// `VMAPP`: the vPE is not mapped.
    VMAPP_UNMAPPED_VPE = 0x01_2912,
    /// `VMAPP`: vINTID out of range.
    VMAPP_VIRTUALID_OOR = 0x01_2913,
    /// `VMAPTI`: DeviceID out of range.
    VMAPTI_DEVICE_OOR = 0x01_2a01,
    /// `VMAPTI`: the device is not mapped.
    VMAPTI_UNMAPPED_DEVICE = 0x01_2a04,
    /// `VMAPTI`: EventID out of range.
    VMAPTI_ID_OOR = 0x01_2a05,
    /// `VMAPTI`: INTID out of range.
    VMAPTI_PHYSICALID_OOR = 0x01_2a06,
    /// `VMAPTI`: vPEID out of range.
    VMAPTI_VPE_OOR = 0x01_2a11,
    /// `VMAPTI`: the vPE is not mapped.
    VMAPTI_UNMAPPED_VPE = 0x01_2a12,
    /// `VMAPTI`: vINTID out of range.
    VMAPTI_VIRTUALID_OOR = 0x01_2a13,
    /// `VMAPI`: DeviceID out of range.
    VMAPI_DEVICE_OOR = 0x01_2b01,
    /// `VMAPI`: the device is not mapped.
    VMAPI_UNMAPPED_DEVICE = 0x01_2b04,
    /// `VMAPI`: EventID out of range.
    VMAPI_ID_OOR = 0x01_2b05,
    /// `VMAPI`: INTID out of range.
    VMAPI_PHYSICALID_OOR = 0x01_2b06,
    /// `VMAPI`: vPEID out of range.
    VMAPI_VPE_OOR = 0x01_2b11,
    /// `VMAPI`: the vPE is not mapped.
    VMAPI_UNMAPPED_VPE = 0x01_2b12,
    /// `VMAPI`: vINTID out of range.
    VMAPI_VIRTUALID_OOR = 0x01_2b13,
    /// `VINVALL`: vPEID out of range.
    VINVALL_VPE_OOR = 0x01_2d11,
    /// `VINVALL`: the vPE is not mapped.
    VINVALL_UNMAPPED_VPE = 0x01_2d12,
    /// `INVDB`: vPEID out of range.
    INVDB_VPE_OOR = 0x01_2e11,
    /// `INVDB`: the vPE is not mapped.
    INVDB_UNMAPPED_VPE = 0x01_2e12,
}

impl fmt::Display for ErrorWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#08x}", self.0),
        }
    }
}
