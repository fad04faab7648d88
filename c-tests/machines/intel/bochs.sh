#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# bochs.sh IMAGE OBJCOPY CPU: runs the suite in Bochs with two CPUs and ends with the code that the
# suite's last line has, for Bochs itself always ends with 1.
set -eu

rc=$(cd "$(dirname "$0")" && pwd)/bochsrc
image=$(realpath "$1")
objcopy=$2
CPU_MODEL=$3
work=$(dirname "$image")/bochs

rm -rf "$work"
mkdir -p "$work/plugins"
cd "$work"

# The ROM is the image; its place is such that it ends at 4 GiB. Bochs also wants a video BIOS:
# signature, length, a sum of zero.
"$objcopy" -O binary "$image" rom.bin
ROM_ADDRESS=$(printf '0x%x' $((0x100000000 - $(stat -c %s rom.bin))))
printf '\125\252\100\301' >vga.bin
truncate -s 32768 vga.bin
printf 'continue\nquit\n' >debugger.rc

# With the wx display among the plugins Bochs dies where there is no screen.
ln -sf /usr/lib/*/bochs/plugins/libbx_*.so plugins/
rm -f plugins/libbx_wx_gui.so
[ -e plugins/libbx_term_gui.so ] || {
	echo 'no display for Bochs: apt-get install --no-install-recommends bochs-term' >&2
	exit 1
}

# Bochs does not end on SIGTERM, so it is killed together with this script.
# The path is relative: a long one overflows a buffer of Bochs.
export ROM_ADDRESS CPU_MODEL TERM=dumb LTDL_LIBRARY_PATH=plugins
setpriv --pdeathsig KILL bochs -q -f "$rc" -rc debugger.rc </dev/null 2>errors.txt | tee console.txt
code=$(sed -n 's/^exit code \([0-9]*\)$/\1/p' console.txt)
exit "${code:-1}"
