#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-install.sh WAY [ARCH]: c-tests/consumers, a project outside this one, finds the library and runs.
#
#   install            put the files down for those that follow: staged first, then moved, as a packager does
#   pkg-config ARCH    find_package ARCH        of what was put down, for host, x86_64, aarch64 or riscv64
#   documents          every link of the pages leads somewhere
#   versions           every file says the same version; find_package takes what is compatible and refuses what is not
#   add_subdirectory ARCH    FetchContent       of these sources
#   dist               of the release, unpacked; its sources make the same release in another place without a network,
#                      and none where something is not committed or a check fails
#   uninstall          nothing stays behind of another installation
#
# The paths have spaces in them.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
way=${1:-}
arch=${2:-host}
out="$BUILD/consumers"
installed="$out/some where/usr"
consumers=$ROOT/c-tests/consumers

formats_of "$arch" >/dev/null
[ "$arch" = host ] || need "$arch-linux-gnu-gcc"
case $arch in
aarch64 | riscv64) need "qemu-system-$arch" ;;
esac

# run_consumer FILE: where its architecture runs.
run_consumer() {
	case $arch in
	aarch64)
		run timeout 60 qemu-system-aarch64 -M virt -cpu cortex-a53 -display none -semihosting \
			-kernel "$1"
		;;
	riscv64)
		run timeout 60 qemu-system-riscv64 -M virt -cpu rv64 -display none -bios none -kernel "$1"
		;;
	*) run "$1" ;;
	esac || die "the consumer for $arch ended with $?: see that line of c-tests/consumers/main.c"
}

# build_consumer NAME OPTION...: by CMake, into a directory of its own.
build_consumer() {
	local build="$out/some where/$1"
	shift
	need cmake ninja
	rm -rf "$build"
	[ "$arch" = host ] || set -- "$@" "-DCMAKE_TOOLCHAIN_FILE=$consumers/bare/$arch.cmake"
	run cmake -S "$consumers" -B "$build" -G Ninja "$@"
	run cmake --build "$build"
	run_consumer "$build/consumer"
}

case $way in
install)
	rm -rf "$out"
	mkdir -p "$out/some where"
	scripts/install.sh "$installed" "$out/stage" host x86_64 aarch64 riscv64
	mv "$out/stage$installed" "$installed"
	;;
documents)
	run scripts/check-docs.py installed "$installed"
	;;
pkg-config)
	need pkg-config
	export PKG_CONFIG_PATH="$installed/lib/pkgconfig"
	module=axaddrspace sources=$consumers/main.c cc=cc flags=
	if [ "$arch" != host ]; then
		module+=-$arch
		sources+=" $consumers/bare/start.c"
		cc=$arch-linux-gnu-gcc
		flags="@$consumers/bare/$arch.flags -T $consumers/bare/ram.ld"
	fi
	# As a Makefile does it: its shell splits what pkg-config says, and takes the quotes away.
	printf 'consumer:\n\t%s -std=c11 %s %s $(shell pkg-config --cflags --libs %s) -o %s\n' \
		"$cc" "$flags" "$sources" "$module" "$out/pkg-config-$arch" >"$out/pkg-config-$arch.mk"
	run make -f "$out/pkg-config-$arch.mk"
	run_consumer "$out/pkg-config-$arch"
	header_version=$(awk '$2 ~ /^AXAS_VERSION_(MAJOR|MINOR|PATCH)$/ { print $3 + 0 }' \
		"$installed/include/axaddrspace.h" | paste -sd.)
	[ "$(pkg-config --modversion axaddrspace)" = "$header_version" ] ||
		die "pkg-config says version $(pkg-config --modversion axaddrspace), the header $header_version"
	;;
find_package)
	build_consumer "find_package $arch" -DWAY=find_package "-DCMAKE_PREFIX_PATH=$installed" \
		-DVERSION="$(package_version)"
	;;
