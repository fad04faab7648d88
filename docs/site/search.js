/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The search box: words of all pages. MiniSearch and search-data.js, which scripts/docs-site.py made, are
 * loaded when somebody begins to search; as scripts, because a page that was opened as a file may fetch
 * nothing. `?q=words` searches when the page opens. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
	const MOST = 30;
	const field = document.getElementById("MSearchField");
	const panel = document.createElement("div");
	let index = null;

	panel.id = "results";
	panel.hidden = true;
	document.body.appendChild(panel);

	function load(name) {
		return new Promise((resolve, reject) => {
			const script = document.createElement("script");

			script.src = name;
			script.onload = resolve;
			script.onerror = reject;
			document.head.appendChild(script);
		});
	}

	async function made() {
		await load("minisearch.js");
		await load("search-data.js");
		const search = new MiniSearch({ fields: ["title", "page", "text"],
						searchOptions: { boost: { title: 4, page: 2 }, prefix: true,
								 fuzzy: 0.1, combineWith: "AND" } });

		search.addAll(SECTIONS.map((section, id) => ({ id, ...section })));
		return search;
	}

	/* The text around the first of the words, with all of them marked. */
	function excerpt(text, words) {
		const found = text.toLowerCase();
		const places = words.map((word) => found.indexOf(word)).filter((place) => place >= 0);
		const near = places.length ? Math.max(0, Math.min(...places) - 60) : 0;
		const from = near && text.indexOf(" ", near) + 1;
		const behind = text.lastIndexOf(" ", from + 200);
		const to = from + 200 < text.length && behind > from ? behind : text.length;
		const part = document.createElement("p");
		const pattern = new RegExp(`(${words.map((word) => RegExp.escape?.(word) ??
			word.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|")})`, "giu");

		part.append(from ? "… " : "");
		text.slice(from, to).split(pattern).forEach((piece, number) => {
			const mark = document.createElement("mark");

			mark.textContent = piece;
			part.append(number % 2 ? mark : piece);
		});
		part.append(to < text.length ? " …" : "");
		return part;
	}

	async function show() {
		const query = field.value.trim();

		index ??= made();
		const found = query ? (await index).search(query) : [];

		if (query !== field.value.trim())
			return;
		panel.replaceChildren(...found.slice(0, MOST).map((hit) => {
			const { url, title, page, text } = SECTIONS[hit.id];
			const link = document.createElement("a");
			const name = document.createElement("b");

			link.href = url;
			name.textContent = title;
			link.append(name, title === page ? "" : ` ${page}`, excerpt(text, hit.terms));
			return link;
		}));
		if (!found.length)
			panel.textContent = "Nothing found.";
		panel.hidden = !query;
	}

	field.addEventListener("input", show);
	field.addEventListener("focus", show);
	document.addEventListener("keydown", (event) => {
		if (event.key === "Escape")
			panel.hidden = true;
	});
	document.addEventListener("click", (event) => {
		if (event.target !== field && (!panel.contains(event.target) || event.target.closest("a")))
			panel.hidden = true;
	});
	field.value = new URLSearchParams(location.search).get("q") ?? "";
	if (field.value)
		show();
});
