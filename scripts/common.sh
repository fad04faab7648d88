# SPDX-License-Identifier: MIT OR Apache-2.0
# Sourced by the scripts beside it: where things are, how to speak, which Rust to call.
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build
TOOLCHAIN_ENV=$BUILD/toolchain.env
BARE_ARCHITECTURES="x86_64 aarch64 riscv64"
FORMATS_KNOWN="intel-ept amd-npt arm-stage2 riscv-gstage"

# SETUP=0: nothing is installed, not by rustup's proxies either.
SETUP=${SETUP:-1}
[ "$SETUP" != 0 ] || export RUSTUP_AUTO_INSTALL=0

# Where the scripts look for archives, whatever the caller's environment says.
export CARGO_TARGET_DIR=$ROOT/target
# The tools have the library built with other features: not in the archives' directory.
TOOLS_TARGET=$ROOT/target/tools

say() { printf '%s\n' "$*"; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# misuse TEXT...: what was asked for is not there.
misuse() {
	printf 'error: %s\n' "$*" >&2
	exit 2
}

# run COMMAND...: show a command, then run it.
run() {
	printf '+ %s\n' "$*"
	"$@"
}

have() { command -v "$1" >/dev/null 2>&1; }

# Bash calls this for a command that is not there.
command_not_found_handle() { die "$1 is missing; run: scripts/setup.sh"; }

# need COMMAND...: for those that others call.
need() {
	local command
	for command; do
		have "$command" || command_not_found_handle "$command"
	done
}

# package_version: the one of Cargo.toml.
package_version() { sed -n 's/^version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n1; }

# rustup installs here; a login shell may not have read its profile yet.
case ":$PATH:" in
*":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
*) PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin ;;
esac

# tools_cargo ARGUMENT...: cargo for what runs here. The names of our and cargo's directories are mapped away, so
# that a tool is the same from wherever it was built and wherever its crates were.
tools_cargo() {
	local flags=-Cstrip=symbols place
	flags+=$'\x1f'--remap-path-prefix=$ROOT=/axaddrspace
	for place in "$ROOT/vendor" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
		flags+=$'\x1f'--remap-path-prefix=$place=/crates
	done
	CARGO_TARGET_DIR=$TOOLS_TARGET CARGO_ENCODED_RUSTFLAGS=$flags host_cargo "$@"
}

# bare_target ARCH: the Rust target triple of a bare-metal build.
bare_target() {
	case $1 in
	x86_64) echo x86_64-unknown-none ;;
	aarch64) echo aarch64-unknown-none-softfloat ;;
	riscv64) echo riscv64imac-unknown-none-elf ;;
	*) misuse "ARCH=$1 is not known; one of: host $BARE_ARCHITECTURES" ;;
	esac
}

# formats_of ARCH: the entry formats an architecture's processors walk; the host's tests want all.
formats_of() {
	case $1 in
	host) echo "${FORMATS_KNOWN// /,}" ;;
	x86_64) echo intel-ept,amd-npt ;;
	aarch64) echo arm-stage2 ;;
	riscv64) echo riscv-gstage ;;
	*) misuse "ARCH=$1 is not known; one of: host $BARE_ARCHITECTURES" ;;
	esac
}

# known_formats LIST: separated by commas, each of them one there is.
known_formats() {
	local format
	while read -rd , format; do
		[[ $format && $format != *' '* && " $FORMATS_KNOWN " == *" $format "* ]] ||
			misuse "FORMATS=$1: '$format' is not known; one or more of: ${FORMATS_KNOWN// /,}"
	done <<<"$1,"
}

# The parts that can be left out: their names, and the functions of each, in link/parts.
PARTS_KNOWN=$(sed -n 's/^\([a-z][a-z]*\).*/\1/p' "$ROOT/link/parts" | sort -u | tr '\n' ' ')

# parts_of ARCH: the host's tests want all.
parts_of() { [ "$1" != host ] || echo "$PARTS_KNOWN"; }

# known_parts LIST: separated by blanks.
known_parts() {
	local part
	for part in $1; do
		[[ " $PARTS_KNOWN" == *" $part "* ]] || misuse "PARTS=$1: '$part' is not known; some of: $PARTS_KNOWN"
	done
}

# What an archive has unless it is built without.
CAPABILITIES_KNOWN="windows replace keep populate released"

# known_capabilities LIST: separated by blanks.
known_capabilities() {
	local capability
	for capability in $1; do
		[[ " $CAPABILITIES_KNOWN " == *" $capability "* ]] ||
			misuse "WITHOUT=$1: '$capability' is not known; some of: $CAPABILITIES_KNOWN"
	done
}

# api_calls [PARTS]: the functions of the header, or those of an archive with these parts.
api_calls() {
	awk -v all=$((1 - ($# > 0))) -v parts=" ${1:-} " '
		FILENAME ~ /parts$/ { if (/^[a-z]/ && !all && !index(parts, " " $1 " ")) absent[$2]; next }
		match($0, /axas_[a-z0-9_]*/) && !((call = substr($0, RSTART, RLENGTH)) in absent) { print call }
	' "$ROOT/link/parts" "$ROOT/link/api.sym"
}

# known_calls LIST PARTS: separated by blanks, each of them a function of an archive with these parts.
known_calls() {
	local call known
	known=" $(api_calls "$2" | tr '\n' ' ')"
	for call in $1; do
		[[ $known == *" $call "* ]] || misuse "CALLS=$1: '$call' is not known; some of:$known"
	done
}

# bare_features ARCH: what a bare-metal archive is built with.
bare_features() { echo "$(formats_of "$1"),log,panic-handler,${CAPABILITIES_KNOWN// /,}"; }

# binutils_of ARCH: what the names of its binutils begin with.
binutils_of() {
	case $1 in
	host) echo ;;
	*) echo "$1-linux-gnu-" ;;
	esac
}

# binutils_package ARCH: what Debian calls them.
binutils_package() {
	case $1 in
	host) echo binutils ;;
	*) echo "binutils-${1/_/-}-linux-gnu" ;;
	esac
}

# Set-up wrote which Rust builds for the host and which for bare metal.
load_toolchain() {
	[ -f "$TOOLCHAIN_ENV" ] || die "no $TOOLCHAIN_ENV; run: scripts/setup.sh"
	# shellcheck source=/dev/null
	. "$TOOLCHAIN_ENV"
}

# The two words below are lists (a command with its environment): split on purpose. What is built is what
# the lock files say.
# shellcheck disable=SC2086
host_cargo() { run $HOST_CARGO --locked "$@"; }
# shellcheck disable=SC2086
bare_cargo() {
	[ -n "$BARE_CARGO" ] || die "no Rust for bare metal was chosen yet; run: scripts/setup.sh lib"
	run $BARE_CARGO --locked "$@"
}

# archive_of_commit COMMIT ARCH: the archive of a commit, built in a copy of its tree.
archive_of_commit() {
	local commit tree out
	commit=$(git -C "$ROOT" rev-parse --verify "$1^{commit}")
	tree=$BUILD/commits/$commit
	out=$tree/build/$2/libaxaddrspace.a
	if [ ! -f "$out" ]; then
		mkdir -p "$tree/build"
		git -C "$ROOT" archive "$commit" | tar -x -C "$tree"
		cp "$TOOLCHAIN_ENV" "$tree/build/"
		env -u FORMATS -u CALLS -u LOG "$tree/scripts/build-lib.sh" "$2" >&2
		rm -rf "$tree/target"
	fi
	echo "$out"
}
