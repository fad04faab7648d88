#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# setup.sh [GROUP...]: install what a target of the Makefile needs and is not there yet.
#
#   host     Rust and a C compiler                x86_64 aarch64 riscv64   host, and what one bare-metal archive needs
#   lib      x86_64, aarch64 and riscv64          arm      AArch64 compiler and QEMU
#   riscv    RISC-V compiler and QEMU             amd      x86 compiler, QEMU and Bochs
#   intel    x86 compiler and Bochs               quick    host, CMake, Ninja, cmocka
#   licenses host, and a reader of licences       check    host, rustfmt, clippy, clang-format, cppcheck, reuse
#   docs     Doxygen, Graphviz                    bench    Valgrind
#   abi      x86 compiler, abidiff                dist     host and cargo-cyclonedx, compiled for a minute, for `make dist`
#   test     all of these but check, and clang, lld, g++, reuse
#   shots    Chromium, for `scripts/docs.sh shots`; never without its name
#   mutants  cargo-mutants, compiled for minutes, for `make mutants`; never without its name
#   coverage llvm-cov of this Rust, for `make coverage`; never without its name
#   fuzz     g++ and cargo-fuzz, compiled for minutes, for `make fuzz`; never without its name
#
# Without a group: all. Safe to run again; quiet about what is there already. Which Rust it chose
# is left in build/toolchain.env for the other scripts. With SETUP=0 nothing is installed: what is
# missing is named, with the command that brings it.

set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"

# usage: the comment at the top of this file.
usage() { sed -n '3,/^$/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; }

RUST_MINIMUM=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
DOWNLOAD_SECONDS=300
DEBIAN_CARGO="env RUSTC=/usr/bin/rustc /usr/bin/cargo"

# --- Debian packages ---------------------------------------------------------------------------

apt_is_updated=no

# apt_install PACKAGE...: as root, by sudo, or tell the person what to type.
apt_install() {
	local as_root=() command="apt-get install --no-install-recommends $*"
	local what="missing: ${missing[*]:-$*}"
	have apt-get || die "$what. This system has no apt-get; by its own means install what Debian calls: $*"
	[ "$SETUP" != 0 ] || die "$what. SETUP=0 installs nothing; as root, run: $command"
	if [ "$(id -u)" -ne 0 ]; then
		have sudo || die "$what. Neither root nor sudo; as root, run: $command"
		as_root=(sudo)
	fi
	say "$what; apt-get installs it now, the first time for minutes (README.md has times and disk)"
	if [ $apt_is_updated = no ]; then
		run "${as_root[@]}" apt-get -qq update ||
			say "(some package lists did not update; going on with those there are)"
		apt_is_updated=yes
	fi
	run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" </dev/null ||
		die "$what. apt-get did not install it (see above); where its packages can be reached, as root, run: $command"
	missing=()
}

wanted=()  # packages
missing=() # what they bring

# want PACKAGE CHECK...: put a package on the list unless its check succeeds.
want() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 && return
	wanted+=("$package")
	[ "$1" = have ] && missing+=("$2") || missing+=("$package")
}

c_builds() { echo '#include <stdio.h>' | cc -E -; }
cmocka_is_there() { pkg-config --exists cmocka; }
qemu_has_roms() { [ -e /usr/lib/ipxe/qemu/efi-virtio.rom ] || ! have apt-get; }
bochs_has_terminal() { compgen -G '/usr/lib/*/bochs/plugins/libbx_term*' || ! have apt-get; }
x86_compiler() { [ "$(uname -m)" = x86_64 ] && echo gcc || echo gcc-x86-64-linux-gnu; }

want_packages_of() {
	case $1 in
	host)
		want gcc have cc
		want libc6-dev c_builds
		want binutils have ld
		want python3 have python3
		# For downloads of crates and Rust.
		[ "$SETUP" = 0 ] || want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
		;;
	x86_64 | aarch64 | riscv64) want "$(binutils_package "$1")" have "$(binutils_of "$1")ld" ;;
	licenses) want python3-license-expression /usr/bin/python3 -c 'import license_expression' ;;
	arm)
		want gcc-aarch64-linux-gnu have aarch64-linux-gnu-gcc
		want qemu-system-arm have qemu-system-aarch64
		want ipxe-qemu qemu_has_roms
		;;
	riscv)
		want gcc-riscv64-linux-gnu have riscv64-linux-gnu-gcc
		want qemu-system-misc have qemu-system-riscv64
		want ipxe-qemu qemu_has_roms
		;;
	amd | intel)
		want "$(x86_compiler)" have x86_64-linux-gnu-gcc
		[ "$1" = intel ] || want qemu-system-x86 have qemu-system-x86_64
		want bochs have bochs
		want bochs-term bochs_has_terminal
		;;
	quick)
		want cmake have cmake
		want ninja-build have ninja
		want pkgconf have pkg-config
		want libcmocka-dev cmocka_is_there
		;;
	abi)
		want "$(x86_compiler)" have x86_64-linux-gnu-gcc
		want abigail-tools have abidiff
		;;
	test)
		want g++ have g++
		want clang have clang
		want lld have ld.lld
		want reuse have reuse
		;;
	bench) want valgrind have valgrind ;;
	check)
		want clang-format have clang-format
		want cppcheck have cppcheck
		want reuse have reuse
		;;
	docs)
		want doxygen have doxygen
		want graphviz have dot
		want python3 have python3
		;;
	shots) want chromium have chromium ;;
	mutants) want patch have patch ;;
	fuzz) want g++ have g++ ;;
	esac
}

