// SPDX-License-Identifier: MIT OR Apache-2.0
//! Structs as the C compiler and Rust see them: sizes, and places of members.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use axaddrspace::abi::*;

/// Size and alignment of a struct, or place and size of a member.
type Extent = (usize, usize);

/// Collects what Rust says of a struct. A member that is not named here does not compile.
macro_rules! describe {
    ($layout:ident: $($name:ident { $($member:ident),* })*) => {$({
        #[allow(dead_code)]
        fn names_every_member($name { $($member: _),* }: $name) {}
        let whole = (size_of::<$name>(), align_of::<$name>());
        $layout.insert(stringify!($name).to_string(), whole);
        fn size_of_member<T>(_: fn(&$name) -> &T) -> usize {
            size_of::<T>()
        }
        $(
            let place = (offset_of!($name, $member), size_of_member(|whole| &whole.$member));
            $layout.insert(format!("{}.{}", stringify!($name), stringify!($member)), place);
        )*
    })*};
}

fn rust_layout() -> BTreeMap<String, Extent> {
    let mut layout = BTreeMap::new();
    describe! { layout:
        axas_tlb_request_t { gpa, size, vmid, level, tables_removed, reason, scope, reserved }
        axas_hal_t {
            struct_size, flags, ctx, alloc_frame, dealloc_frame, phys_to_virt, release_virt,
            direct_map_offset, tlb_flush, clean_range, should_yield, relax, released, arena,
            may_move, resolve, evicted
        }
        axas_config_t {
            struct_size, format, levels, pa_bits, base, size, vmid, features, options, table_quota,
            gpa_bits, reserved
        }
        axas_hw_regs_t {
            format, levels, root, root_register, control_register, gpa_bits, pa_bits, root_bytes,
            required_state, reserved
        }
        axas_extent_t { hpa, size }
        axas_supply_t { hpa, size, flags, reserved }
        axas_transfer_t {
            struct_size, action, from_flags, to_flags, from_tags, to_tags, note, options
        }
        axas_mapping_t { gpa, size, hpa, cookie, flags, state, level, reserved0, reserved }
        axas_stats_t {
            table_frames, guest_frames, mapped_4k, mapped_2m, mapped_1g, faults_resolved,
            faults_spurious, faults_retry, faults_trap, faults_unmapped, faults_denied,
            faults_no_memory, faults_error, tlb_requests, frames_allocated, frames_released,
            faults_wait, faults_marked, pages_cleaned, splits, merges, reserved
        }
        axas_fault_t { gpa, gva, access, kind, valid, level, reserved }
        axas_mmio_range_t { gpa, size }
        axas_port_range_t { first, last }
        axas_sysreg_range_t { first, last }
        axas_frame_t { hpa, bytes, order, reserved }
        axas_arena_t { opaque }
    }
    layout
}

fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// A C program that prints what the compiler says of the same names.
fn program(names: impl Iterator<Item = String>) -> String {
    let mut lines = String::from(
        "#include <stdio.h>\n#include \"axaddrspace.h\"\n\
         #define WHOLE(s) printf(#s \" %zu %zu\\n\", sizeof(s), _Alignof(s));\n\
         #define MEMBER(s, m) printf(#s \".\" #m \" %zu %zu\\n\", offsetof(s, m), \
         sizeof(((s *)0)->m));\nint main(void)\n{\n",
    );
    for name in names {
        match name.split_once('.') {
            Some((whole, member)) => lines += &format!("MEMBER({whole}, {member})\n"),
            None => lines += &format!("WHOLE({name})\n"),
        }
    }
    lines + "return 0;\n}\n"
}

/// Compiles and runs a C program with the host's compiler, as the `cc` crate finds it.
fn run_c(name: &str, source: &str) -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source_path = directory.join(format!("{name}.c"));
    let program_path = directory.join(name);
    std::fs::write(&source_path, source).unwrap();
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let compiler = cc::Build::new()
        .cargo_metadata(false)
        .host(&host)
        .target(&host)
        .opt_level(0)
        .std("c11")
        .include(include_dir())
        .get_compiler();
    let mut command = compiler.to_command();
    command.arg(&source_path).arg("-o").arg(&program_path);
    let compiled = command.output().expect("no C compiler: apt-get install gcc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&program_path).output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

fn parse_line(line: &str) -> (String, Extent) {
    let words: Vec<&str> = line.split(' ').collect();
    (words[0].to_string(), (words[1].parse().unwrap(), words[2].parse().unwrap()))
}

#[test]
fn c_and_rust_agree_on_every_struct() {
    let ours = rust_layout();
    let printed = run_c("layout", &program(ours.keys().cloned()));
    let theirs: BTreeMap<String, Extent> = printed.lines().map(parse_line).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn no_struct_of_the_header_is_forgotten() {
    let header = std::fs::read_to_string(include_dir().join("axaddrspace.h")).unwrap();
    let in_header: BTreeSet<&str> = header
        .lines()
        .filter_map(|line| line.strip_prefix("typedef struct ")?.strip_suffix(" {"))
        .collect();
    let layout = rust_layout();
    let known = layout.keys().map(String::as_str).filter(|name| !name.contains('.')).collect();
    assert_eq!(in_header, known);
}

#[test]
fn reserved_members_leave_no_hidden_padding() {
    let layout = rust_layout();
    for (name, (size, _)) in layout.iter().filter(|(name, _)| !name.contains('.')) {
        let prefix = format!("{name}.");
        let members = layout.iter().filter(|(member, _)| member.starts_with(&prefix));
        let sum: usize = members.map(|(_, (_, bytes))| bytes).sum();
        assert_eq!(sum, *size, "{name} has padding");
    }
}
