#!/usr/bin/env bash
# setup.sh [GROUP...]: install what a target of the Makefile needs and is not there yet.
#
#   host     Rust and a C compiler                lib     host, and Rust's bare-metal targets
#   arm      AArch64 compiler and QEMU            riscv   RISC-V compiler and QEMU
#   amd      x86 compiler, QEMU and Bochs         intel   x86 compiler and Bochs
#   header   host, and cbindgen                   check   rustfmt, clippy, clang-format
#   licenses host, and cargo-deny                 docs    Doxygen, Graphviz
#   bench    Valgrind                             test    all but check, CMake, Ninja, cmocka, clang, ...
#   shots    Chromium, for `scripts/docs.sh shots`; never without its name
#
# Without a group: all. Safe to run again; quiet about what is there already. Which Rust it chose
# is left in build/toolchain.env for the other scripts.

set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"

# usage: the comment at the top of this file.
usage() { sed -n '2,/^$/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; }

RUST_MINIMUM=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
DOWNLOAD_SECONDS=300
BARE_TARGETS=("$(bare_target x86_64)" "$(bare_target aarch64)" "$(bare_target riscv64)")
DEBIAN_CARGO="env RUSTC=/usr/bin/rustc /usr/bin/cargo"

# --- Debian packages ---------------------------------------------------------------------------

apt_is_updated=no

# apt_install PACKAGE...: as root, by sudo, or tell the person what to type.
apt_install() {
	local as_root=()
	if ! have apt-get; then
		say "This system has no apt-get. Please install, by its own means, what Debian calls:"
		say "    $*"
		die "something is missing (see above); run scripts/setup.sh again afterwards"
	fi
	if [ "$(id -u)" -ne 0 ]; then
		have sudo || die "not root and no sudo; as root, run: apt-get install $*"
		as_root=(sudo)
	fi
	if [ $apt_is_updated = no ]; then
		run "${as_root[@]}" apt-get -qq update ||
			say "(some package lists did not update; going on with those there are)"
		apt_is_updated=yes
	fi
	run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" </dev/null
}

# want PACKAGE CHECK...: put a package on the list unless its check succeeds.
want() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 || wanted+=("$package")
}

c_builds() { echo '#include <stdio.h>' | cc -E -; }
cmocka_is_there() { pkg-config --exists cmocka; }
qemu_has_roms() { [ -e /usr/lib/ipxe/qemu/efi-virtio.rom ] || ! have apt-get; }
bochs_has_terminal() { compgen -G '/usr/lib/*/bochs/plugins/libbx_term*' || ! have apt-get; }
x86_compiler() { [ "$(uname -m)" = x86_64 ] && echo gcc || echo gcc-x86-64-linux-gnu; }

want_packages_of() {
	case $1 in
	host | lib | header | licenses)
		want gcc have cc
		want libc6-dev c_builds
		want ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
		want binutils have ld
		want python3 have python3
		if [ "$1" = lib ]; then
			for arch in x86_64 aarch64 riscv64; do
				want "$(binutils_package $arch)" have "$(binutils_of $arch)ld"
			done
		fi
		;;
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
	test)
		want cmake have cmake
		want ninja-build have ninja
		want pkgconf have pkg-config
		want libcmocka-dev cmocka_is_there
		want g++ have g++
		want clang have clang
		want lld have ld.lld
		want abigail-tools have abidiff
		;;
	bench) want valgrind have valgrind ;;
	check) want clang-format have clang-format ;;
	docs)
		want doxygen have doxygen
		want graphviz have dot
		want python3 have python3
		;;
	shots) want chromium have chromium ;;
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

has_targets() {
	local sysroot target
	sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
	for target in "${BARE_TARGETS[@]}"; do
		[ -d "$sysroot/lib/rustlib/$target/lib" ] || return 1
	done
}

has_debian_rust() { new_enough /usr/bin/rustc && [ -x /usr/bin/cargo ]; }

install_debian_rust() {
	apt_install "$@"
	new_enough /usr/bin/rustc ||
		die "Rust $RUST_MINIMUM or later is needed, apt has $(rust_version /usr/bin/rustc);" \
			"add Debian's security list to apt's sources, or install Rust from https://rustup.rs"
}

# What an earlier run for another group chose stays.
HOST_CARGO=
BARE_CARGO=
BARE_FLAGS=
CBINDGEN=
# shellcheck source=/dev/null
[ ! -f "$TOOLCHAIN_ENV" ] || . "$TOOLCHAIN_ENV"

choose_host_rust() {
	if new_enough rustc && have cargo; then
		HOST_CARGO=cargo
	elif have rustup && run timeout $DOWNLOAD_SECONDS \
		rustup toolchain install stable --profile minimal && new_enough rustc; then
		HOST_CARGO=cargo
	else
		has_debian_rust || install_debian_rust cargo-web rustc-web
		HOST_CARGO=$DEBIAN_CARGO
		! { new_enough rustc && have cargo; } || HOST_CARGO=cargo
	fi
}

