#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# bare-root.sh [RUST [COMMAND...]]: what somebody sees whose first commands after `git clone` are `make run`
# and `make test`: run each as the first one in a Debian 12 of its own with git and make and nothing else.
# What is committed is tried. COMMAND `sources`: the tarball that `make dist` left in build/dist makes the host's archive,
# the same as build/host, axas-inspect and a C program there, with gcc, Python 3 and RUST and without a network. RUST is `debian` (no Rust there), `rustup` (a copy of this machine's rustup
# and stable toolchain, without targets) or, if left out, both, one after the other. COMMAND is `run`, `test`,
# `test-quick` or `sources`; the first two, if left out. Packages come from where this machine's apt takes them, crates likewise.
#
# Logs are left in build/bare-root/RUST-COMMAND.txt. Needs root, debootstrap, about 8 GB below build/.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
suite=bookworm
out=$BUILD/bare-root

rusts=(debian rustup)
commands=(run test)
case ${1:-} in
debian | rustup) rusts=("$1") && shift ;;
'' | run | test-quick | test | sources) ;;
*) misuse "RUST=$1 is not known; one of: debian rustup" ;;
esac
[ $# -eq 0 ] || commands=("$@")
for command in "${commands[@]}"; do
	case $command in
	run | test-quick | test | sources) ;;
	*) misuse "COMMAND=$command is not known; one of: run test-quick test sources" ;;
	esac
done

[ "$(id -u)" -eq 0 ] || die "only root may chroot; run: sudo scripts/bare-root.sh"
have debootstrap || die "debootstrap is missing; run: apt-get install debootstrap"
chroot / true 2>/dev/null || die "this root may not chroot (a container?); run it on a machine of its own"
unshare --mount --pid --fork true 2>/dev/null ||
	die "this root may not make namespaces (a container?); run it on a machine of its own"
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
	awk -v suite=$suite '$1 == suite { print $2; exit }')
[ -n "$mirror" ] || die "this machine's apt knows no $suite; add its lists to /etc/apt and run: apt-get update"
case " ${rusts[*]} " in
*" rustup "*)
	have rustup && toolchain=$(rustup run stable rustc --print sysroot) ||
		die "no rustup with a stable toolchain to copy; run: scripts/bare-root.sh debian"
	;;
esac

mkdir -p "$out"
roots=$(mktemp -d "$out/roots.XXXXXX")
trap 'rm -rf "$roots"' EXIT

# The bare system, made once.
bare=$out/$suite.tar
if [ ! -f "$bare" ]; then
	run debootstrap --variant=minbase --include=git,make $suite "$roots/made" "$mirror" \
		>"$out/debootstrap.txt" 2>&1 || die "debootstrap failed; see $out/debootstrap.txt"
	tar --create --file "$bare.part" --directory "$roots/made" .
	mv "$bare.part" "$bare"
	rm -rf "$roots/made"
fi

# make_root DIRECTORY RUST: unpack it, take over where this machine gets packages from, clone.
make_root() {
	local root=$1 place
	mkdir "$root"
	tar --extract --file "$bare" --directory "$root"
	rm -rf "$root/etc/apt"
	for place in /etc/apt /etc/resolv.conf /etc/hosts /usr/local/share/ca-certificates \
		"${CARGO_HOME:-$HOME/.cargo}"/config{,.toml}; do
		[ ! -e "$place" ] || install_copy "$place" "$root"
	done
	if [ "$2" = rustup ]; then
		mkdir -p "$root/root/.cargo" "$root/root/.rustup/toolchains"
		cp -a "${CARGO_HOME:-$HOME/.cargo}/bin" "$root/root/.cargo/"
		cp -a "${RUSTUP_HOME:-$HOME/.rustup}/settings.toml" "$root/root/.rustup/"
		cp -a "$toolchain" "$root/root/.rustup/toolchains/"
		inside "$root" rustup target remove "$(bare_target x86_64)" "$(bare_target aarch64)" \
			"$(bare_target riscv64)" >/dev/null 2>&1 || true # there were none
	fi
	git clone --quiet --no-local "$ROOT" "$root/root/axaddrspace"
}

