#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# bochs.sh IMAGE OBJCOPY CPU: runs the image that QEMU loads in Bochs, and ends with its code.
#
# Bochs loads nothing but a ROM. image.ld says where in there the image has to be; what comes of that
# is wrapped into an ELF file, for this is what run.sh takes apart again.
set -eu

image=$1
objcopy=$2
cpu=$3
from=$(nm "$image" | sed -n 's/ . image_start$//p')
to=$(nm "$image" | sed -n 's/ . image_in_rom$//p')
by=$((0x$to - 0x$from))

"$objcopy" -O binary --change-section-lma ".text+$by" --change-section-lma ".note.pvh+$by" \
	--change-section-lma ".rodata+$by" --change-section-lma ".data+$by" \
	--set-section-flags .rom=alloc,load,code --set-section-flags .reset=alloc,load,code \
	"$image" "$image.rom.bin"
"$objcopy" -I binary -O elf64-x86-64 "$image.rom.bin" "$image.rom"
exec ./intel/run.sh "$image.rom" "$objcopy" "$cpu"
