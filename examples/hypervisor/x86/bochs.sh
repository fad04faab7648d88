#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# bochs.sh BOCHSRC IMAGE OBJCOPY CPU: runs the image in Bochs and ends with the code that it ended with.
#
# What Bochs says goes to files beside the image, what the image and its guest say to the person.
# Bochs itself ends with 1 whatever happened, and a crash on its way out has nothing to do with the
# image, which has ended: what counts is the image's last line, which has its code.
set -eu

rc=$(realpath "$1")
image=$(realpath "$2")
objcopy=$3
CPU_MODEL=$4
work=$(dirname "$image")/bochs

rm -rf "$work"
mkdir -p "$work/plugins"
cd "$work"

# The ROM is the image, and ends at 4 GiB.
"$objcopy" -O binary "$image" rom.bin
ROM_ADDRESS=$(printf '0x%x' $((0x100000000 - $(wc -c <rom.bin))))
# A video BIOS of which all that counts is that Bochs takes it: signature, size, sum of bytes 0.
printf '\125\252\100\301' >vga.bin
truncate -s 32768 vga.bin
printf 'continue\nquit\n' >debugger.rc

# Bochs loads every display that it finds, and dies of the wx one where there is no display.
ln -sf /usr/lib/*/bochs/plugins/libbx_*.so plugins/
rm -f plugins/libbx_wx_gui.so
if [ ! -e plugins/libbx_term_gui.so ]; then
	echo 'no display for Bochs: apt-get install --no-install-recommends bochs-term' >&2
	exit 1
fi

# The image's words are between the first instruction, which the debugger shows, and its last
# line. Bochs goes on after SIGTERM, so it is killed when this script is.
# The path is relative: a long one overflows a buffer of Bochs.
export ROM_ADDRESS CPU_MODEL TERM=dumb LTDL_LIBRARY_PATH=plugins
{ setpriv --pdeathsig KILL bochs -q -f "$rc" -rc debugger.rc </dev/null ||
	echo "bochs.sh: Bochs ended with $?" >&2; } 2>errors.txt |
	tee console.txt | sed -u -e '1,/^(0) \[0x0*fffffff0\]/d' -e '/^exit code [0-9]*$/,$d'

code=$(sed -n 's/^exit code \([0-9]*\)$/\1/p' console.txt)
if [ -z "$code" ]; then
	echo "BAD: Bochs ended before its image did; what it said is in $work/*.{txt,log}" >&2
	exit 1
fi
exit "$code"
