/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The calls that are made in every state: an alphabet over the few addresses where something can end. */
#ifndef EXHAUST_LETTERS_H
#define EXHAUST_LETTERS_H

#include "pages.h"

/* Where every level of the tables has an edge. */
#define BOUNDARY (512 * GIB)

#define MOST_LETTERS 1024u
#define MOST_POINTS  8u

enum letter_kind {
	MAP_LINEAR,
	MAP_EXTENTS, /* the first page, and the rest, that follows it */
	REPLACE,
	REPLACE_ALLOC,
	REPLACE_TRAP,
	MAP_ALLOC,
	MAP_TRAP,
	UNMAP,
	PROTECT,
	POPULATE,
	DISCARD,
	COLLECT,
	RETAG, /* the tag is in its flags */
	CLEAR,
	MERGE,
	HIDE,
	SHOW,
	NOTE,
	STOCK, /* of so many frames: the value */
	DIRTY_START,
	DIRTY_CLEAR, /* of the pages whose bits the value has, from its lowest on, again and again; 0: all */
	DIRTY_COLLECT,
	DIRTY_MARK,
	DIRTY_STOP,
	AGE,
	AGE_STOP,
	PROVIDER, /* its number is the value */
	EVICT, /* the same; `how`: the host keeps the library's frames */
	SUPPLY, /* `how` */
	CPU, /* an access of the hardware, which sets bits where it can */
	MAP_LINEAR_SOME,
	MAP_ALLOC_SOME,
	UNMAP_SOME,
	PROTECT_SOME,
	POPULATE_SOME,
	DISCARD_SOME,
	COLLECT_SOME,
	RETAG_SOME,
	HIDE_SOME,
	SHOW_SOME,
	NOTE_SOME,
	DIRTY_START_SOME,
	DIRTY_CLEAR_SOME,
	DIRTY_COLLECT_SOME,
	DIRTY_STOP_SOME,
	AGE_SOME,
	AGE_STOP_SOME,
	MERGE_SOME,
	EVICT_SOME,
	FAULT,
};

struct letter {
	enum letter_kind kind;
	axas_flags_t flags; /* of a fault: the access */
	axas_gpa_t gpa;
	uint64_t size;
	uint64_t value;
	uint32_t how; /* what the host answers that is asked for a page */
	uint32_t brings; /* what with: BRINGS_ bits */
};

/* What a call returned; of a whole one that was done, `done` is its size. */
struct outcome {
	int64_t status; /* or verdict */
	uint64_t done;
};

enum {
	BRINGS_LARGE = 1u << 0, /* as large a page as may be */
	BRINGS_READ = 1u << 1, /* one that can be read only */
};

/* What is in the alphabet of a space beside maps. */
enum {
	HIDES = 1u << 0,
	TAGS = 1u << 1,
	STOCKS = 1u << 2,
	LOGS = 1u << 3,
	AGES = 1u << 4,
	MERGES = 1u << 5,
	PROVIDERS = 1u << 6,
	HARDWARE = 1u << 7, /* it sets dirty and accessed bits */
};

/* A space from the first point to the last; ranges go from one to another. */
struct scope {
	const char *name;
	const char *group; /* a run is of one of these or of all */
	uint32_t share; /* of the transitions, in twentieths, and what those before it left */
	uint32_t parts; /* 0: the calls of every archive */
	int is_plain; /* a host without `released`, on a CPU with every feature */
	int keeps_tables;
	uint32_t points;
	axas_gpa_t point[MOST_POINTS];
};

#define SCOPES 18u

struct scope scope_make(uint32_t i, uint32_t format);
axas_config_t scope_config(const struct scope *s, uint32_t format);
/* The archive has these calls: an older one may be gone through, too. */
int letters_replace(void);
int letters_collect(void);
int letters_tags(void);
uint32_t letters_make(const struct scope *s, struct letter *letters);
struct outcome letter_run(const struct letter *l);
int letter_is_some(const struct letter *l);
/* No frame that is refused makes it fail. */
int letter_needs_no_memory(const struct letter *l);
/* The space has what the scope is for. */
int scope_is_possible(const struct scope *s, uint32_t format);
/* What the call must say where no frame is refused: a status, of a fault the verdict. */
int64_t letter_expected(const struct letter *l, const struct pages *p);
/* Does to the first `done` bytes what the call says. Memory that gets frames stays reserved here. */
void letter_apply(const struct letter *l, struct pages *p, uint64_t done);
void letter_print(const struct letter *l);

#endif
