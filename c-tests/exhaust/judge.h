/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whether a call did what it had to, by the tables, the frames and what the host was asked. */
#ifndef EXHAUST_JUDGE_H
#define EXHAUST_JUDGE_H

#include "letters.h"
#include "tables.h"

/*
 * `before` are the tables as they were saved, `pages` what the space was and, afterwards, is. Returns
 * null, or what is wrong. `after` is filled where something changed, which `changed` says.
 */
const char *judge(const struct scope *s, const struct letter *l, const struct outcome *o,
		  const struct tables *before, struct tables *after, struct pages *pages,
		  int *changed);

/* What stands in the tables after a call, and the requests of a call that found others there. */
const char *judge_tables(const struct scope *s, const struct tables *before,
			 const struct tables *after, const struct pages *pages);

/*
 * Everything that the library says of the space, entry by entry or of the first and last entries of each run of
 * pages.
 */
const char *judge_looks(const struct pages *pages, const struct scope *scope, int every_entry);
/* The same; then the space is destroyed. */
const char *judge_state(const struct pages *pages, const struct scope *scope, int every_entry);

#endif
