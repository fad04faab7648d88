/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/xvisor.md needs of Xvisor: names as there, bodies nowhere. */
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned long virtual_addr_t;
typedef uint64_t physical_addr_t;
typedef uint64_t physical_size_t;

#define VMM_OK                  0
#define VMM_EFAIL               (-1)
#define VMM_PAGE_SHIFT          12
#define VMM_PAGE_SIZE           4096u
#define VMM_MEMORY_FLAGS_NORMAL 0x1fu
#define VMM_REGION_VIRTUAL      0x2u
#define VMM_REGION_READONLY     0x40u
#define VMM_REGION_CACHEABLE    0x80u

struct vmm_guest {
	u32 id;
};

virtual_addr_t vmm_host_alloc_aligned_pages(u32 page_count, u32 align_order, u32 mem_flags);
int vmm_host_free_pages(virtual_addr_t page_va, u32 page_count);
int vmm_host_va2pa(virtual_addr_t va, physical_addr_t *pa);
int vmm_host_pa2va(physical_addr_t pa, virtual_addr_t *va);
int vmm_guest_physical_map(struct vmm_guest *guest, physical_addr_t gphys_addr,
			   physical_size_t gphys_size, physical_addr_t *hphys_addr,
			   physical_size_t *hphys_size, u32 *reg_flags);

/* What the guide defines. */
int stage2_create(struct vmm_guest *guest, axas_t **space);
int stage2_abort(struct vmm_guest *guest, axas_t *space, u64 esr, u64 far, u64 hpfar);
