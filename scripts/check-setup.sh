#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-setup.sh WAY: what set-up does where it must not or cannot install, and what is refused before it.
#
#   installs-nothing   with SETUP=0 and below CMake, neither apt-get, rustup nor cargo install are called, and
#                      what is missing is named
#   names-the-missing  without root, and without a network, what is missing is named and nothing is half there
#   values             unknown FORMATS, ARCH, MACHINE, STORY and groups: one line with those there are, exit code 2
#   lock-files         no script has cargo write another lock file than the committed one
#   bytecode           Python leaves no __pycache__ among the sources
#
# In a copy of the sources, with stand-ins for what installs.
set -euo pipefail
. "$(dirname "$0")/common.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/sources" "$work/tools"
tar --create --directory "$ROOT" --exclude=./build --exclude=./target --exclude=./.git . |
	tar --extract --directory "$work/sources"
cd "$work/sources"
failures=0

complain() {
	say "$*"
	failures=$((failures + 1))
}

# All commands there are, but those that install.
IFS=: read -ra places <<<"$PATH"
for ((place = ${#places[@]} - 1; place >= 0; place--)); do
	[ ! -d "${places[place]}" ] || find "${places[place]}" -maxdepth 1 -mindepth 1 \
		-exec ln -sf -t "$work/tools" {} +
done
cargo=$(command -v cargo || true)
rustup=$(command -v rustup || true)

# stand_in NAME: a command of these lines.
stand_in() {
	rm -f "$work/tools/$1"
	{ echo '#!/bin/sh' && cat; } >"$work/tools/$1"
	chmod +x "$work/tools/$1"
}

for name in apt-get sudo; do
	stand_in $name <<-END
		echo "$name \$*" >>"$work/calls"
		exit 100
	END
done
stand_in rustup <<END
case \$1 in which) exec ${rustup:-false} "\$@" ;; esac
echo "rustup \$*" >>"$work/calls"
exit 1
END
[ -z "$cargo" ] || stand_in cargo <<END
[ "\$1" != install ] || echo "cargo \$*" >>"$work/calls"
[ "\${RUSTUP_AUTO_INSTALL:-}" = 0 ] || echo "cargo, which may have rustup install a toolchain" >>"$work/calls"
exec $cargo "\$@"
END

# take_away PATTERN...
take_away() {
	local pattern
	for pattern; do
		# shellcheck disable=SC2086  # a pattern
		rm -f "$work/tools"/$pattern
	done
}

# attempt COMMAND...: what it prints is left in $said, how it ends in $code.
attempt() {
	rm -f "$work/calls"
	code=0
	said=$(env PATH="$work/tools" CARGO_HOME="$work/none" "$@" 2>&1) || code=$?
	calls=$(cat "$work/calls" 2>/dev/null || true)
}

# fails_and_says PATTERN COMMAND...
fails_and_says() {
	local pattern=$1
	shift
	attempt "$@"
	[ $code -ne 0 ] || complain "'$*' succeeds"
	grep -qE "$pattern" <<<"$said" || complain "'$*' does not say '$pattern' but: $said"
}

installs_nothing() {
	local group
	# It is not of this system but of a copy of the sources.
	install -D "$BUILD/tools/bin/cargo-cyclonedx" build/tools/bin/cargo-cyclonedx
	attempt env SETUP=0 scripts/setup.sh test
	[ $code -eq 0 ] || complain "SETUP=0 finds something missing that is there: $said"
	[ -z "$calls" ] || complain "SETUP=0 called: $calls"
	rm -rf build

	mkdir "$work/cmake"
	printf '%s\n' 'cmake_minimum_required(VERSION 3.21)' 'project(other LANGUAGES NONE)' \
		"add_subdirectory($work/sources axaddrspace)" >"$work/cmake/CMakeLists.txt"
	attempt cmake -S "$work/cmake" -B "$work/cmake/build" -G Ninja
	[ $code -eq 0 ] || complain "$said"
	take_away aarch64-linux-gnu-ld
	fails_and_says 'missing: aarch64-linux-gnu-ld.*apt-get install' \
		cmake --build "$work/cmake/build" --target axaddrspace_build_aarch64
	[ -z "$calls" ] || complain "CMake's build called: $calls"

	if [ ! -d /usr/lib/rustlib/src/rust/library/core ]; then
		mkdir "$work/sysroot"
		stand_in rustc <<-END
			case \$1 in --print) echo "$work/sysroot" ;; *) echo 'rustc 99.0.0' ;; esac
		END
		fails_and_says "missing: Rust's x86_64-unknown-none .*rustup target add x86_64-unknown-none.*apt-get install" \
			env SETUP=0 make lib ARCH=x86_64
		[ -z "$calls" ] || complain "without the target SETUP=0 called: $calls"
	fi
	take_away cargo rustc
	if [ ! -x /usr/bin/rustc ]; then
		fails_and_says 'missing: cargo and rustc.*https://rustup.rs.*apt-get install' \
			env SETUP=0 make lib
		[ -z "$calls" ] || complain "without Rust SETUP=0 called: $calls"
	fi

	take_away cc cmake aarch64-linux-gnu-gcc riscv64-linux-gnu-gcc x86_64-linux-gnu-gcc doxygen valgrind abidiff \
		chromium clang-format
	rm -rf build
	for group in host x86_64 lib licenses arm riscv amd intel docs bench abi quick dist test check shots all; do
		fails_and_says 'missing: [a-z].*SETUP=0 installs nothing; as root, run: apt-get install' \
			env SETUP=0 scripts/setup.sh $group
		[ -z "$calls" ] || complain "SETUP=0 scripts/setup.sh $group called: $calls"
	done
	[ ! -e build ] || complain "left behind: $(find build)"
}

