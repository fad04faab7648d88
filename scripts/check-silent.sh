#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-silent.sh: an archive without messages (LOG=0) has less code and none of the texts, nothing of the
# logger's state, and a program that sets a logger links with it and hears nothing.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
loud=build/host/libaxaddrspace.a
out=build/host-silent
silent=$out/libaxaddrspace.a
[ -f $loud ] || die "no $loud: run make lib"
LOG=0 scripts/build-lib.sh host $out

# bytes SECTION ARCHIVE
bytes() { size -A "$2" | awk -v section="$1" '$1 == section { sum += $2 } END { print sum + 0 }'; }

[ "$(bytes .text $silent)" -lt "$(bytes .text $loud)" ] || die "$silent has no less code than $loud"
[ "$(bytes .bss $loud)" -gt 0 ] || die "$loud has no logger"
[ "$(bytes .bss $silent)" -eq 0 ] || die "$silent has state: $(bytes .bss $silent) bytes of .bss"

# The texts in the calls of src/logging.rs, and those with a colon at the end, which a call may have by name; those of one
# word may be names of functions too.
mapfile -t texts < <(find src -path src/model -prune -o -name '*.rs' -exec perl -0ne \
	'print "$1\n" while /logging::(?:error|warn|debug|outcome)\(\s*c?"[^"]*",\s*"([^"]* [^"]*)"/g;
	print "$1\n" while /"([^"\n]* [^"\n]*:)"/g' {} + | sort -u)
[ ${#texts[@]} -ge 6 ] || die "only ${#texts[@]} texts found in src"
for text in "${texts[@]}"; do
	grep -qaF "$text" $loud || die "$loud does not say '$text'"
	! grep -qaF "$text" $silent || die "$silent says '$text'"
done

# names ARCHIVE: how often its data names a call, as the line of a refused call begins.
names() {
	ar p "$1" >$out/object
	objcopy -O binary --only-section=.rodata $out/object $out/data
	grep -ao 'axas_[a-z]' $out/data | wc -l
}

[ "$(names $loud)" -ge 40 ] || die "$loud names only $(names $loud) calls"
[ "$(names $silent)" -eq 0 ] || die "$silent names calls"

# messages ARCHIVE: how many examples/logging.c prints with it.
messages() {
	cc -std=c11 -Iinclude examples/logging.c "$1" -o $out/program
	$out/program >$out/printed.txt
	grep -c 'axaddrspace::' $out/printed.txt || true
}

[ "$(messages $loud)" -gt 0 ] || die "examples/logging.c logs nothing"
[ "$(messages $silent)" -eq 0 ] || die "$silent calls the logger"
say "$silent: none of ${#texts[@]} texts, $(($(bytes .text $loud) - $(bytes .text $silent))) bytes of code less"
