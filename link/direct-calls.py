#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""direct-calls.py OBJECT: let x86-64 code call its own memcpy directly instead of through the GOT.

rustc's precompiled core was built to call the mem functions through the GOT, and link-time
optimisation passes that on to all of the library, whatever -Crelro-level says. A GOT is what the linker
scripts of Xen and Linux refuse. This rewrites, in place, what a linker may rewrite by the
x86-64 psABI ("Optimize GOTPCRELX Relocations"), and fails on anything else that needs a GOT. The address
of what is not in the object is left to the GOT: that is the C library's, and hosted programs have one.
"""

import struct
import sys

R_X86_64_PC32, R_X86_64_PLT32 = 2, 4
GOT_RELOCATIONS = {3: "GOT32", 9: "GOTPCREL", 41: "GOTPCRELX", 42: "REX_GOTPCRELX"}
SHT_RELA = 4
SECTION = struct.Struct("<IIQQQQIIQQ")
RELA = struct.Struct("<QQq")
SYMBOL = struct.Struct("<IBBHQQ")


def loads_address(code, at):
    """Whether it is mov symbol@GOTPCREL(%rip), which loads an address."""
    return code[at - 2] == 0x8B and code[at - 1] & 0xC7 == 0x05


def direct(code, at):
    """Rewrites the instruction whose operand is at `at`: how far its operand moved, its relocation."""
    if code[at - 2:at] == b"\xff\x15":  # call *symbol@GOTPCREL(%rip) -> addr32 call symbol
        code[at - 2:at] = b"\x67\xe8"
        return 0, R_X86_64_PLT32
    if code[at - 2:at] == b"\xff\x25":  # jmp *symbol@GOTPCREL(%rip) -> jmp symbol; nop
        code[at - 2:at + 4] = b"\xe9" + code[at:at + 4] + b"\x90"
        return -1, R_X86_64_PLT32
    if loads_address(code, at):  # mov symbol@GOTPCREL(%rip) -> lea
        code[at - 2] = 0x8D
        return 0, R_X86_64_PC32
    return None


def main():
    path = sys.argv[1]
    with open(path, "rb") as file:
        image = bytearray(file.read())
    if image[:6] != b"\x7fELF\x02\x01":
        sys.exit(f"{path}: not a little-endian ELF64 object")
    headers, = struct.unpack_from("<Q", image, 40)
    size, count = struct.unpack_from("<HH", image, 58)
    sections = [SECTION.unpack_from(image, headers + place * size) for place in range(count)]
    for section in sections:
        if section[1] != SHT_RELA:
            continue
        code_at, code_size = sections[section[7]][4:6]
        code = bytearray(image[code_at:code_at + code_size])
        for entry in range(section[4], section[4] + section[5], RELA.size):
            offset, info, addend = RELA.unpack_from(image, entry)
            if (kind := info & 0xFFFFFFFF) not in GOT_RELOCATIONS:
                continue
            symbol_at = sections[section[6]][4] + (info >> 32) * SYMBOL.size
            is_here = SYMBOL.unpack_from(image, symbol_at)[3] != 0
            if not is_here and loads_address(code, offset):
                continue
            rewritten = direct(code, offset)
            if rewritten is None or addend != -4:
                sys.exit(f"{path}: R_X86_64_{GOT_RELOCATIONS[kind]} at {offset:#x} needs a GOT")
            moved, kind = rewritten
            RELA.pack_into(image, entry, offset + moved, info >> 32 << 32 | kind, addend)
        image[code_at:code_at + code_size] = code
    with open(path, "wb") as file:
        file.write(image)


if __name__ == "__main__":
    main()
