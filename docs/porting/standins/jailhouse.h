/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/jailhouse.md needs of Jailhouse: names as there, bodies nowhere. */
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

typedef uint32_t u32;
typedef uint64_t u64;

#define ENOMEM                     12
#define EINVAL                     22
#define INVALID_PHYS_ADDR          (~0UL)
#define JAILHOUSE_MEM_READ         0x0001u
#define JAILHOUSE_MEM_WRITE        0x0002u
#define JAILHOUSE_MEM_IO           0x0010u
#define JAILHOUSE_MEM_COMM_REGION  0x0020u
#define JAILHOUSE_MEM_NO_HUGEPAGES 0x0100u

struct page_pool;
struct jailhouse_memory {
	u64 phys_start;
	u64 virt_start;
	u64 size;
	u64 flags;
};
struct jailhouse_cell_desc {
	u32 id;
};

/* The members that the glue uses; space is its own. */
struct cell {
	struct {
		struct {
			void *root_table;
		} mm;
		axas_t *space;
	} arch;
	const struct jailhouse_cell_desc *config;
	int comm_page;
};

extern unsigned long page_offset;
extern unsigned int cpu_parange;
extern struct page_pool mem_pool;
void *page_alloc_aligned(struct page_pool *pool, unsigned int num);
void page_free(struct page_pool *pool, void *page, unsigned int num);
unsigned long paging_hvirt2phys(const volatile void *hvirt);
void *paging_phys2hvirt(unsigned long phys);
void arch_flush_cell_vcpu_caches(struct cell *cell);

/* What the guide defines. */
int cell_space_init(struct cell *cell);
int cell_space_map(struct cell *cell, const struct jailhouse_memory *mem);
int cell_space_unmap(struct cell *cell, const struct jailhouse_memory *mem);
unsigned long cell_gphys2phys(struct cell *cell, unsigned long gphys, axas_flags_t access);