versions)
	IFS=. read -r major minor patch <<<"$(package_version)"
	# is FILE PATTERN VERSION: the pattern's one group is the version in the file.
	is() {
		local found
		found=$(sed -nE "s/$2/\\1/p" "$1" | head -n1)
		[ "$found" = "$3" ] || die "$1 says version '$found', Cargo.toml $(package_version)"
	}
	is include/axaddrspace.h '^#define AXAS_VERSION_MAJOR ([0-9]+)u$' "$major"
	is include/axaddrspace.h '^#define AXAS_VERSION_MINOR ([0-9]+)u$' "$minor"
	is include/axaddrspace.h '^#define AXAS_VERSION_PATCH ([0-9]+)u$' "$patch"
	is tools/axas-inspect/Cargo.toml '^version = "(.*)"' "$major.$minor.$patch"
	is CHANGELOG.md '^## ([0-9.]+) .*' "$major.$minor.$patch"
	is README.md '.*find_package\(axaddrspace ([0-9.]+) REQUIRED\).*' "$major.$minor"
	is docs/stability.md '^## What ([0-9.]+) promises' "$major.$minor"
	# asks REQUEST OPTION...: configure a project that wants this version.
	asks() {
		rm -rf "$out/asks"
		mkdir "$out/asks"
		printf '%s\n' 'cmake_minimum_required(VERSION 3.21)' 'project(asks LANGUAGES NONE)' \
			"find_package(axaddrspace $1 REQUIRED)" >"$out/asks/CMakeLists.txt"
		shift
		cmake -S "$out/asks" -B "$out/asks/build" "-DCMAKE_PREFIX_PATH=$installed" "$@" \
			>"$out/asks/log" 2>&1
	}
	for request in "" "$major.$minor" "$major.$minor.$patch" "$major.$minor.$patch EXACT"; do
		asks "$request" || die "find_package(axaddrspace $request) fails: $(cat "$out/asks/log")"
	done
	for request in "$major.$((minor + 1))" "$((major + 1)).0" "$major.$minor.$((patch + 1))" \
		"$major.$minor.$((patch + 1)) EXACT"; do
		! asks "$request" || die "find_package(axaddrspace $request) finds $(package_version)"
		grep -q 'version: ' "$out/asks/log" || die "$(cat "$out/asks/log")"
	done
	! asks "" -DCMAKE_SYSTEM_NAME=Generic -DCMAKE_SYSTEM_PROCESSOR=mips || die "there is no mips"
	grep -q 'no archive for' "$out/asks/log" || die "$(cat "$out/asks/log")"
	;;
add_subdirectory)
	build_consumer "add_subdirectory $arch" -DWAY=add_subdirectory "-DSOURCE=$ROOT"
	;;
FetchContent)
	mkdir -p "$out"
	tar --create --gzip --file "$out/sources.tar.gz" --transform 's,^\./,sources/,' \
		--exclude=./build --exclude=./target --exclude=./.git .
	build_consumer FetchContent -DWAY=FetchContent "-DSOURCE=$out/sources.tar.gz"
	;;