names_the_missing() {
	attempt scripts/setup.sh host
	fails_and_says '^error: the crates .* docs/offline.md' \
		env CARGO_NET_OFFLINE=true scripts/build-lib.sh host
	rm -rf build target

	take_away cmake
	stand_in id <<<'echo 0'
	fails_and_says 'missing: cmake\..*apt-get install .*cmake' scripts/setup.sh quick
	[ -n "$calls" ] || complain "apt-get was not asked"
	mv "$work/tools/apt-get" "$work/no-apt-get"
	fails_and_says 'missing: cmake\..*no apt-get; .*Debian calls: cmake' scripts/setup.sh quick
	mv "$work/no-apt-get" "$work/tools/apt-get"

	stand_in id <<<'echo 1000'
	take_away sudo
	fails_and_says 'missing: cmake\..*Neither root nor sudo; .*apt-get install .*cmake' scripts/setup.sh quick
	[ -z "$calls" ] || complain "without root it called: $calls"

	if [ ! -x /usr/bin/rustc ]; then
		take_away cargo rustc
		fails_and_says 'missing: cargo and rustc.*apt-get install' scripts/setup.sh host
	fi
	[ ! -e build ] || complain "left behind: $(find build)"
}

# refuses WHAT KNOWN COMMAND...: one line with what there is, besides make's own.
refuses() {
	local what=$1 known=$2
	shift 2
	attempt "$@"
	[ $code -eq 2 ] || complain "'$*' ends with $code"
	[ "$(wc -l <<<"$said")" -eq 1 ] || complain "'$*' prints more than a line: $said"
	grep -q "$what.*$known" <<<"$said" || complain "'$*' does not say '$what' and '$known' but: $said"
	[ -z "$calls" ] || complain "'$*' called: $calls"
}

values() {
	local target formats="intel-ept.*amd-npt.*arm-stage2.*riscv-gstage" arches="host x86_64 aarch64 riscv64"
	local machines="arm riscv amd intel" bad
	for target in lib run machines install; do
		for bad in ept intel-ept,ept intel_ept; do
			refuses FORMATS= "$formats" make $target FORMATS=$bad
		done
	done
	for bad in ept ,intel-ept intel-ept, 'intel-ept amd-npt'; do
		refuses FORMATS= "$formats" env FORMATS="$bad" scripts/build-lib.sh host
	done
	for bad in axas_nothing 'axas_unmap unmap' 'axas_unmap,axas_map_trap'; do
		refuses CALLS= 'axas_create.*axas_unmap' make lib CALLS="$bad"
		refuses CALLS= 'axas_create.*axas_unmap' env CALLS="$bad" scripts/build-lib.sh host
	done
	for bad in arm64 '' 'host mips'; do
		refuses ARCH= "$arches" make lib ARCH="$bad"
		refuses ARCH= "$arches" make install ARCH="$bad"
	done
	refuses ARCH= "$arches" make lib ARCH='host x86_64'
	refuses ARCH= "$arches" scripts/build-lib.sh arm64
	refuses ARCH= "$arches" scripts/install.sh /usr "$work/stage" arm64
	refuses ARCH= "$arches" scripts/check-install.sh find_package arm64
	for bad in x86 '' 'arm mips'; do
		refuses MACHINE= "$machines" make run MACHINE="$bad"
		refuses MACHINE= "$machines" make machines MACHINE="$bad"
	done
	refuses MACHINE= "$machines" make run MACHINE='arm riscv'
	for target in examples/hypervisor c-tests/machines; do
		refuses MACHINE= 'arm' make --no-print-directory -C $target MACHINE=x86
	done
	refuses STORY= 'hypervisor linux migrate postcopy precopy transfer vm' make run STORY=long
	refuses 'STORY=linux MACHINE=' 'arm' make run STORY=linux MACHINE=riscv
	refuses MACHINE= 'STORY=linux.*arm' make --no-print-directory -C examples/hypervisor STORY=linux MACHINE=amd
	refuses STORY= 'hypervisor linux migrate postcopy precopy transfer vm' make --no-print-directory -C examples/hypervisor STORY=long
	refuses group 'host x86_64' scripts/setup.sh everything
	[ ! -e build ] || complain "left behind: $(find build)"
}

lock_files() {
	local before command
	PATH=$work/tools SETUP=0 scripts/setup.sh lib
	# Each out of date: the versions of our own packages are others.
	find . -name Cargo.lock -exec sed -i '/^name = "ax/{n;s/".*"/"0.0.0"/}' {} +
	before=$(find . -name Cargo.lock -exec sha256sum {} +)
	for command in "scripts/build-lib.sh host" "scripts/build-lib.sh aarch64" scripts/build-tools.sh \
		"scripts/header.sh check" scripts/loom.sh scripts/asan.sh scripts/tsan.sh; do
		fails_and_says 'lock file .*--locked' \
			env CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" $command
		[ "$before" = "$(find . -name Cargo.lock -exec sha256sum {} +)" ] ||
			complain "'$command' writes a lock file"
	done
}

bytecode() {
	local script
	for script in scripts/*.py link/*.py c-tests/*/*.py; do
		# They import what is beside them before they look at their arguments.
		env -u PYTHONDONTWRITEBYTECODE PYTHONPATH="$work/none" timeout 60 "$script" --help >/dev/null 2>&1 || true
	done
	[ -z "$(find . -name __pycache__)" ] || complain "left behind: $(find . -name __pycache__)"
}

case ${1:-} in
installs-nothing) installs_nothing ;;
names-the-missing) names_the_missing ;;
lock-files) lock_files ;;
values | bytecode) "$1" ;;
*) misuse "way '${1:-}' is not known; see the top of scripts/check-setup.sh" ;;
esac
[ $failures -eq 0 ] || die "$failures complaints"
say "$1: all well"
