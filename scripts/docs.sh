#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# docs.sh build|shots|diagrams: the documentation site in build/docs/html, any warning an error; its pages, or
# those that follow (`shots index page_docs_hal`), in Chromium: pictures in build/docs/shots of each, wide and
# narrow, light and dark, and what `check-docs.py browser` finds; or docs/diagrams/*.svg from *.dot.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"

# settings: docs/Doxyfile; from Doxygen 1.9.5 on the theme wants its own colours left out.
settings() {
	cat docs/Doxyfile
	! doxygen -g - | grep -q '^HTML_COLORSTYLE ' || echo 'HTML_COLORSTYLE = LIGHT'
}

# header: what each page begins with, as this Doxygen wants it, with the scripts and the search box.
header() {
	local text
	doxygen -w html build/docs/header.html build/docs/footer.html build/docs/style.css >/dev/null
	text=$(<build/docs/header.html)
	text=${text/'</head>'/"$(<docs/site/head.html)</head>"}
	text=${text/'<!--END TITLEAREA-->'/"$(<docs/site/search.html)<!--END TITLEAREA-->"}
	printf '%s\n' "$text" >build/docs/header.html
}

build() {
	have doxygen || die "doxygen is missing; run: scripts/setup.sh docs"
	rm -rf build/docs
	mkdir -p build/docs
	AXAS_VERSION=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n1)
	export AXAS_VERSION
	scripts/docs-filter.py include/axaddrspace.h >/dev/null
	header
	settings | doxygen - || {
		cat build/docs/warnings.txt >&2
		die "the site does not build without warnings (see above)"
	}
	scripts/docs-site.py index
	scripts/docs-site.py sources
	say "build/docs/html/index.html"
}

shots() {
	have chromium || die "chromium is missing; run: scripts/setup.sh shots"
	[ -f build/docs/html/index.html ] || build
	mkdir -p build/docs/shots
	local page width dark
	# shellcheck disable=SC2046  # names without spaces
	[ $# -gt 0 ] || set -- $(cd build/docs/html && ls -- *.html)
	for page; do
		page=${page%.html}
		for width in 1280 420; do
			for dark in '' --force-dark-mode; do
				chromium --headless --no-sandbox --disable-gpu --hide-scrollbars $dark \
					--window-size=$width,1600 --virtual-time-budget=4000 \
					--screenshot="build/docs/shots/$page-$width${dark:+-dark}.png" \
					"file://$ROOT/build/docs/html/$page.html" >/dev/null 2>&1
			done
		done
	done
	run scripts/check-docs.py browser
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
build | shots | diagrams) "$@" ;;
*) die "usage: scripts/docs.sh build|shots [PAGE...]|diagrams" ;;
esac