# --- Rust --------------------------------------------------------------------------------------

# Under a time-out: a rustup proxy may start a download of its own, and that may hang.
rust_version() { timeout $DOWNLOAD_SECONDS "$1" --version 2>/dev/null | cut -d' ' -f2; }

new_enough() {
	local version
	version=$(rust_version "$1") && [ -n "$version" ] &&
		[ "$(printf '%s\n' "$RUST_MINIMUM" "$version" | sort -V | head -n1)" = "$RUST_MINIMUM" ]
}

# has_targets TARGET...: the Rust on the PATH has them.
has_targets() {
	local sysroot target
	sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
	for target; do
		[ -d "$sysroot/lib/rustlib/$target/lib" ] || return 1
	done
}

# by_rustup ARGUMENT...: unless nothing is to be installed.
by_rustup() { [ "$SETUP" != 0 ] && have rustup && run timeout $DOWNLOAD_SECONDS rustup "$@"; }

has_debian_rust() { new_enough /usr/bin/rustc && [ -x /usr/bin/cargo ]; }

# install_debian_rust WHAT PACKAGE...
install_debian_rust() {
	missing=("$1")
	apt_install "${@:2}"
	new_enough /usr/bin/rustc ||
		die "Rust $RUST_MINIMUM or later is needed, apt has $(rust_version /usr/bin/rustc);" \
			"add Debian's security list to apt's sources, or install Rust from https://rustup.rs"
}

# What an earlier run for another group chose stays.
HOST_CARGO=
BARE_CARGO=
BARE_FLAGS=
# shellcheck source=/dev/null
[ ! -f "$TOOLCHAIN_ENV" ] || . "$TOOLCHAIN_ENV"

choose_host_rust() {
	if new_enough rustc && have cargo; then
		HOST_CARGO=cargo
	elif by_rustup toolchain install stable --profile minimal && new_enough rustc; then
		HOST_CARGO=cargo
	else
		has_debian_rust ||
			install_debian_rust "cargo and rustc, $RUST_MINIMUM or later (https://rustup.rs has them too)" \
				cargo-web rustc-web
		HOST_CARGO=$DEBIAN_CARGO
		! { new_enough rustc && have cargo; } || HOST_CARGO=cargo
	fi
}

# choose_bare_rust TARGET...
choose_bare_rust() {
	BARE_CARGO=cargo
	BARE_FLAGS=
	if [ "$HOST_CARGO" != cargo ] ||
		! { has_targets "$@" || { by_rustup target add "$@" && has_targets "$@"; }; }; then
		# core is then built from Debian's source, with the language features it needs allowed.
		{ has_debian_rust && [ -d /usr/lib/rustlib/src/rust/library/core ]; } ||
			install_debian_rust "Rust's $* (rustup has it too: rustup target add $*)" \
				cargo-web rustc-web rust-web-src
		BARE_CARGO="env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo"
		BARE_FLAGS="-Zbuild-std=core -Zbuild-std-features=compiler-builtins-mem"
	fi
}

