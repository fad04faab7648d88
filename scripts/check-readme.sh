#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-readme.sh: the first C program of README.md is examples/minimal.c but for its licence, it compiles without a
# warning against the host library, and prints what README.md says. Its first screen names the times and disk of its
# table, and find_package this version. (The other figures: scripts/shipped.py, by check-size.py and its like.)
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

# first_time COMMAND: the first row of the table that is of this command, as "4 minutes and 1.5 GB".
first_time() { sed -n "s/^| \`make $1\` | \([^|]*\) |.*| \([^|]*\) |$/\1 and \2/p" README.md; }
first=$(sed '/^## /,$d' README.md | tr '\n' ' ')
for said in "\`make run\` shows a guest after $(first_time run)" "\`make test\` runs every test in $(first_time test)"; do
	[[ $first == *"$said"* ]] || die "README.md's first screen does not say: $said"
done
version=$(package_version)
grep -q "find_package(axaddrspace ${version%.*} REQUIRED)" README.md || die "README.md's find_package is not of $version"
say "README.md's program prints: $(cat "$out/printed.txt")"
