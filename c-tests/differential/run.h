/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One call of a script on one side: what it returned and what can be seen of the space after it. */
#ifndef DIFFERENTIAL_RUN_H
#define DIFFERENTIAL_RUN_H

#include "script.h"

#define PROBES 5u

struct outcome {
	int64_t status; /* or verdict */
	uint64_t done;
	uint64_t value[4]; /* what else it returned */
	uint64_t contents; /* of the bytes that it read */
	struct runs runs; /* of for_each */
	axas_stats_t before, after;
	axas_status_t probe_status[PROBES], translate_status[PROBES];
	axas_mapping_t probe[PROBES];
	uint64_t hpa[PROBES], run[PROBES];
};

axas_status_t run_create(struct side *side, const struct script *s, uint32_t fail_at);
/* The space is looked at in PROBES places after the call. */
void run_step(struct side *side, const struct script *s, uint32_t index, struct outcome *o);
/* Everything that for_each says of the whole space. */
void run_survey(struct side *side, struct outcome *o);

#endif
