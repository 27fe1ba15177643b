// The guest: what an operating system does with a GICv3 and an ITS, and nothing else. Two vCPUs.
//
// Source: Arm ARM (DDI 0487); Arm Generic Interrupt Controller Architecture Specification (IHI 0069); PSCI (DEN 0022).
//
// Rule: position independent; every address of memory and devices comes from layout.rs. Loads and stores of devices do not change
// their address register: KVM emulates no other.

    .pushsection .text.vmm_guest, "ax"
    .p2align 12
    .globl vmm_guest_begin
vmm_guest_begin:
    b       boot

    // A number of 32 bits.
    .macro  set reg, value
    movz    \reg, #((\value) & 0xffff)
    movk    \reg, #(((\value) >> 16) & 0xffff), lsl #16
    .endm

    .macro  vector target
    .p2align 7
    b       \target
    .endm

    .p2align 11
vectors:
    .rept   5
    vector  unexpected
    .endr
    vector  interrupt
    .rept   10
    vector  unexpected
    .endr

    // Level 1, 4 KiB granule, 32 bits: devices below 1 GiB, memory above. Memory must be cacheable: KVM and the VMM see it through
    // their caches.
    .p2align 12
translation_table:
    .quad   0x0060000000000401
    .quad   0x0000000040000705
    .quad   0
    .quad   0

// x0: number of the vCPU.
    .p2align 2
boot:
    mov     x19, x0
    adr     x1, vectors
    msr     VBAR_EL1, x1
    set     x20, {STATE}
    add     x21, x20, #{PER_VCPU}
    add     x21, x21, x19, lsl #{PER_VCPU_SHIFT}
    msr     TPIDR_EL1, x21
    add     x1, x20, #{STACKS}
    add     x1, x1, x19, lsl #12
    add     sp, x1, #0x1000

    mov     x1, #0xff00             // 0: Device-nGnRnE, 1: Normal, write-back
    msr     MAIR_EL1, x1
    set     x1, 0x803520            // T0SZ 32, walks cacheable and shareable, no TTBR1
    msr     TCR_EL1, x1
    adr     x1, translation_table
    msr     TTBR0_EL1, x1
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    mrs     x1, SCTLR_EL1
    mov     x2, #0x1005             // M, C, I
    orr     x1, x1, x2
    msr     SCTLR_EL1, x1
    isb

    cbnz    x19, secondary
    bl      distributor
    bl      redistributor
    bl      its
    set     x0, 0xc4000003          // PSCI CPU_ON: vCPU 1, here, with 1 in x0
    mov     x1, #1
    adr     x2, vmm_guest_begin
    mov     x3, #1
    hvc     #0
    cbnz    x0, unexpected
    add     x1, x20, #{SECONDARY_UP}
1:  ldar    x2, [x1]
    cbz     x2, 1b
    bl      map
    mov     x2, #1
    add     x1, x20, #{READY}
    stlr    x2, [x1]
    b       run

secondary:
    bl      redistributor
    mov     x2, #1
    add     x1, x20, #{SECONDARY_UP}
    stlr    x2, [x1]

