//! Every command: opcode, name, versions that have it, and its fields by their bits.
//!
//! Source: Arm IHI 0069, "ITS commands".
//!
//! Rule: a field is written down once; decoder, encoder, mask and text follow from that line.

use super::field::{Field, Words, bits};
use super::{RdBase, UnknownCommand, Version};
use core::fmt;

macro_rules! commands {
    ($(
        $(#[$doc:meta])*
        $variant:ident: $opcode:literal $name:literal in $($version:ident)|+ {
            $($(#[$field_doc:meta])* $field:ident: $type:ident = $word:ident[$high:literal:$low:literal] $label:literal,)*
        }
    )*) => {
        /// A command of an ITS. A field that is wider than its bits in the command loses the rest when it is encoded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ItsCommand {
            $($(#[$doc])* $variant { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl ItsCommand {
            pub(super) fn parse(words: Words, version: Version) -> Result<Self, UnknownCommand> {
                let opcode = words.dw0 as u8;
                match (opcode, version) {
                    $(($opcode, $(Version::$version)|+) => Ok(ItsCommand::$variant {
                        $($field: Field::get(words.$word, $high, $low),)*
                    }),)*
                    _ => Err(UnknownCommand { opcode }),
                }
            }

            /// The four words; what is no field is 0.
            #[must_use]
            pub fn encode(&self) -> [u64; 4] {
                match *self {
                    $(ItsCommand::$variant { $($field,)* } => {
                        let mut words = Words { dw0: $opcode, ..Words::default() };
                        $(words.$word |= $field.put($high, $low);)*
                        words.into()
                    })*
                }
            }

            /// `DW0[7:0]`.
            #[must_use]
            pub const fn opcode(&self) -> u8 {
                match self {
                    $(ItsCommand::$variant { .. } => $opcode,)*
                }
            }

            /// The name in the specification.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(ItsCommand::$variant { .. } => $name,)*
                }
            }

            /// The bits of the four words that are the opcode or a field. All others are `RES0`.
            #[must_use]
            pub const fn meaningful_bits(&self) -> [u64; 4] {
                match self {
                    $(ItsCommand::$variant { .. } => {
                        let mut mask = Words { dw0: 0xff, dw1: 0, dw2: 0, dw3: 0 };
                        $(mask.$word |= bits($high, $low);)*
                        [mask.dw0, mask.dw1, mask.dw2, mask.dw3]
                    })*
                }
            }
        }

        /// In the spelling of the specification; IDs and addresses hexadecimal.
        impl fmt::Display for ItsCommand {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())?;
                match *self {
                    $(ItsCommand::$variant { $($field,)* } => {
                        $(f.write_str(concat!(" ", $label, "="))?; $field.show(f)?;)*
                    })*
                }
                Ok(())
            }
        }
    };
}

