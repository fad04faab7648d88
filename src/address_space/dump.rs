// SPDX-License-Identifier: MIT OR Apache-2.0
//! The space as a table for people.
//!
//! ```text
//! 0x000000000000-0x000000200000 linear   rwx write-back    2M   hpa 0x000040000000
//! 0x000000200000-0x000040000000 reserved rw- write-back    <=2M
//! 0x0000fee00000-0x0000fee01000 trap     --- -             -    cookie 0x7e57 tag 0x3
//! ```

use super::AddressSpace;
use crate::abi::*;
use crate::addr::Bits;
use crate::error::Result;
use crate::flags::{MEMORY_TYPES, MemoryType};
use crate::npt::entry::{HIDES, PROVIDES};

/// One line, built without `core::fmt`.
pub(crate) struct Line {
    bytes: [u8; Self::MOST],
    length: usize,
}

impl Line {
    const MOST: usize = 128;

    fn new() -> Self {
        Self { bytes: [b' '; Self::MOST], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.length) {
            *slot = byte;
            self.length = self.length.wrapping_add(1);
        }
    }

    /// Text, filled up with blanks to `width`.
    #[inline(never)]
    fn text(&mut self, text: &str, width: usize) {
        for byte in text.bytes() {
            self.push(byte);
        }
        for _ in text.len()..width {
            self.push(b' ');
        }
    }

    /// A number with 0x and at least `digits` digits.
    #[inline(never)]
    fn hex(&mut self, value: u64, digits: u32) {
        self.text("0x", 0);
        for digit in (0..hex_digits(value).max(digits)).rev() {
            let nibble = (value.wrapping_shr(digit.wrapping_mul(4)) & 0xf) as u8;
            let letter = if nibble < 10 { b'0' } else { b'a'.wrapping_sub(10) };
            self.push(letter.wrapping_add(nibble));
        }
    }

    /// Ends the line where its last column does.
    fn end(&mut self) {
        while let Some(last) = self.length.checked_sub(1)
            && self.bytes.get(last) == Some(&b' ')
        {
            self.length = last;
        }
        self.push(b'\n');
    }

    /// The text, which is ASCII.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

fn hex_digits(value: u64) -> u32 {
    u64::BITS.wrapping_sub(value.leading_zeros()).div_ceil(4)
}

impl AddressSpace {
    /// Prints the space, a line for each run of pages of equal state and size.
    pub fn dump(&self, write: &mut dyn FnMut(&[u8])) -> Result<()> {
        let end = self.npt.range.end.bits();
        self.for_each_run(self.npt.range, true, &mut |run, level| {
            write(line(run, level, end).as_bytes());
            true
        })
    }
}

/// The level of a run's pages; 0 where there are none.
pub(crate) fn page_level(run: &axas_mapping_t, level: u32) -> u32 {
    match run.state {
        AXAS_STATE_LINEAR | AXAS_STATE_OWNED | AXAS_STATE_HIDDEN => level,
        _ => 0,
    }
}

/// The line of a run of pages of `level`, in columns for addresses up to `end`.
#[inline(never)]
pub(crate) fn line(run: &axas_mapping_t, level: u32, end: u64) -> Line {
    const MIN_DIGITS: u32 = 12;
    let digits = hex_digits(end).max(MIN_DIGITS);
    let mut line = Line::new();
    line.hex(run.gpa, digits);
    line.text("-", 0);
    line.hex(run.gpa.wrapping_add(run.size), digits);
    line.text(" ", 0);
    line.text(state_name(run.state), 9);
    for letter in access_letters(run) {
        line.push(letter);
    }
    line.text(" ", 0);
    line.text(memory_name(run), 14);
    line.text(page_name(run, level), 5);
    if run.state == AXAS_STATE_TRAP {
        line.text("cookie ", 0);
        line.hex(run.cookie, 1);
    } else if HIDES && run.state == AXAS_STATE_NOTE {
        line.text("value ", 0);
        line.hex(run.cookie, 1);
    } else if PROVIDES && run.state == AXAS_STATE_PROVIDED {
        line.text("provider ", 0);
        line.hex(run.cookie, 1);
    } else if run.hpa != AXAS_HPA_INVALID {
        line.text("hpa ", 0);
        line.hex(run.hpa, MIN_DIGITS);
    } else if run.flags & AXAS_SKIP_ZERO != 0 {
        line.text("not zeroed", 0);
    }
    if cfg!(feature = "tags") && run.flags & AXAS_TAG_MASK != 0 {
        if matches!(
            run.state,
            AXAS_STATE_LINEAR | AXAS_STATE_OWNED | AXAS_STATE_TRAP | AXAS_STATE_PROVIDED
        ) {
            line.text(" ", 0);
        }
        line.text("tag ", 0);
        line.hex(u64::from(run.flags.wrapping_shr(AXAS_TAG_SHIFT) & 15), 1);
    }
    line.end();
    line
}

/// What the guest may do.
pub(crate) fn access_letters(run: &axas_mapping_t) -> [u8; 3] {
    let letter = |flag, letter| if run.flags & flag != 0 { letter } else { b'-' };
    [letter(AXAS_READ, b'r'), letter(AXAS_WRITE, b'w'), letter(AXAS_EXECUTE, b'x')]
}

/// What the pages of a run are.
pub(crate) fn state_name(state: u32) -> &'static str {
    match state {
        AXAS_STATE_RESERVED => "reserved",
        AXAS_STATE_TRAP => "trap",
        AXAS_STATE_LINEAR => "linear",
        AXAS_STATE_HIDDEN if HIDES => "hidden",
        AXAS_STATE_NOTE if HIDES => "note",
        AXAS_STATE_PROVIDED if PROVIDES => "provided",
        _ => "owned",
    }
}

/// The size of the pages, of a reservation the largest that it may get.
pub(crate) fn page_name(run: &axas_mapping_t, level: u32) -> &'static str {
    match (run.state, level) {
        (AXAS_STATE_RESERVED, _) if run.flags & AXAS_HUGE_FRAMES == 0 => "4K",
        (AXAS_STATE_RESERVED, _) if run.flags & AXAS_MAX_2M != 0 => "<=2M",
        (AXAS_STATE_RESERVED, _) => "<=1G",
        (AXAS_STATE_PROVIDED, _) if PROVIDES => match run.flags & (AXAS_NO_HUGE | AXAS_MAX_2M) {
            0 => "<=1G",
            AXAS_MAX_2M => "<=2M",
            _ => "4K",
        },
        (_, 1) => "4K",
        (_, 2) => "2M",
        (_, 3) => "1G",
        _ => "-",
    }
}

/// The memory type; a trap has none.
pub(crate) fn memory_name(run: &axas_mapping_t) -> &'static str {
    if run.state == AXAS_STATE_TRAP || HIDES && run.state == AXAS_STATE_NOTE {
        return "-";
    }
    match MemoryType::from_flag(run.flags & MEMORY_TYPES) {
        Some(MemoryType::WriteBack) => "write-back",
        Some(MemoryType::Device) => "device",
        Some(MemoryType::Uncached) => "uncached",
        Some(MemoryType::WriteCombine) => "write-combine",
        Some(MemoryType::WriteThrough) => "write-through",
        Some(MemoryType::DeviceNgnrne) => "device-nGnRnE",
        Some(MemoryType::DeviceNgre) => "device-nGRE",
        Some(MemoryType::DeviceGre) => "device-GRE",
        None => "?",
    }
}
