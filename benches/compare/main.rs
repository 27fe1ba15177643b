//! What the crate takes in time and bytes, beside the bare device calls, beside `memcpy`, and beside the formats that other VMMs write
//! the same state in.
//!
//! ```sh
//! cargo bench --bench compare                                             # everything, and one table at the end
//! cargo bench --bench compare -- '1,024 SPIs'                             # a part
//! VGIC_STATE_PLOT=docs/performance.svg cargo bench --bench compare        # and the plot
//! ```
//!
//! Rule: a number alone means nothing. Each measurement alternates with what it is compared with, and the table gives the ratio.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "a benchmark may panic")]

mod device;
mod formats;
mod image;
mod pair;
mod plain;
mod plot;
#[allow(dead_code, reason = "of what the tests share, a part")]
#[path = "../../tests/common/save.rs"]
mod save;
mod states;

use criterion::Criterion;
use pair::Pairs;
use std::time::Duration;

fn main() {
    let criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    let mut pairs = Pairs::new(criterion);
    device::measure(&mut pairs);
    for state in states::gicv5_all() {
        image::gicv5(&mut pairs, &state);
        formats::gicv5(&mut pairs, &state);
    }
    for state in states::gicv3_all() {
        image::gicv3(&mut pairs, &state);
        formats::gicv3(&mut pairs, &state);
    }
    pairs.finish();
    if let Some(path) = std::env::var_os("VGIC_STATE_PLOT") {
        std::fs::write(&path, plot::draw()).expect("the plot");
        println!("plot: {}", path.display());
    }
}
