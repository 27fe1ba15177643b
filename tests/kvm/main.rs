//! A GICv3 with ITSes, programmed, saved, restored and served: on the model on every machine, and on KVM where there is one.
//!
//! Rule: a scenario is written once. It asserts what must hold, and logs what it observes; on KVM, the log of the kernel must be that
//! of the model.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
#![allow(dead_code, reason = "more scenarios follow")]

#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
mod kernel;
mod layout;
mod log;
mod model;
mod program;
mod rig;
mod scenarios;

use log::Log;

/// Runs a scenario, and returns what it observed.
fn observe(scenario: fn(&mut Log)) -> Log {
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
                crate::observe(crate::scenarios::$module::$name::<ModelRig>);
            })*
        }

        #[cfg(all(target_arch = "aarch64", target_os = "linux"))]
        mod on_kvm {
            use crate::kernel::KernelRig;
            use crate::model::ModelRig;

            $(#[test]
            fn $name() {
                let kernel = crate::observe(crate::scenarios::$module::$name::<KernelRig>);
                let model = crate::observe(crate::scenarios::$module::$name::<ModelRig>);
                model.assert_same(&kernel);
            })*
        }

        /// Scenarios, for the closing line.
        const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

scenarios! {
    migrate::flat_tables,
    migrate::two_level_tables,
    migrate::several_its,
    migrate::without_its,
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
