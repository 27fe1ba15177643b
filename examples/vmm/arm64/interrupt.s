// The guest's interrupt handler; the rest of the guest is in guest.s, in front of this.
//
// Source: Arm Generic Interrupt Controller Architecture Specification (IHI 0069).
//
// Rule: a message is counted before its interrupt is ended; an interrupt without a message is counted apart.

// x9: the vCPU's own counters; x12: what is to be ended.
interrupt:
    stp     x0, x1, [sp, #-0x80]!
    stp     x2, x3, [sp, #0x10]
    stp     x4, x5, [sp, #0x20]
    stp     x6, x7, [sp, #0x30]
    stp     x8, x9, [sp, #0x40]
    stp     x10, x11, [sp, #0x50]
    stp     x12, x30, [sp, #0x60]
    mrs     x9, TPIDR_EL1
    mrs     x12, ICC_IAR1_EL1
    dsb     sy
    lsr     x1, x12, #13
    cbnz    x1, lpi
    cbz     x12, sgi
    cmp     x12, #27
    b.eq    timer
    sub     x1, x12, #32
    cmp     x1, #32
    b.lo    spi
    cmp     x12, #1023
    b.eq    nothing
strange:
    ldr     x1, [x9, #{STRANGE}]
    add     x1, x1, #1
    str     x1, [x9, #{STRANGE}]
    b       end
nothing:
    ldr     x1, [x9, #{SPURIOUS}]
    add     x1, x1, #1
    str     x1, [x9, #{SPURIOUS}]
    b       leave
lpi:
    sub     x1, x12, #2, lsl #12
    cmp     x1, #{LPIS}
    b.hs    strange
    bl      message
    b       end
spi:
    add     x1, x1, #{LPIS}
    bl      message
    cmp     x12, #48
    b.hs    end
    set     x2, {DEVICE}            // the device lowers its line
    str     w12, [x2]
    b       end
sgi:
    eor     x10, x9, #(1 << {PER_VCPU_SHIFT})
    add     x10, x10, #{SGIS_SENT}
    ldar    x1, [x10]
    ldr     x2, [x9, #{SGIS}]
    cmp     x1, x2
    b.eq    doubled
    add     x2, x2, #1
    add     x10, x9, #{SGIS}
    stlr    x2, [x10]
end:
    dsb     sy
    msr     ICC_EOIR1_EL1, x12
    isb
leave:
    ldp     x2, x3, [sp, #0x10]
    ldp     x4, x5, [sp, #0x20]
    ldp     x6, x7, [sp, #0x30]
    ldp     x8, x9, [sp, #0x40]
    ldp     x10, x11, [sp, #0x50]
    ldp     x12, x30, [sp, #0x60]
    ldp     x0, x1, [sp], #0x80
    eret

doubled:
    ldr     x1, [x9, #{DOUBLED}]
    add     x1, x1, #1
    str     x1, [x9, #{DOUBLED}]
    b       end

// Takes message x1: it was sent, and has not been counted.
message:
    set     x2, {CELLS}
    add     x2, x2, x1, lsl #4
    ldar    x3, [x2]
    ldr     x4, [x2, #8]
    cmp     x3, x4
    b.eq    1f
    add     x4, x4, #1
    add     x2, x2, #8
    stlr    x4, [x2]
    ret
1:  ldr     x3, [x9, #{DOUBLED}]
    add     x3, x3, #1
    str     x3, [x9, #{DOUBLED}]
    ret

// A tick. Interrupts the other vCPU, if it has taken the last interrupt; vCPU 0 also moves an LPI to the other vCPU.
timer:
    ldr     x1, [x9, #{NEXT}]
    isb
    mrs     x2, CNTVCT_EL0
    cmp     x2, x1
    b.lo    doubled
    ldr     x2, [x9, #{PERIOD}]
    add     x1, x1, x2
    str     x1, [x9, #{NEXT}]
    msr     CNTV_CVAL_EL0, x1
    isb
    ldr     x2, [x9, #{TICKS}]
    add     x2, x2, #1
    str     x2, [x9, #{TICKS}]

    eor     x10, x9, #(1 << {PER_VCPU_SHIFT})
    add     x11, x10, #{SGIS}
    ldar    x1, [x11]
    ldr     x2, [x9, #{SGIS_SENT}]
    cmp     x1, x2
    b.ne    1f
    add     x2, x2, #1
    add     x11, x9, #{SGIS_SENT}
    stlr    x2, [x11]
    dsb     sy
    tst     x9, #(1 << {PER_VCPU_SHIFT})
    mov     x1, #1                  // to vCPU 0
    mov     x2, #2                  // to vCPU 1
    csel    x1, x2, x1, eq
    msr     ICC_SGI1R_EL1, x1
    isb
1:  tst     x9, #(1 << {PER_VCPU_SHIFT})
    b.ne    end
    ldr     x7, [x9, #{MOVES}]
    add     x1, x7, #1
    str     x1, [x9, #{MOVES}]
    and     x8, x7, #({LPIS} - 1)
    lsr     x7, x7, #{LPIS_SHIFT}   // rounds
    lsr     x10, x8, #{EVENT_BITS}
    add     x10, x10, #1
    lsl     x10, x10, #35
    mov     x0, #0x01               // MOVI
    orr     x0, x0, x10
    and     x1, x8, #((1 << {EVENT_BITS}) - 1)
    add     x2, x1, x7
    add     x2, x2, #1
    and     x2, x2, #1
    bl      its_command
    b       end

unexpected:
    set     x10, {DEVICE}
    mrs     x0, ESR_EL1
    str     x0, [x10, #8]
    b       .

    .p2align 3
    .globl vmm_guest_end
vmm_guest_end:
    .popsection