choose_bare_rust() {
	if [ "$HOST_CARGO" = cargo ] && has_targets; then
		BARE_CARGO=cargo
		BARE_FLAGS=
	elif [ "$HOST_CARGO" = cargo ] && have rustup &&
		run timeout $DOWNLOAD_SECONDS rustup target add "${BARE_TARGETS[@]}" && has_targets; then
		BARE_CARGO=cargo
		BARE_FLAGS=
	else
		# core is then built from Debian's source, with the language features it needs allowed.
		{ has_debian_rust && [ -d /usr/lib/rustlib/src/rust/library/core ]; } ||
			install_debian_rust cargo-web rustc-web rust-web-src
		BARE_CARGO="env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo"
		BARE_FLAGS="-Zbuild-std=core -Zbuild-std-features=compiler-builtins-mem"
	fi
}

choose_cbindgen() {
	local candidate
	for candidate in "$BUILD/tools/bin/cbindgen" cbindgen; do
		if [ "$("$candidate" --version 2>/dev/null)" = "cbindgen $CBINDGEN_VERSION" ]; then
			CBINDGEN=$candidate
			return
		fi
	done
	# The exact version: another one lays the header out differently.
	host_cargo install --quiet --locked --root "$BUILD/tools" --version "$CBINDGEN_VERSION" cbindgen ||
		die "cbindgen did not build; cargo needs to reach crates.io for it"
	CBINDGEN=$BUILD/tools/bin/cbindgen
}

choose_cargo_deny() {
	[ "$("$BUILD/tools/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $CARGO_DENY_VERSION" ] ||
		host_cargo install --quiet --locked --root "$BUILD/tools" --version "$CARGO_DENY_VERSION" \
			cargo-deny ||
		die "cargo-deny did not build; cargo needs to reach crates.io for it"
}

find_rust_checkers() {
	if [ "$HOST_CARGO" = cargo ] && have rustup && ! { cargo fmt --version && cargo clippy --version; } \
		>/dev/null 2>&1; then
		run timeout $DOWNLOAD_SECONDS rustup component add rustfmt clippy || true
	fi
	cargo fmt --version >/dev/null 2>&1 || apt_install rustfmt-web
	# Debian 12 packages no clippy for this Rust.
	cargo clippy --version >/dev/null 2>&1 ||
		die "clippy is missing; it comes with the Rust of https://rustup.rs: rustup component add clippy"
}

describe_toolchain() {
	case $1 in
	cargo) say "$(rust_version rustc), from rustup or your PATH" ;;
	*) say "$(rust_version /usr/bin/rustc), Debian's${2:+; core built from source}" ;;
	esac
}

# remember: leave the choice for the other scripts; say it when it is news.
remember() {
	local new
	new=$(printf '%s=%q\n' HOST_CARGO "$HOST_CARGO" BARE_CARGO "$BARE_CARGO" \
		BARE_FLAGS "$BARE_FLAGS" CBINDGEN "$CBINDGEN")
	[ ! -f "$TOOLCHAIN_ENV" ] || [ "$(cat "$TOOLCHAIN_ENV")" != "$new" ] || return 0
	printf '%s\n' "$new" >"$TOOLCHAIN_ENV"
	say "Rust for the host: $(describe_toolchain "$HOST_CARGO")"
	[ -z "$BARE_CARGO" ] ||
		say "Rust for bare metal: $(describe_toolchain "$BARE_CARGO" "$BARE_FLAGS")"
}

# --- The groups --------------------------------------------------------------------------------

# has_group NAME
has_group() { case $groups in *" $1 "*) true ;; *) false ;; esac; }

# In the order in which they are dealt with: what may be missing for good comes last.
all_groups="host lib header licenses arm riscv amd intel docs bench test check"
groups=" "
for group in "${@:-all}"; do
	case $group in
	all) groups+="$all_groups " ;;
	test) groups+="${all_groups% check} " ;;
	host | lib | header | licenses | arm | riscv | amd | intel | docs | bench | check | shots) groups+="$group " ;;
	-h | --help)
		usage
		exit
		;;
	*)
		usage >&2
		die "no group '$group'"
		;;
	esac
done

wanted=()
for group in $all_groups shots; do
	! has_group "$group" || want_packages_of "$group"
done
if [ ${#wanted[@]} -gt 0 ]; then
	mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
	apt_install "${wanted[@]}"
fi

mkdir -p "$BUILD"
if has_group host || has_group lib || has_group header || has_group licenses || has_group check; then
	choose_host_rust
	! has_group lib || choose_bare_rust
	! has_group header || choose_cbindgen
	! has_group licenses || choose_cargo_deny
	remember
	! has_group check || find_rust_checkers
fi
