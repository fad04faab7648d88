/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What one call did on both sides, compared. */
#ifndef DIFFERENTIAL_COMPARE_H
#define DIFFERENTIAL_COMPARE_H

#include "run.h"

/*
 * Kinds of difference, and whether the two spaces are no longer comparable after one of them. A list of
 * intended differences names them.
 */
/* clang-format off */
#define EACH_KIND(X) \
	X(STATUS, "status", 1, "another status or verdict") \
	X(ERROR, "status.error", 0, "both sides refuse, with another error") \
	X(MEMORY, "status.memory", 1, "one side lacked the frame that its host refused") \
	X(DONE, "done", 1, "another number of bytes done") \
	X(VALUE, "value", 0, "another result of a call that looks") \
	X(CONTENTS, "contents", 1, "other bytes in the guest's memory") \
	X(RUNS, "runs", 1, "other runs from for_each") \
	X(FLUSH_MISSING, "flush.missing", 0, "no request to all CPUs where the old one has one") \
	X(FLUSH_MORE, "flush.more", 0, "a request to all CPUs where the old one has none") \
	X(FLUSH_COUNT, "flush.count", 0, "another number of requests") \
	X(FLUSH_RANGE, "flush.range", 0, "a request for another range") \
	X(FLUSH_REASON, "flush.reason", 0, "a request with another reason or scope") \
	X(FLUSH_LEVEL, "flush.level", 0, "a request with another level") \
	X(FLUSH_TABLES, "flush.tables", 0, "a request with another tables_removed") \
	X(RELEASED_RUNS, "released.runs", 0, "the same pages in other runs") \
	X(RELEASED_KEPT, "released.kept", 0, "other pages, of those that a replace maps again") \
	X(RELEASED, "released", 0, "other pages") \
	X(FRAMES_ORDER, "frames.order", 0, "as many frames, in other order or pieces") \
	X(FRAMES_TAKEN, "frames.taken", 0, "more or fewer frames, as many in the end") \
	X(FRAMES_TABLES, "frames.tables", 1, "more or fewer tables in the end") \
	X(FRAMES_GUEST, "frames.guest", 1, "more or fewer guest frames in the end") \
	X(CLEAN_TABLES, "clean.tables", 0, "other bytes of tables cleaned") \
	X(CLEAN_GUEST, "clean.guest", 0, "other bytes of guest frames cleaned") \
	X(POLLS, "polls", 0, "should_yield asked more or less often") \
	X(STATS_NOW, "stats.now", 1, "other counts of tables, frames or leaves") \
	X(STATS_FAULTS, "stats.faults", 0, "another verdict counted") \
	X(STATS_OWN, "stats.own", 0, "a count that is not what the host saw") \
	X(QUERY, "query", 1, "another entry") \
	X(QUERY_ERROR, "query.error", 0, "no entry, with another error") \
	X(TRANSLATE, "translate", 1, "another translation") \
	X(BLIND, "blind", 1, "a call in which phys_to_virt failed went another way") \
	X(BALANCE, "balance", 1, "frames that did not come back from destroy") \
	X(HOST, "host", 1, "the contract with the host broken")
/* clang-format on */

enum kind {
#define NAME(name, text, ends, what) KIND_##name,
	EACH_KIND(NAME)
#undef NAME
		KINDS
};

extern const char *const kind_names[KINDS];
extern const char *const kind_texts[KINDS];
extern const uint8_t kind_ends[KINDS];

struct differences {
	uint64_t kinds; /* a bit for each */
	char text[KINDS][192];
};

void differ(struct differences *d, enum kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void compare(struct differences *d, const struct step *t, struct side *const side[2],
	     const struct outcome out[2]);
void compare_runs(struct differences *d, const struct runs *a, const struct runs *b);

#endif
