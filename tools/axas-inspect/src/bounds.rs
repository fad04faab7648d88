// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whoever dumps the tables of a guest does not know who wrote them last. What the tool needs of memory and
//! what it prints stays within the bounds of docs/inspect.md, whatever stands in them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use clap::Parser;

use crate::args::Args;
use crate::run;

/// The bounds that docs/inspect.md states.
const MEMORY_FOR_A_BYTE: usize = 3;
const MEMORY_BESIDE: usize = 16 << 20;
const OUTPUT: usize = 16 << 20;

/// Counts the bytes that a thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: 1. All is handed on to the system's allocator. 2. The counters are without destructor and
// allocate nothing. A block that grows is counted twice for a moment: `realloc` is the trait's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().wrapping_add(layout.size());
        HELD.set(held);
        MOST.set(MOST.get().max(held));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TABLES: u64 = 2048;
const PAGE: u64 = 4096;
/// A table of EPT; a leaf of 4 KiB, write-back, rwx; the library's frame.
const TABLE: u64 = 0x107;
const LEAF: u64 = 7 | 6 << 3 | 3 << 8 | 1 << 53 | 1 << 63;
const OWNED: u64 = 1 << 52;

/// 8 MiB of tables: a root, tables of the levels 3 and 2, and all others of level 1 with `entry` of each
/// index.
fn tables(entry: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut words = vec![0_u64; (TABLES * 512) as usize];
    let uppers = TABLES.div_ceil(512);
    words[0] = PAGE | TABLE;
    for table in 0..uppers {
        words[512 + table as usize] = ((2 + table) * PAGE) | TABLE;
    }
    for table in 2 + uppers..TABLES {
        let index = table - 2 - uppers;
        words[(2 * 512 + index) as usize] = (table * PAGE) | TABLE;
        for place in 0..512 {
            words[(table * 512 + place) as usize] = entry(index * 512 + place);
        }
    }
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// What a run of the tool took.
struct Cost {
    held: usize,
    printed: usize,
    warnings: String,
}

fn cost(memory: &[u8], options: &[&str]) -> Cost {
    let directory = tempfile::tempdir().expect("a directory");
    let (dump, picture) = (directory.path().join("0x0"), directory.path().join("picture"));
    fs::write(&dump, memory).expect("written");
    let dump = directory.path().to_str().expect("a name");
    let mut words = vec!["axas-inspect", "-f", "ept", "-r", "0", "-m", dump, "--svg"];
    words.push(picture.to_str().expect("a name"));
    words.extend(options);
    let args = Args::try_parse_from(words).expect("arguments");
    let (mut out, mut err) = (Counter(0), Vec::new());
    let before = HELD.get();
    MOST.set(before);
    let contents = run(&args, &mut out, &mut err).expect("a report");
    let held = MOST.get() - before;
    drop(contents);
    let drawn = fs::metadata(picture).expect("a picture").len() as usize;
    let warnings = String::from_utf8(err).expect("text");
    Cost { held, printed: out.0 + warnings.len() + drawn, warnings }
}

/// Takes what is written, and keeps its length.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Tables in which each entry is a run, a defect, or both; then the options that go with them.
fn crafted() -> [(&'static str, Vec<u8>, &'static [&'static str]); 7] {
    let frame = |n: u64| (1 << 30) + n * 2 * PAGE;
    [
        ("frames apart from each other", tables(|n| LEAF | OWNED | frame(n)), &[]),
        ("frames in reverse", tables(|n| LEAF | OWNED | frame(TABLES * 512 - n)), &[]),
        ("one frame everywhere", tables(|_| LEAF | OWNED | 1 << 30), &[]),
        ("tables for everybody", tables(|n| LEAF | (n * 7919 % TABLES * PAGE)), &[]),
        (
            "foreign and unusable",
            tables(|n| LEAF | OWNED | 1 << 58 | 1 << 51 | frame(n)),
            &["--pa-bits", "48"],
        ),
        ("outside", tables(|n| LEAF | OWNED | frame(n)), &["--size", "4K"]),
        ("nothing that means something", tables(|n| 2 | n << 12), &[]),
    ]
}

#[test]
fn memory_and_output_are_bounded_by_the_dump() {
    for (what, memory, options) in crafted() {
        for output in ["table", "json", "csv"] {
            let options = [options, &["--output", output]].concat();
            let Cost { held, printed, .. } = cost(&memory, &options);
            let bound = MEMORY_FOR_A_BYTE * memory.len() + MEMORY_BESIDE;
            assert!(held <= bound, "{what}, {output}: {held} bytes held, bound {bound}");
            assert!(printed <= OUTPUT, "{what}, {output}: {printed} bytes printed");
        }
    }
}

#[test]
fn what_is_left_out_is_counted_and_all_is_shown_on_request() {
    let entries = (TABLES - 2 - TABLES / 512) * 512;
    let memory = tables(|n| LEAF | OWNED | 1 << 51 | ((1 << 30) + n * 2 * PAGE));
    let first = cost(&memory, &["--pa-bits", "48"]);
    let more = format!(
        "axas-inspect: and {} more; in all: unusable address {entries}; --all shows each\n\
         axas-inspect: {} of {entries} runs are not shown; --all shows them\n",
        entries - 50,
        entries - 65536,
    );
    assert_eq!(first.warnings.lines().count(), 52);
    assert!(first.warnings.ends_with(&more), "{}", first.warnings);
    // Without the limits neither bound would hold.
    let all = cost(&memory, &["--pa-bits", "48", "--all"]);
    assert_eq!(all.warnings.lines().count() as u64, entries);
    assert!(all.printed > OUTPUT && all.held > MEMORY_FOR_A_BYTE * memory.len() + MEMORY_BESIDE);
}
