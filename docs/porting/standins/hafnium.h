/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/hafnium.md needs of Hafnium: names as there, bodies nowhere. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#define MM_MODE_R       UINT32_C(0x0001)
#define MM_MODE_W       UINT32_C(0x0002)
#define MM_MODE_X       UINT32_C(0x0004)
#define MM_MODE_D       UINT32_C(0x0008)
#define MM_MODE_INVALID UINT32_C(0x0010)

struct mpool;
void *mpool_alloc(struct mpool *p);
void *mpool_alloc_contiguous(struct mpool *p, size_t count, size_t align);
void mpool_free(struct mpool *p, void *ptr);
bool mpool_add_chunk(struct mpool *p, void *begin, size_t size);

/* The glue's own, in place of struct mm_ptable. */
struct vm_space {
	axas_t *as;
	struct mpool *pool;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

/* What the guide defines. */
bool vm_space_init(struct vm_space *space, uint16_t id, uint32_t pa_bits, struct mpool *pool);
bool vm_space_map(struct vm_space *space, uint64_t begin, uint64_t end, uint32_t mode,
		  struct mpool *pool);
bool vm_space_prepare(struct vm_space *space, const axas_config_t *cfg, uint64_t begin,
		      uint64_t end, uint32_t mode, struct mpool *pool);
bool vm_space_fault(struct vm_space *space, uint64_t ipa, uint32_t mode, struct mpool *pool);