# install_copy PLACE ROOT: cargo's configuration goes to root's home, the rest to where it was.
install_copy() {
	local place=$1
	case $place in
	*/config | */config.toml) place=/root/.cargo/${place##*/} ;;
	esac
	mkdir -p "$2$(dirname "$place")"
	cp -aL "$1" "$2$(dirname "$place")/"
}

# How this machine reaches the network, and nothing else of its environment.
mapfile -t reach < <(env | grep -iE '^(https?|ftp|all|no)_proxy=|^SSL_CERT_(FILE|DIR)=|^CURL_CA_BUNDLE=' || true)
mapfile -t -O ${#reach[@]} reach < <(env |
	grep -E '^CARGO_(HTTP|NET|REGISTRIES|REGISTRY|SOURCE)_|^RUSTUP_(DIST_SERVER|UPDATE_ROOT)=' || true)

# inside ROOT COMMAND...: with /proc, /sys and /dev, which go when the command ends.
inside() {
	local root=$1
	shift
	# shellcheck disable=SC2016  # for the inner shell
	unshare --mount --pid --fork --kill-child bash -c '
		mount -t proc proc "$0/proc"
		mount --rbind /sys "$0/sys"
		mount --rbind /dev "$0/dev"
		exec chroot "$@"' "$root" "$root" env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
		PATH=/root/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"${reach[@]}" bash -c 'cd /root && "$@"' bash "$@" </dev/null
}

# put_sources ROOT: those of the release in the place of the clone, and what of Debian they need beside Rust.
put_sources() {
	local sources=("$BUILD"/dist/axaddrspace-*-source.tar.gz)
	[ -f "${sources[0]}" ] || die "no tarball in build/dist; run: make dist"
	rm -rf "$1/root/axaddrspace"
	mkdir "$1/root/axaddrspace"
	tar --extract --file "${sources[0]}" --directory "$1/root/axaddrspace" --strip-components=1
	inside "$1" bash -c 'apt-get -qq update && apt-get -qq -y --no-install-recommends install gcc libc6-dev python3' \
		>"$out/sources-packages.txt" 2>&1 || die "apt-get failed; see $out/sources-packages.txt"
}

# build_sources ROOT
build_sources() {
	inside "$1" unshare --net bash -c "cd axaddrspace && make SETUP=0 ARCH=host lib tools &&
		gcc -Iinclude examples/minimal.c build/host/libaxaddrspace.a -o minimal && ./minimal && build/bin/axas-inspect --version" &&
		cmp "$1/root/axaddrspace/build/host/libaxaddrspace.a" "$BUILD/host/libaxaddrspace.a" &&
		say "built without a network, the same archive"
}

TIMEFORMAT='%0R s, %0U and %0S s of CPU time'
code=0
for rust in "${rusts[@]}"; do
	for command in "${commands[@]}"; do
		[ "$command $rust" != 'sources debian' ] ||
			{ say "sources: by rustup's Rust alone, which made the archive that is here" && continue; }
		log=$out/$rust-$command.txt
		root=$roots/$rust-$command
		make_root "$root" "$rust"
		attempt=(inside "$root" make --no-print-directory -C axaddrspace "$command")
		[ "$command" != sources ] || { put_sources "$root" && attempt=(build_sources "$root"); }
		say "make $command with ${rust/debian/no Rust}; log: $log"
		before=$(du -sm "$root" | cut -f1)
		ended=0
		{ time "${attempt[@]}" >"$log" 2>&1; } 2>"${log%.txt}.time" || ended=$?
		[ $ended -eq 0 ] || code=1
		say "make $command with ${rust/debian/no Rust}: exit code $ended, $(cat "${log%.txt}.time"), $((
			$(du -sm "$root" | cut -f1) - before)) MB more; it closed with: $(tail -n1 "$log")"
		rm -rf "$root"
	done
done
exit $code
