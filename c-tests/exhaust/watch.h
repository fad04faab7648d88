/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which pages are dirty and which are young, by the tables and by what the library says. */
#ifndef EXHAUST_WATCH_H
#define EXHAUST_WATCH_H

#include "parts.h"
#include "tables.h"

/*
 * `was` are the pages before the call, `now` what the call makes of them; what entries decide of these, how large
 * a page is that was dirty as a whole, is learnt. Returns null, or what is wrong.
 */
const char *watch_judge(const struct scope *s, const struct letter *l, const struct outcome *o,
			const struct pages *was, struct pages *now, const struct tables *after);

#endif
