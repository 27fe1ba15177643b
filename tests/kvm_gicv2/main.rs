//! A GICv2 programmed, saved, restored and served: on the model on every machine, and on KVM where it offers one.
//!
//! On a real kernel: `VGIC_STATE_KVM_GIC=2 cargo test --target aarch64-unknown-linux-musl --test kvm_gicv2`.
//!
//! Rule: a scenario is written once. It asserts what must hold, and logs what it observes; on KVM, the log of the kernel must be that
//! of the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/gicv2.rs"]
mod common;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../common/save.rs"]
mod save;

mod conversation;
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod kernel;
mod log;
mod model;
mod rig;
mod scenarios;

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        // Where there is KVM, the other module runs both.
        #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
        mod on_the_model {
            $(#[test]
            fn $name() {
                crate::scenarios::$name::<crate::model::ModelRig>(&mut crate::log::Log::default());
            })*
        }

        #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
        mod on_kvm {
            use crate::log::Log;

            $(#[test]
            fn $name() {
                if !crate::kernel::is_offered() {
                    return eprintln!("skipped: this KVM offers no GICv2 (VGIC_STATE_KVM_GIC=2)");
                }
                let (mut kernel, mut model) = (Log::default(), Log::default());
                crate::scenarios::$name::<crate::kernel::KernelRig>(&mut kernel);
                crate::scenarios::$name::<crate::model::ModelRig>(&mut model);
                model.assert_same(&kernel);
            })*
        }

        /// Scenarios, for the closing line.
        const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

scenarios! {
    another_value_in_every_register,
    onto_a_device_that_was_used,
    a_guest_acknowledges_what_was_pending,
    a_line_that_stays_high,
    a_vcpu_inside_a_handler_moves,
    sgis_keep_their_senders,
    silent_successes,
    what_is_kept_of_a_write,
    revisions_and_groups,
    a_vcpu_that_runs,
    errors_of_attributes,
    a_vcpu_is_named_by_its_id_or_by_its_index,
    binary_points_after_a_run,
}

/// Runs last, by its name. A line that the test harness does not hold back.
#[test]
fn zz_summary() {
    use std::io::Write;

    #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
    let places = if kernel::is_offered() {
        format!("the model and Linux {}", kernel::release())
    } else {
        "no kernel: this KVM offers no GICv2".to_owned()
    };
    #[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
    let places = "the model; not on KVM, since this is no arm64 Linux";
    writeln!(std::io::stdout().lock(), "\n{COUNT} scenarios on {places}").expect("standard output");
}