dist)
	# bring PLACE ARCH...: archives that were built here.
	bring() {
		local place=$1 built
		install -D "$TOOLCHAIN_ENV" "$place/build/toolchain.env"
		for built in "${@:2}"; do
			install -D "build/$built/libaxaddrspace.a" "$place/build/$built/libaxaddrspace.a"
		done
		install -D build/tools/bin/cargo-cyclonedx "$place/build/tools/bin/cargo-cyclonedx"
	}
	need git
	export SOURCE_DATE_EPOCH=1700000000
	one="$out/some where/sources" other=$out/elsewhere/and/deeper
	scripts/build-tools.sh
	# These sources, what is not committed too.
	rm -rf "$one" "$other" "$out/home"
	mkdir -p "$one" "$other"
	tar --create --exclude=./build --exclude=./target --exclude=./.git --exclude=./vendor --exclude=./.cargo . |
		tar --extract --directory "$one"
	bring "$one" host x86_64 aarch64 riscv64
	install -D build/bin/axas-inspect "$one/build/bin/axas-inspect"
	run "$one/scripts/dist.sh"
	[ "$(cd "$one/build/dist" && echo *)" = "SHA256SUMS axaddrspace-$(package_version)-source.tar.gz axaddrspace-$(
		package_version)-$(uname -m)-linux.tar.gz" ] || die "their names: $(ls "$one/build/dist")"

	# From the sources in it, where neither cargo nor anything else can fetch.
	tar --extract --file "$one"/build/dist/*-source.tar.gz --directory "$other" --strip-components=1
	bring "$other" x86_64 aarch64 riscv64
	alone=(unshare --map-root-user --net)
	"${alone[@]}" true 2>/dev/null || {
		say "nobody may make a network namespace here: cargo is told not to use the network instead"
		alone=(env CARGO_NET_OFFLINE=true)
	}
	(
		umask 077
		mkdir "$out/home"
		export RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" HOME=$out/home CARGO_HOME=$out/home/.cargo
		run "${alone[@]}" make -C "$other" SETUP=0 lib ARCH=host
		run "${alone[@]}" make -C "$other" SETUP=0 tools
		run "${alone[@]}" "$other/scripts/dist.sh"
	)
	diff "$one/build/dist/SHA256SUMS" "$other/build/dist/SHA256SUMS" || die "the same sources made another release"

	installed="$out/some where/release"
	rm -rf "$installed"
	mkdir "$installed"
	(cd "$one/build/dist" && run sha256sum --check --strict SHA256SUMS)
	tar --extract --file "$one"/build/dist/*-linux.tar.gz --directory "$installed" --strip-components=1
	(cd "$installed" && sha256sum --check --quiet --strict SHA256SUMS)
	diff <(cd "$installed" && find . -type f ! -name SHA256SUMS | sort) \
		<(cut -c67- "$installed/SHA256SUMS") || die "SHA256SUMS lists something else"
	run scripts/check-docs.py installed "$installed"
	run "$installed/bin/axas-inspect" --version
	python3 - "$installed" <<-'END'
		import hashlib, json, pathlib, re, sys
		tree = pathlib.Path(sys.argv[1])
		documents = tree / "share/doc/axaddrspace"
		files = set()
		for name, licenses in ("axaddrspace", ""), ("axas-inspect", "-axas-inspect"):
		    bill = json.loads((documents / f"{name}.cdx.json").read_text())
		    for part in bill["metadata"]["component"]["components"]:
		        files.add((part["name"], part["hashes"][0]["content"]))
		    have = {(part["name"], part["version"]) for part in bill["components"] if part["bom-ref"].startswith("registry+")}
		    text = (documents / f"THIRD-PARTY-LICENSES{licenses}").read_text()
		    texts = set(re.findall(r"^([\w-]+) (\d[\w.+-]*) \(.*\)$", text, re.M))
		    # Crates that only run while axas-inspect is compiled have no text.
		    if not texts or not (texts <= have if licenses else texts == have):
		        sys.exit(f"error: {name}.cdx.json has {have}, with texts are {texts}")
		    print(f"{name}.cdx.json: {len(have)} crates")
		for path in [*tree.rglob("*.a"), tree / "bin/axas-inspect"]:
		    if (str(path.relative_to(tree)), hashlib.sha256(path.read_bytes()).hexdigest()) not in files:
		        sys.exit(f"error: no bill of materials has {path}")
	END
	build_consumer dist -DWAY=find_package "-DCMAKE_PREFIX_PATH=$installed"

	# Not committed, or not as a check wants it: not released.
	refused() {
		rm -rf build/dist
		! make SETUP=0 dist >"$out/refusal" 2>&1 || die "a release in spite of: $1"
		[ ! -e build/dist ] || die "refused, and yet: $(ls build/dist)"
		grep -q "$1" "$out/refusal" || die "$(cat "$out/refusal")"
	}
	unset SOURCE_DATE_EPOCH
	cd "$other"
	git init --quiet
	git add .
	git -c user.name=nobody -c user.email=nobody@localhost commit --quiet --message=sources
	run scripts/dist.sh
	echo >>README.md
	refused ' README.md$'
	git checkout --quiet README.md
	sed -i '/^spin /d' THIRD-PARTY-LICENSES
	git -c user.name=nobody -c user.email=nobody@localhost commit --quiet --all --message='no text of spin'
	refused 'error: 1 complaints'
	;;
uninstall)
	scripts/install.sh "/usr" "$out/to remove" host x86_64 aarch64 riscv64 >/dev/null
	scripts/install.sh "/usr" "$out/to remove"
	left=$(find "$out/to remove" -type f)
	[ -z "$left" ] || die "uninstall left: $left"
	;;
*)
	misuse "way '$way' is not known; see the top of scripts/check-install.sh"
	;;
esac
