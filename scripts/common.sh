# Sourced by the scripts beside it: where things are, how to speak, which Rust to call.
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/build
TOOLCHAIN_ENV=$BUILD/toolchain.env
CBINDGEN_VERSION=0.29.4
CARGO_DENY_VERSION=0.20.2

# Where the scripts look for archives, whatever the caller's environment says.
export CARGO_TARGET_DIR=$ROOT/target

say() { printf '%s\n' "$*"; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# run COMMAND...: show a command, then run it.
run() {
	printf '+ %s\n' "$*"
	"$@"
}

have() { command -v "$1" >/dev/null 2>&1; }

# rustup installs here; a login shell may not have read its profile yet.
case ":$PATH:" in
*":${CARGO_HOME:-$HOME/.cargo}/bin:"*) ;;
*) PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin ;;
esac

# bare_target ARCH: the Rust target triple of a bare-metal build.
bare_target() {
	case $1 in
	x86_64) echo x86_64-unknown-none ;;
	aarch64) echo aarch64-unknown-none-softfloat ;;
	riscv64) echo riscv64imac-unknown-none-elf ;;
	*) die "ARCH=$1 is not known; one of: host x86_64 aarch64 riscv64" ;;
	esac
}

# bare_features ARCH: the entry formats an architecture's processors walk.
bare_features() {
	case $1 in
	x86_64) echo intel-ept,amd-npt,log ;;
	aarch64) echo arm-stage2,log ;;
	riscv64) echo riscv-gstage,log ;;
	*) die "ARCH=$1 is not known; one of: host x86_64 aarch64 riscv64" ;;
	esac
}

# Set-up wrote which Rust builds for the host and which for bare metal.
load_toolchain() {
	[ -f "$TOOLCHAIN_ENV" ] || die "no $TOOLCHAIN_ENV; run: scripts/setup.sh"
	# shellcheck source=/dev/null
	. "$TOOLCHAIN_ENV"
}

# The two words below are lists (a command with its environment): split on purpose.
# shellcheck disable=SC2086
host_cargo() { run $HOST_CARGO "$@"; }
# shellcheck disable=SC2086
bare_cargo() { run $BARE_CARGO "$@"; }
