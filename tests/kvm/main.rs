//! A GICv3 with ITSes, programmed, saved, restored and served: on the model on every machine, and on KVM where there is one.
//!
//! Rule: a scenario is written once. It asserts what must hold, and logs what it observes; on KVM, the log of the kernel must be that
//! of the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

mod conversation;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod crash;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod dump;
mod fault;
mod faults;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod kernel;
mod layout;
mod log;
mod memory;
mod model;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod pairs;
mod program;
mod rig;
mod scenarios;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod seccomp;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[path = "../common/seccomp.rs"]
mod seccomp_rows;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod slots;
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
#[path = "../common/snapshot.rs"]
mod snapshot;

use log::Log;
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
use snapshot::snapshot;

/// Runs a scenario, and returns what it observed. A test that fails shows where it was.
fn observe(place: &str, scenario: fn(&mut Log)) -> Log {
    println!("on {place}");
    let mut log = Log::default();
    scenario(&mut log);
    log
}

macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        // Where there is KVM, the other module runs both.
        #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
        mod on_the_model {
            use crate::model::ModelRig;

            $(#[test]
            fn $name() {
                crate::observe("the model", crate::scenarios::$module::$name::<ModelRig>);
            })*
        }

        #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
        mod on_kvm {
            use crate::kernel::KernelRig;
            use crate::model::ModelRig;

            $(#[test]
            fn $name() {
                let kernel = crate::observe("KVM", crate::scenarios::$module::$name::<KernelRig>);
                let model = crate::observe("the model", crate::scenarios::$module::$name::<ModelRig>);
                model.assert_same(&kernel);
            })*
        }

        /// Scenarios, for the closing line.
        const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

scenarios! {
    migrate::a_vm_with_flat_tables_moves,
    migrate::a_vm_with_two_level_tables_moves,
    migrate::a_vm_with_several_its_moves,
    migrate::a_vm_without_its_moves,
    migrate::a_vm_with_wide_gaps_between_device_ids_moves,
    migrate::vcpu_ids_with_gaps,
    migrate::onto_a_used_vm,
    migrate::a_state_moves_as_an_image,
    migrate::vcpus_that_handle_interrupts_move,
    migrate::commands_that_wait_run_on_the_target,
    errors::a_vcpu_that_runs,
    errors::tables_restored_twice,
    errors::no_memory_under_a_table,
    errors::no_memory_to_flush_to,
    errors::another_try_on_the_same_memory,
    errors::a_vm_that_is_made_otherwise,
    errors::values_that_no_kernel_takes,
    kernels::what_can_be_asked_before_init,
    kernels::active_interrupts_and_list_registers,
    kernels::pending_interrupts_and_list_registers,
    kernels::one_lpi_for_two_events,
    kernels::whose_lpis_are_moved,
    kernels::vcpus_numbered_by_their_creation,
    kernels::lpis_that_are_disabled,
    kernels::an_event_without_collection,
    kernels::a_table_that_changes_its_place,
    kernels::what_is_unmapped_between_two_saves,
    registers::its_registers,
    registers::silent_successes,
    registers::implementation_revision,
    registers::set_and_clear_registers_change_only_bits_that_are_1,
    registers::line_levels_are_kept_apart_from_latches,
    registers::registers_of_64_bits_are_written_in_halves,
    registers::cpu_interface_registers_exist_as_icc_ctlr_says,
    registers::msis_that_are_not_for_an_its_are_refused_or_dropped,
    nested::el2_registers_move,
    nested::el2_guest_acknowledges_what_was_in_list_registers,
    nested::el2_stays_where_it_can_be,
    nested::el2_registers_of_a_new_vm,
    peers::nothing_of_the_target_is_left,
    peers::enabled_and_active_stay,
    peers::every_spi_keeps_its_target,
    peers::trigger_modes_of_every_interrupt,
    peers::priorities_of_every_interrupt,
    peers::held_lines_are_held,
    peers::each_vcpu_has_its_own_state,
    peers::every_active_priority,
    peers::lpi_tables_before_their_enable,
    peers::memory_is_written_when_asked,
    peers::never_a_part_of_a_state,
    peers::a_used_its_is_reset,
    peers::an_its_that_nobody_uses,
    audit::what_the_kernel_does_not_check,
    audit::work_without_end,
    ends::what_nobody_uses,
    ends::what_is_used,
    shadow::zero_shadow_flat,
    shadow::zero_shadow_two_levels,
    shadow::copy_on_write_flat,
    shadow::copy_on_write_two_levels,
    shadow::zero_shadow_several_its,
    shadow::tables_that_lie_across_several_memslots,
    shadow::zero_shadow_wide_gaps,
    shadow::resumed_from_hibernation,
    shadow::level_1_table_gone,
    shadow::configuration_table_gone,
    shadow::failures_at_every_step,
    shadow::never_under_a_vcpu_that_runs,
    shadow::tables_that_overlap,
    shadow::a_table_behind_memory,
    shadow::no_memory_for_tables,
    shadow::four_thousand_lpis,
}

/// What a kernel makes of crafted tables, to be read. The same on a real one, where the scenario compares them.
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
#[test]
fn crafted_tables() {
    let log = observe("the model", scenarios::audit::what_the_kernel_does_not_check::<model::ModelRig>);
    snapshot!("crafted_tables", log.to_string());
}

/// Runs last, by its name. A line that the test harness does not hold back.
#[test]
fn zz_summary() {
    use std::io::Write;

    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    let places = format!("the model and Linux {}", kernel::release());
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    let places = "the model; not on KVM, since this is no arm64 Linux";
    writeln!(std::io::stdout().lock(), "\n{COUNT} scenarios on {places}").expect("standard output");
}