find_rust_checkers() {
	if [ "$HOST_CARGO" = cargo ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
		by_rustup component add rustfmt clippy || true
	fi
	cargo fmt --version >/dev/null 2>&1 || apt_install rustfmt-web
	# Debian 12 packages no clippy for this Rust.
	cargo clippy --version >/dev/null 2>&1 ||
		die "clippy is missing; it comes with the Rust of https://rustup.rs: rustup component add clippy"
}

# For one target only, and pinned: the sample of a seed depends on the first.
CARGO_MUTANTS=27.1.0
CARGO_FUZZ=0.13.2
CARGO_CYCLONEDX=0.5.9

# install_cargo_tool NAME VERSION [OPTION...]: cargo-NAME, compiled into build/tools.
install_cargo_tool() {
	[[ $("$BUILD/tools/bin/cargo-$1" "$1" --version 2>/dev/null) != "cargo-$1"*" $2" ]] || return 0
	local command="$HOST_CARGO install --locked --root $BUILD/tools --version =$2 ${*:3} cargo-$1"
	[ "$SETUP" != 0 ] || die "missing: cargo-$1. SETUP=0 installs nothing; run: $command"
	say "missing: cargo-$1; it is compiled now, which takes minutes"
	# shellcheck disable=SC2086  # HOST_CARGO is a list
	CARGO_TARGET_DIR=$BUILD/tools/cargo-$1-target run $command
	rm -rf "$BUILD/tools/cargo-$1-target"
}

# Debian's Rust comes without these tools, and those of another LLVM do not read its profiles.
find_llvm_tools() {
	[ ! -x "$(rustc --print sysroot)/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/llvm-cov" ] || return 0
	by_rustup component add llvm-tools ||
		die "llvm-cov is missing; it comes with the Rust of https://rustup.rs: rustup component add llvm-tools"
}

# describe_rust CARGO FLAGS: the compiler, and where it is from.
describe_rust() {
	local rustc=/usr/bin/rustc
	[ "$1" != cargo ] || rustc=$(command -v rustc)
	if have rustup && [ "$(rustup which rustc 2>/dev/null)" = "$("$rustc" --print sysroot)/bin/rustc" ]; then
		say "$(rust_version "$rustc"), from rustup"
	elif have dpkg && dpkg -S "$(readlink -f "$rustc")" >/dev/null 2>&1; then
		say "$(rust_version "$rustc"), from Debian's package${2:+; core is built from its source}"
	else
		say "$(rust_version "$rustc"), $rustc"
	fi
}

# remember: leave the choice for the other scripts; say it when it is news.
remember() {
	local new
	new=$(printf '%s=%q\n' HOST_CARGO "$HOST_CARGO" BARE_CARGO "$BARE_CARGO" BARE_FLAGS "$BARE_FLAGS")
	[ ! -f "$TOOLCHAIN_ENV" ] || [ "$(cat "$TOOLCHAIN_ENV")" != "$new" ] || return 0
	mkdir -p "$BUILD"
	printf '%s\n' "$new" >"$TOOLCHAIN_ENV.new"
	mv "$TOOLCHAIN_ENV.new" "$TOOLCHAIN_ENV"
	say "Rust for the host: $(describe_rust "$HOST_CARGO" '')"
	[ -z "$BARE_CARGO" ] || say "Rust for bare metal: $(describe_rust "$BARE_CARGO" "$BARE_FLAGS")"
}

# --- The groups --------------------------------------------------------------------------------

# has_group NAME
has_group() { case $groups in *" $1 "*) true ;; *) false ;; esac; }

# In the order in which they are dealt with: what may be missing for good comes last.
all_groups="host x86_64 aarch64 riscv64 licenses arm riscv amd intel docs bench abi quick dist test check"
groups=" "
for group in "${@:-all}"; do
	case $group in
	all) groups+="$all_groups " ;;
	test) groups+="${all_groups% check} " ;;
	lib) groups+="host $BARE_ARCHITECTURES " ;;
	x86_64 | aarch64 | riscv64 | licenses | quick | dist | check) groups+="host $group " ;;
	mutants | coverage | fuzz) groups+="host $group " ;;
	host | arm | riscv | amd | intel | docs | bench | abi | shots) groups+="$group " ;;
	-h | --help)
		usage
		exit
		;;
	*) misuse "no group '$group'; one of: $all_groups lib shots mutants coverage fuzz all" ;;
	esac
done

for group in $all_groups shots mutants coverage fuzz; do
	! has_group "$group" || want_packages_of "$group"
done
if [ ${#wanted[@]} -gt 0 ]; then
	mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
	mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
	apt_install "${wanted[@]}"
fi

if has_group host; then
	choose_host_rust
	targets=()
	for arch in $BARE_ARCHITECTURES; do
		! has_group "$arch" || targets+=("$(bare_target "$arch")")
	done
	[ ${#targets[@]} -eq 0 ] || choose_bare_rust "${targets[@]}"
	remember
	! has_group check || find_rust_checkers
	# Not optimised, it is there in half the time.
	! has_group dist || CARGO_PROFILE_DEV_DEBUG=0 install_cargo_tool cyclonedx $CARGO_CYCLONEDX --debug
	! has_group mutants || install_cargo_tool mutants $CARGO_MUTANTS
	! has_group coverage || find_llvm_tools
	! has_group fuzz || install_cargo_tool fuzz $CARGO_FUZZ
fi
