// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the crate from outside, through its public Rust interface.
//!
//! ```text
//! conversions   flags and errors, to and from page_table_multiarch
//! encodings     every entry that a format can and cannot say
//! golden        words and register values, worked out by hand from the manuals
//! raw_words     entries that nobody wrote
//! shapes        levels, widths, roots and what is refused
//! engine        address spaces against a model made of ranges
//! differential  address spaces against page_table_multiarch's PageTable64
//! layout        structs as C and Rust see them
//! host          the host that the spaces of these tests run on
//! ```

mod conversions;
mod differential;
mod encodings;
mod engine;
mod formats;
mod golden;
mod host;
mod layout;
mod raw_words;
mod shapes;

use proptest::test_runner::Config;

/// So many random cases. A failure prints the calls it takes, and leaves no file: what it found becomes
/// a test with a name.
fn cases(count: u32) -> Config {
    Config { failure_persistence: None, ..Config::with_cases(count) }
}
