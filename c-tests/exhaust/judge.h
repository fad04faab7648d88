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

/*
 * Everything that the library says of the space, entry by entry or of the first and last entries of each run of
 * pages; at the end the space is destroyed.
 */
const char *judge_state(const struct pages *pages, const struct scope *scope, int every_entry);

#endif
