//! The `vgic-state` tool.
fn main() {}
