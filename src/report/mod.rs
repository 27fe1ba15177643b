//! What is wrong with a state: one vocabulary for what a check finds before a restore, for what a restore reports, and for the tool.
//!
//! - [`Problem`]: what can be wrong, each with a code, a [`Severity`] and its consequence.
//! - [`Place`] says where.
//! - [`Finding`], [`Report`]: what was found, how often, and what a restore wrote.
//! - [`Refusal`]: why a VM cannot take a state.
//!
//! Source: `arch/arm64/kvm/vgic/`: which values KVM refuses, drops, or believes.
//!
//! Rule: nothing here judges. What a judgement can say is listed here, once.

mod finding;
mod findings;
mod place;
mod problem;
mod refusal;

pub use finding::{Finding, PpiLine, QueuedCommands};
pub use findings::Report;
pub use place::Place;
pub use problem::{Problem, Severity};
pub use refusal::Refusal;
