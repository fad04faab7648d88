// SPDX-License-Identifier: MIT OR Apache-2.0
//! The targets' parts in C. They are not instrumented: coverage counts, and AddressSanitizer watches, the library.

const SOURCES: [&str; 11] = [
    "adversary.c",
    "streams.c",
    "../c-tests/exhaust/judge.c",
    "../c-tests/exhaust/letters.c",
    "../c-tests/exhaust/pages.c",
    "../c-tests/exhaust/parts.c",
    "../c-tests/exhaust/tables.c",
    "../c-tests/exhaust/watch.c",
    "../c-tests/exhaust/world.c",
    "../c-tests/lib/counts.c",
    "../c-tests/lib/kept.c",
];

fn main() {
    cc::Build::new()
        .std("c11")
        .opt_level(3)
        .flags(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow"])
        .warnings_into_errors(true)
        .define("_GNU_SOURCE", None)
        .define("WORLD_IS_GUARDED", None)
        .includes(["../include", "../c-tests/exhaust", "../c-tests/lib"])
        .files(SOURCES)
        .file("../c-tests/lib/walker.c")
        .compile("targets");
    for watched in SOURCES.iter().chain(&["../c-tests/exhaust", "../c-tests/lib", "../include"]) {
        println!("cargo::rerun-if-changed={watched}");
    }
}
