//! The space as a table for people.
//!
//! ```text
//! 0x000000000000-0x000000200000 linear   rwx write-back   2M hpa 0x000040000000
//! ```

use super::AddressSpace;
use crate::abi::*;
use crate::addr::Bits;
use crate::error::Result;
use crate::flags::MemoryType;

/// One line, built without `core::fmt`.
struct Line {
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
    fn text(&mut self, text: &str, width: usize) {
        for byte in text.bytes() {
            self.push(byte);
        }
        for _ in text.len()..width {
            self.push(b' ');
        }
    }

    /// A number with 0x and at least `digits` digits.
    fn hex(&mut self, value: u64, digits: u32) {
        self.text("0x", 0);
        let needed = u64::BITS.wrapping_sub(value.leading_zeros()).div_ceil(4);
        for digit in (0..needed.max(digits)).rev() {
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

    fn as_str(&self) -> &str {
        let (text, _) = self.bytes.split_at(self.length.min(Self::MOST));
        core::str::from_utf8(text).unwrap_or("")
    }
}

impl AddressSpace {
    /// Prints the space, a line for each run of pages of equal state and size.
    pub fn dump(&self, write: &mut dyn FnMut(&str)) -> Result<()> {
        let (start, end) = (self.range.start.bits(), self.range.end.bits());
        let page_level = |run: &axas_mapping_t, level| match run.state {
            AXAS_STATE_LINEAR | AXAS_STATE_OWNED => level,
            _ => 0,
        };
        self.for_each_run(start, end, page_level, &mut |run, level| {
            write(line(run, level).as_str());
            true
        })
    }
}

fn line(run: &axas_mapping_t, level: u32) -> Line {
    const ADDRESS_DIGITS: u32 = 12;
    let mut line = Line::new();
    line.hex(run.gpa, ADDRESS_DIGITS);
    line.text("-", 0);
    line.hex(run.gpa.wrapping_add(run.size), ADDRESS_DIGITS);
    let state = match run.state {
        AXAS_STATE_RESERVED => " reserved",
        AXAS_STATE_TRAP => " trap",
        AXAS_STATE_LINEAR => " linear",
        _ => " owned",
    };
    line.text(state, 10);
    if run.state == AXAS_STATE_TRAP {
        line.text("---", 18);
        line.text("cookie ", 0);
        line.hex(run.cookie, 1);
    } else {
        let letter = |flag, letter| if run.flags & flag != 0 { letter } else { "-" };
        line.text(letter(AXAS_READ, "r"), 0);
        line.text(letter(AXAS_WRITE, "w"), 0);
        line.text(letter(AXAS_EXECUTE, "x"), 0);
        line.text(" ", 0);
        line.text(memory_name(run.flags), 14);
        if run.state != AXAS_STATE_RESERVED {
            line.text(["-", "4K", "2M", "1G"].get(level as usize).copied().unwrap_or("-"), 3);
            line.text("hpa ", 0);
            line.hex(run.hpa, ADDRESS_DIGITS);
        }
    }
    line.end();
    line
}

fn memory_name(flags: axas_flags_t) -> &'static str {
    let types = AXAS_DEVICE
        | AXAS_UNCACHED
        | AXAS_WRITE_COMBINE
        | AXAS_WRITE_THROUGH
        | AXAS_DEVICE_NGNRNE
        | AXAS_DEVICE_NGRE
        | AXAS_DEVICE_GRE;
    match MemoryType::from_flag(flags & types) {
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
