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

typedef uint32_t mm_mode_t;
typedef uint16_t mm_asid_t;
typedef struct {
	uintptr_t ipa;
} ipaddr_t;
typedef struct {
	uintptr_t pa;
} paddr_t;

/* as is the glue's own. */
struct mm_page_table;
struct mm_ptable {
	mm_asid_t id;
	struct mm_page_table *root_tables;
	bool stage1;
	axas_t *as;
};

uintptr_t ipa_addr(ipaddr_t ipa);
ipaddr_t ipa_init(uintptr_t v);
uintptr_t pa_addr(paddr_t pa);
paddr_t pa_init(uintptr_t v);
uint64_t arch_mm_get_pa_range(void);
uint32_t arch_mm_get_pa_bits(uint64_t pa_range);
void *memory_alloc(size_t size);
bool memory_free(void *begin, size_t size);

/* What the guide defines. */
bool mm_vm_init(struct mm_ptable *ptable, mm_asid_t id);
void mm_vm_fini(const struct mm_ptable *ptable);
bool mm_vm_prepare(struct mm_ptable *ptable, ipaddr_t begin, ipaddr_t end, paddr_t pa,
		   mm_mode_t mode);
bool mm_vm_map(struct mm_ptable *ptable, ipaddr_t begin, ipaddr_t end, paddr_t pa, mm_mode_t mode);
void mm_vm_defrag(struct mm_ptable *ptable, bool non_secure);
bool mm_vm_get_mode_partial(const struct mm_ptable *ptable, ipaddr_t begin, ipaddr_t end,
			    mm_mode_t *mode, ipaddr_t *end_ret);
bool mm_vm_get_mode(const struct mm_ptable *ptable, ipaddr_t begin, ipaddr_t end, mm_mode_t *mode);
bool mm_vm_get_range_by_mode(const struct mm_ptable *ptable, paddr_t *begin, paddr_t *end,
			     mm_mode_t mode, ipaddr_t *start, mm_mode_t *found);
