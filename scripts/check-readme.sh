#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-readme.sh: the first C program of README.md is examples/minimal.c but for its licence, it compiles without a
# warning against the host library, and prints what README.md says.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
out=$BUILD/readme
mkdir -p "$out"

# block LANGUAGE: the first fenced block of that language.
block() {
	awk -v fence='```'"$1" '
		inside && /^```$/ { exit }
		inside { print }
		$0 == fence { inside = 1 }' README.md
}

for language in c text; do
	block $language >"$out/$language"
	[ -s "$out/$language" ] || die "README.md has no block of \`\`\`$language"
done
mv "$out/c" "$out/program.c"
diff -u <(sed '/^\/\* SPDX-/d' examples/minimal.c) "$out/program.c" || die "README.md and examples/minimal.c differ"

cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
	-Wstrict-prototypes -Werror -Iinclude "$out/program.c" build/host/libaxaddrspace.a \
	-o "$out/program"
"$out/program" >"$out/printed.txt"
diff -u "$out/text" "$out/printed.txt" || die "the program prints something else"
say "README.md's program prints: $(cat "$out/printed.txt")"
