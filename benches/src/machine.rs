// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the figures were measured on.

use std::fs::read_to_string;
use std::thread::available_parallelism;

/// Lines of name and value.
pub fn describe(load_before: &str) -> Vec<(&'static str, String)> {
    let model = field("/proc/cpuinfo", "model name");
    let cores = available_parallelism().map_or(0, usize::from);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let huge = crate::pool::huge_share();
    vec![
        ("CPU", format!("{model}, {cores} cores")),
        ("Memory", field("/proc/meminfo", "MemTotal")),
        ("Kernel", format!("Linux {}", kernel.trim())),
        ("Compiler", env!("RUSTC_VERSION").into()),
        ("Commit", std::env::var("BENCH_COMMIT").unwrap_or_else(|_| "not said".into())),
        ("Pool", huge.map_or("not known".into(), |share| format!("{share} % in huge pages"))),
        ("Load before, after", format!("{load_before}, {}", load())),
    ]
}

/// How many threads wanted to run, over the last minute.
pub fn load() -> String {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().into()
}

/// The first value of a name in a file of lines `name: value`.
fn field(file: &str, name: &str) -> String {
    let text = read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or("not known".into(), |(_, value)| value.trim().into())
}
