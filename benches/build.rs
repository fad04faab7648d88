// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links the archives as they ship, without parts and with all, under names of its own: the library is also here as a crate.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    // scripts/bench.sh puts it there.
    let archives = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../build/bench");
    println!("cargo::rustc-link-search=native={}", archives.display());
    for name in ["axaddrspace_shipped", "axaddrspace_parts"] {
        println!("cargo::rerun-if-changed={}/lib{name}.a", archives.display());
        println!("cargo::rustc-link-lib=static={name}");
    }
    let rustc = Command::new(env::var_os("RUSTC").unwrap()).arg("--version").output().unwrap();
    println!("cargo::rustc-env=RUSTC_VERSION={}", String::from_utf8(rustc.stdout).unwrap().trim());
}
