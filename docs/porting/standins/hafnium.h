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
#define MM_MODE_UNOWNED UINT32_C(0x0020)
#define MM_MODE_SHARED  UINT32_C(0x0040)

#define MM_MODE_UNMAPPED_MASK (MM_MODE_INVALID | MM_MODE_UNOWNED)

void *memory_alloc(size_t size);
bool memory_free(void *begin, size_t size);

/* The glue's own, in place of struct mm_ptable. */
struct vm_space {
	axas_t *as;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

/* What the guide defines. */
bool vm_space_init(struct vm_space *space, uint16_t id, uint32_t pa_bits);
bool vm_space_map(struct vm_space *space, uint64_t begin, uint64_t end, uint64_t pa, uint32_t mode);
bool vm_space_prepare(struct vm_space *space, const axas_config_t *cfg, uint64_t begin,
		      uint64_t end, uint32_t mode);
bool vm_space_fault(struct vm_space *space, uint64_t ipa, uint32_t mode);
