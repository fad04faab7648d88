// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench with one peer more: the crate axaddrspace 0.6 over page-table-generic 0.9.

mod upstream;

use axaddrspace_bench::series::Subject;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    axaddrspace_bench::run(Some((Subject::Upstream, upstream::CALLS)))
}