commands! {
    /// Moves an event to another collection.
    Movi: 0x01 "MOVI" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The collection.
        icid: u16 = dw2[15:0] "ICID",
    }
    /// Makes the interrupt of an event pending.
    Int: 0x03 "INT" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
    }
    /// Clears the pending state of the interrupt of an event.
    Clear: 0x04 "CLEAR" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
    }
    /// Waits for the commands before it to have an effect on this target.
    Sync: 0x05 "SYNC" in V3 | V40 | V41 {
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
    }
    /// Maps a device to its interrupt translation table.
    Mapd: 0x08 "MAPD" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// Bits of EventID - 1.
        size: u8 = dw1[4:0] "Size",
        /// Physical address of the interrupt translation table, a multiple of 256.
        itt: u64 = dw2[51:8] "ITT_addr",
        /// Maps; false unmaps.
        valid: bool = dw2[63:63] "V",
    }
    /// Maps a collection to a target.
    Mapc: 0x09 "MAPC" in V3 | V40 | V41 {
        /// The collection.
        icid: u16 = dw2[15:0] "ICID",
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
        /// Maps; false unmaps.
        valid: bool = dw2[63:63] "V",
    }
    /// Maps an event to an LPI and a collection.
    Mapti: 0x0a "MAPTI" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The LPI.
        intid: u32 = dw1[63:32] "pINTID",
        /// The collection.
        icid: u16 = dw2[15:0] "ICID",
    }
    /// Maps an event to the LPI of the same number, and a collection.
    Mapi: 0x0b "MAPI" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The collection.
        icid: u16 = dw2[15:0] "ICID",
    }
    /// Has the configuration of the interrupt of an event read again.
    Inv: 0x0c "INV" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
    }
    /// Has the configuration of all interrupts of a collection read again.
    Invall: 0x0d "INVALL" in V3 | V40 | V41 {
        /// The collection.
        icid: u16 = dw2[15:0] "ICID",
    }
    /// Moves the interrupts of a target to another.
    Movall: 0x0e "MOVALL" in V3 | V40 | V41 {
        /// From here.
        rdbase1: RdBase = dw2[51:16] "RDbase1",
        /// To there.
        rdbase2: RdBase = dw3[51:16] "RDbase2",
    }
    /// Unmaps an event.
    Discard: 0x0f "DISCARD" in V3 | V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
    }
    /// Moves an event to another vPE.
    Vmovi: 0x21 "VMOVI" in V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The doorbell changes, too.
        has_doorbell: bool = dw2[0:0] "D",
        /// The LPI for when the vPE is not resident; 1023 for none.
        doorbell: u32 = dw2[63:32] "Dbell_pINTID",
    }
    /// Moves a vPE to another target: GICv4.0.
    Vmovp: 0x22 "VMOVP" in V40 {
        /// The same in the queues of all ITSes of the list.
        sequence: u16 = dw0[47:32] "Sequence_Number",
        /// A bit for each ITS that gets the command.
        its_list: u16 = dw1[15:0] "ITS_List",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
    }
    /// Moves a vPE to another target: GICv4.1.
    Vmovp41: 0x22 "VMOVP" in V41 {
        /// The same in the queues of all ITSes of the list.
        sequence: u16 = dw0[47:32] "Sequence_Number",
        /// A bit for each ITS that gets the command.
        its_list: u16 = dw1[15:0] "ITS_List",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
        /// The default doorbell changes, too.
        has_doorbell: bool = dw2[63:63] "DB",
        /// The LPI for when the vPE is not resident; 1023 for none.
        doorbell: u32 = dw3[31:0] "Default_Doorbell_pINTID",
    }
    /// Configures a virtual SGI, or clears its pending state.
    Vsgi: 0x23 "VSGI" in V41 {
        /// It is enabled.
        enable: bool = dw0[8:8] "Enable",
        /// Clears the pending state, and leaves the configuration alone.
        clear: bool = dw0[9:9] "Clear",
        /// Group 1.
        group: bool = dw0[10:10] "Group",
        /// Bits `[7:4]` of its priority.
        priority: u8 = dw0[23:20] "Priority",
        /// The SGI, 0 to 15.
        sgi: u8 = dw0[35:32] "vINTID",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
    }
    /// Waits for the commands before it to have an effect on this vPE.
    Vsync: 0x25 "VSYNC" in V40 | V41 {
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
    }
    /// Maps a vPE to a target and its pending table: GICv4.0.
    Vmapp: 0x29 "VMAPP" in V40 {
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
        /// Maps; false unmaps.
        valid: bool = dw2[63:63] "V",
        /// Physical address of the virtual pending table, a multiple of 64 KiB.
        vpt: u64 = dw3[51:16] "VPT_addr",
        /// Bits of vINTID - 1.
        vpt_size: u8 = dw3[4:0] "VPT_size",
    }
    /// Maps a vPE to a target and its tables: GICv4.1.
    Vmapp41: 0x29 "VMAPP" in V41 {
        /// The first mapping of the vPE on any ITS, or the last unmapping.
        alloc: bool = dw0[8:8] "Alloc",
        /// The virtual pending table is zero.
        ptz: bool = dw0[9:9] "PTZ",
        /// Physical address of the virtual configuration table, a multiple of 64 KiB.
        vconf: u64 = dw0[51:16] "VCONF_addr",
        /// The LPI for when the vPE is not resident; 1023 for none.
        doorbell: u32 = dw1[31:0] "Default_Doorbell_pINTID",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The target.
        rdbase: RdBase = dw2[51:16] "RDbase",
        /// Maps; false unmaps.
        valid: bool = dw2[63:63] "V",
        /// Physical address of the virtual pending table, a multiple of 64 KiB.
        vpt: u64 = dw3[51:16] "VPT_addr",
        /// Bits of vINTID - 1.
        vpt_size: u8 = dw3[4:0] "VPT_size",
    }
    /// Maps an event to a virtual LPI of a vPE.
    Vmapti: 0x2a "VMAPTI" in V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The virtual LPI.
        intid: u32 = dw2[31:0] "vINTID",
        /// The LPI for when the vPE is not resident; 1023 for none.
        doorbell: u32 = dw2[63:32] "Dbell_pINTID",
    }
    /// Maps an event to the virtual LPI of the same number, of a vPE.
    Vmapi: 0x2b "VMAPI" in V40 | V41 {
        /// DeviceID.
        device: u32 = dw0[63:32] "DeviceID",
        /// EventID.
        event: u32 = dw1[31:0] "EventID",
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
        /// The LPI for when the vPE is not resident; 1023 for none.
        doorbell: u32 = dw2[63:32] "Dbell_pINTID",
    }
    /// Has the configuration of all interrupts of a vPE read again.
    Vinvall: 0x2d "VINVALL" in V40 | V41 {
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
    }
    /// Has the configuration of the default doorbell of a vPE read again.
    Invdb: 0x2e "INVDB" in V41 {
        /// The vPE.
        vpe: u16 = dw1[47:32] "vPEID",
    }
}
