#!/usr/bin/env bash
# docs.sh build|shots|diagrams: the documentation site in build/docs/html, any warning an error; a
# picture of each of its pages in build/docs/shots, to look at; or docs/diagrams/*.svg from *.dot.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"

build() {
	have doxygen || die "doxygen is missing; run: scripts/setup.sh docs"
	rm -rf build/docs
	mkdir -p build/docs
	AXAS_VERSION=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n1)
	export AXAS_VERSION
	scripts/docs-filter.py include/axaddrspace.h >/dev/null
	doxygen docs/Doxyfile || {
		cat build/docs/warnings.txt >&2
		die "the site does not build without warnings (see above)"
	}
	say "build/docs/html/index.html"
}

shots() {
	have chromium || die "chromium is missing; run: scripts/setup.sh shots"
	[ -f build/docs/html/index.html ] || build
	mkdir -p build/docs/shots
	local page
	for page in build/docs/html/*.html; do
		chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1600 \
			--screenshot="build/docs/shots/$(basename "$page" .html).png" "file://$ROOT/$page" \
			>/dev/null 2>&1
	done
	say "build/docs/shots"
}

diagrams() {
	have dot || die "dot is missing; run: scripts/setup.sh docs"
	local source
	for source in docs/diagrams/*.dot; do
		run dot -Tsvg "$source" -o "${source%.dot}.svg"
	done
}

case ${1:-} in
build | shots | diagrams) "$1" ;;
*) die "usage: scripts/docs.sh build|shots|diagrams" ;;
esac
