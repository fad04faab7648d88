// SPDX-License-Identifier: MIT OR Apache-2.0
//! axas-inspect on tables that anybody may have written: it ends without a panic, and what it prints stays below the
//! bound of docs/inspect.md.
//!
//! A byte for the format, a root register, then records of twelve bytes: a word and the places of the eight
//! pages of the dump where it is written.
#![no_main]

#[allow(dead_code)]
#[path = "../../tools/axas-inspect/src/args.rs"]
mod args;
#[allow(dead_code)]
#[path = "../../tools/axas-inspect/src/heat.rs"]
mod heat;
#[allow(dead_code)]
#[path = "../../tools/axas-inspect/src/memory.rs"]
mod memory;
#[path = "../../tools/axas-inspect/src/picture.rs"]
mod picture;
#[path = "../../tools/axas-inspect/src/registers.rs"]
mod registers;
#[path = "../../tools/axas-inspect/src/report.rs"]
mod report;

use std::sync::LazyLock;

use args::{Args, Format, Output};
use axaddrspace::tables::{Description, Limits, Page, Tables};
use clap::Parser;
use libfuzzer_sys::fuzz_target;
use report::Subject;

const FIRST: Limits = Limits { runs: 65536, damage: 1000 };
const PAGES: usize = 8;
const BASE: u64 = 0x4000_0000;
const MOST_OUTPUT: usize = 16 << 20;

static ARGS: LazyLock<Args> = LazyLock::new(|| {
    let words = ["axas-inspect", "--format", "ept", "--root", "0", "--memory", "/"];
    Args::try_parse_from(words).expect("arguments")
});

/// What registers say, or a root where the dump is.
fn description(how: u8, register: u64) -> Option<Description> {
    let format = match how & 3 {
        0 => Format::Ept,
        1 => Format::Npt,
        2 => Format::ArmS2,
        _ => Format::RiscvGstage,
    };
    let control = (how & 4 != 0 && format == Format::ArmS2).then_some(register >> 16 | 1 << 31);
    let root = registers::read(format, register, control).ok()?;
    let in_dump = how & 8 != 0;
    Some(Description {
        format: format.into(),
        root: if in_dump { BASE } else { root.root },
        levels: if in_dump { 4 } else { root.levels },
        gpa_bits: root.gpa_bits,
        pa_bits: if in_dump { 48 } else { root.pa_bits },
        range: (how & 16 != 0 || in_dump)
            .then_some(0..if how & 32 != 0 { 1 << 39 } else { 1 << 48 }),
        usage: how & 64 != 0,
    })
}

/// Each record: a word, a page, an index, how often it is repeated, and whether each has the next address.
fn memory(records: &[u8]) -> Box<[Page; PAGES]> {
    let mut pages = Box::new([[0; 512]; PAGES]);
    for record in records.as_chunks::<12>().0 {
        let (word, place) = record.split_at(8);
        let word = word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let page = usize::from(place[0]) % PAGES;
        let index = usize::from(place[0] >> 7) << 8 | usize::from(place[1]);
        let step = if place[3] & 1 == 0 { 0 } else { 0x1000 };
        let count = 1 << (place[2] % 9);
        for (nth, slot) in pages[page].iter_mut().skip(index).take(count).enumerate() {
            *slot = word.wrapping_add(nth as u64 * step);
        }
    }
    pages
}

fuzz_target!(|data: &[u8]| {
    let Some((&[how, ..], rest)) = data.split_first_chunk::<1>() else { return };
    let Some((register, records)) = rest.split_first_chunk() else { return };
    let Some(description) = description(how, u64::from_le_bytes(*register)) else { return };
    let Ok(tables) = Tables::attach(&description) else { return };
    let pages = memory(records);
    let contents = tables
        .read(FIRST, &mut |address| {
            let offset = address.checked_sub(BASE)?;
            (offset % 4096 == 0).then(|| pages.get((offset / 4096) as usize).copied())?
        })
        .expect("a reader that has a format reads");
    let subject = Subject { description: &description, tables: &tables, contents: &contents };
    let mut text = Vec::new();
    let output = [Output::Table, Output::Json, Output::Csv][usize::from(how >> 6) % 3];
    subject.print(output, &mut text).expect("printed");
    subject.warn(&ARGS, &mut text).expect("printed");
    // A picture of thousands of bands takes a hundred times as long as all else.
    let is_small = contents.run_count + contents.defect_count() <= 64;
    let picture = if is_small { picture::draw(&subject) } else { String::new() };
    assert!(text.len() + picture.len() <= MOST_OUTPUT);
    assert!(contents.runs.len() as u64 <= contents.run_count);
    assert!(contents.damage.len() as u64 <= contents.defect_count());
});