run:
    mrs     x1, CNTFRQ_EL0
    lsr     x1, x1, #{TICKS_SHIFT}
    str     x1, [x21, #{PERIOD}]
    isb
    mrs     x2, CNTVCT_EL0
    str     x2, [x21, #{START}]
    add     x2, x2, x1
    str     x2, [x21, #{NEXT}]
    msr     CNTV_CVAL_EL0, x2
    mov     x1, #1
    msr     CNTV_CTL_EL0, x1
    isb
    msr     DAIFClr, #2
idle:
    wfi
check:
    add     x1, x20, #{STOP}
    ldar    x2, [x1]
    cbz     x2, idle
    // As many ticks as time has passed?
    msr     DAIFSet, #2
    isb
    mrs     x1, CNTVCT_EL0
    ldr     x2, [x21, #{START}]
    sub     x1, x1, x2
    ldr     x2, [x21, #{PERIOD}]
    udiv    x1, x1, x2
    ldr     x2, [x21, #{TICKS}]
    cmp     x1, x2
    b.eq    done
    msr     DAIFClr, #2
    isb
    b       check
done:
    str     x1, [x21, #{EXPECTED}]
    msr     CNTV_CTL_EL0, xzr
    isb
    mov     x2, #1
    add     x1, x21, #{DONE}
    stlr    x2, [x1]
    msr     DAIFClr, #2
1:  wfi
    b       1b

// SPIs: group 1, priority 0xa0; the last 16 of 32 are edge-triggered; odd ones go to vCPU 1.
distributor:
    set     x1, {DIST}
    mov     w2, #2                  // GICD_CTLR.EnableGrp1
    str     w2, [x1]
    mov     w2, #-1
    str     w2, [x1, #0x84]         // GICD_IGROUPR1
    str     wzr, [x1, #0xc08]       // GICD_ICFGR2
    set     w2, 0xaaaaaaaa
    str     w2, [x1, #0xc0c]        // GICD_ICFGR3
    add     x3, x1, #0x420          // GICD_IPRIORITYR8
    set     w2, 0xa0a0a0a0
    mov     x4, #8
1:  str     w2, [x3]
    add     x3, x3, #4
    subs    x4, x4, #1
    b.ne    1b
    add     x3, x1, #0x6000
    add     x3, x3, #0x100          // GICD_IROUTER32
    mov     x4, #0
2:  and     x2, x4, #1
    str     x2, [x3, x4, lsl #3]
    add     x4, x4, #1
    cmp     x4, #32
    b.ne    2b
    set     w2, {SPIS}
    str     w2, [x1, #0x104]        // GICD_ISENABLER1
    ret

// LPI tables, SGI 0, the PPI of the virtual timer, CPU interface.
redistributor:
    set     x1, {REDIST}
    add     x1, x1, x19, lsl #17
    ldr     w2, [x1, #0x14]         // GICR_WAKER
    bic     w2, w2, #2
    str     w2, [x1, #0x14]
1:  ldr     w2, [x1, #0x14]
    tbnz    w2, #2, 1b
    set     x2, ({CONFIGURATION} | 0x78f)
    str     x2, [x1, #0x70]         // GICR_PROPBASER: 16 bits
    set     x2, ({PENDING} | 0x780)
    add     x2, x2, x19, lsl #16
    orr     x2, x2, #(1 << 62)      // PTZ
    str     x2, [x1, #0x78]         // GICR_PENDBASER
    cbnz    x19, 3f
    set     x3, {CONFIGURATION}
    mov     w2, #0xa3               // priority 0xa0, enabled
    mov     x4, #{LPIS}
2:  strb    w2, [x3], #1
    subs    x4, x4, #1
    b.ne    2b
3:  dsb     sy
    mov     w2, #1
    str     w2, [x1]                // GICR_CTLR.EnableLPIs
    add     x1, x1, #0x10, lsl #12
    mov     w2, #-1
    str     w2, [x1, #0x80]         // GICR_IGROUPR0
    add     x3, x1, #0x400          // GICR_IPRIORITYR0
    set     w2, 0xa0a0a0a0
    mov     x4, #8
4:  str     w2, [x3]
    add     x3, x3, #4
    subs    x4, x4, #1
    b.ne    4b
    set     w2, ((1 << 27) | 1)
    str     w2, [x1, #0x100]        // GICR_ISENABLER0
    mrs     x2, ICC_SRE_EL1
    orr     x2, x2, #7
    msr     ICC_SRE_EL1, x2
    isb
    mov     x2, #0xf0
    msr     ICC_PMR_EL1, x2
    msr     ICC_BPR1_EL1, xzr
    msr     ICC_CTLR_EL1, xzr
    mov     x2, #1
    msr     ICC_IGRPEN1_EL1, x2
    isb
    ret

// Queue and tables of the ITS.
its:
    set     x1, {ITS}
    set     x2, ({QUEUE} | 0x40f)
    orr     x2, x2, #(1 << 63)
    orr     x2, x2, #(7 << 59)
    str     x2, [x1, #0x80]         // GITS_CBASER
    str     xzr, [x1, #0x88]        // GITS_CWRITER
    set     x2, ({DEVICE_TABLE} | 0x600)
    orr     x2, x2, #(1 << 63)
    orr     x2, x2, #(7 << 59)
    str     x2, [x1, #0x100]        // GITS_BASER0
    set     x2, ({COLLECTION_TABLE} | 0x600)
    orr     x2, x2, #(1 << 63)
    orr     x2, x2, #(7 << 59)
    str     x2, [x1, #0x108]        // GITS_BASER1
    mov     w2, #1
    str     w2, [x1]                // GITS_CTLR.Enabled
    ret

// Collection n is vCPU n. Devices, and each of their events: an LPI, every other one to vCPU 1.
map:
    mov     x29, x30
    mov     x22, #0
1:  mov     x0, #0x09               // MAPC
    mov     x1, #0
    orr     x2, x22, x22, lsl #16
    orr     x2, x2, #(1 << 63)
    bl      its_command
    add     x22, x22, #1
    cmp     x22, #2
    b.ne    1b
    mov     x22, #0
2:  add     x23, x22, #1
    lsl     x23, x23, #35           // DeviceID 8 (n + 1)
    mov     x0, #0x08               // MAPD
    orr     x0, x0, x23
    mov     x1, #({EVENT_BITS} - 1)
    set     x2, {ITTS}
    add     x2, x2, x22, lsl #12
    orr     x2, x2, #(1 << 63)
    bl      its_command
    mov     x24, #0
3:  mov     x0, #0x0a               // MAPTI
    orr     x0, x0, x23
    add     x1, x24, x22, lsl #{EVENT_BITS}
    add     x1, x1, #2, lsl #12     // LPI 8192 and on
    orr     x1, x24, x1, lsl #32
    and     x2, x24, #1
    bl      its_command
    add     x24, x24, #1
    cmp     x24, #(1 << {EVENT_BITS})
    b.ne    3b
    add     x22, x22, #1
    cmp     x22, #({LPIS} >> {EVENT_BITS})
    b.ne    2b
    mov     x22, #0
4:  mov     x0, #0x0d               // INVALL
    mov     x1, #0
    mov     x2, x22
    bl      its_command
    mov     x0, #0x05               // SYNC
    mov     x1, #0
    lsl     x2, x22, #16
    bl      its_command
    add     x22, x22, #1
    cmp     x22, #2
    b.ne    4b
    ret     x29

// A command, its first three words in x0 to x2, on vCPU 0. Changes x3 to x6. Returns when the ITS has run it.
its_command:
    set     x3, {STATE}
    ldr     x4, [x3, #{CWRITER}]
    set     x5, {QUEUE}
    add     x5, x5, x4
    stp     x0, x1, [x5]
    stp     x2, xzr, [x5, #16]
    add     x4, x4, #32
    and     x4, x4, #0xffff
    str     x4, [x3, #{CWRITER}]
    dsb     sy
    set     x5, {ITS}
    str     x4, [x5, #0x88]         // GITS_CWRITER
1:  ldr     x6, [x5, #0x90]         // GITS_CREADR
    cmp     x6, x4
    b.ne    1b
    ret
