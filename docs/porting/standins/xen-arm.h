/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/xen-arm.md needs of Xen: names as there, bodies nowhere. */
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#define PAGE_SHIFT 12
#define PAGE_MASK  (~0xfffUL)
#define ENOMEM	   12
#define EINVAL	   22
#define ERESTART   85

struct page_info;
struct domain;
typedef struct {
	unsigned long gfn;
} gfn_t;
typedef struct {
	unsigned long mfn;
} mfn_t;
typedef enum {
	p2m_invalid,
	p2m_ram_rw,
	p2m_ram_ro,
	p2m_mmio_direct_dev,
	p2m_mmio_direct_nc,
	p2m_mmio_direct_c,
	p2m_map_foreign_rw,
	p2m_map_foreign_ro,
	p2m_grant_map_rw,
	p2m_grant_map_ro,
	p2m_iommu_map_rw,
	p2m_iommu_map_ro,
	p2m_max_real_type,
} p2m_type_t;

/* The members that the glue uses; the last two are its own. */
struct p2m_domain {
	uint16_t vmid;
	uint64_t vttbr;
	_Bool clean_pte;
	axas_t *space;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

#define INVALID_MFN ((mfn_t){ ~0UL })

extern unsigned int p2m_ipa_bits;
unsigned long gfn_x(gfn_t gfn);
unsigned long mfn_x(mfn_t mfn);
_Bool mfn_eq(mfn_t x, mfn_t y);
mfn_t maddr_to_mfn(uint64_t maddr);
uint64_t page_to_maddr(const struct page_info *pg);
struct page_info *maddr_to_page(uint64_t maddr);
struct page_info *alloc_domheap_pages(struct domain *d, unsigned int order, unsigned int memflags);
void free_domheap_pages(struct page_info *pg, unsigned int order);
struct page_info *p2m_alloc_page(struct domain *d);
void p2m_free_page(struct domain *d, struct page_info *pg);
void *map_domain_page(mfn_t mfn);
void unmap_domain_page(const void *ptr);
struct p2m_domain *p2m_get_hostp2m(struct domain *d);
void p2m_force_tlb_flush_sync(struct p2m_domain *p2m);
void p2m_write_lock(struct p2m_domain *p2m);
void p2m_write_unlock(struct p2m_domain *p2m);
void p2m_read_lock(struct p2m_domain *p2m);
void p2m_read_unlock(struct p2m_domain *p2m);
_Bool hypercall_preempt_check(void);

/* What the guide defines. */
int p2m_create_space(struct domain *d);
int p2m_set_entry(struct p2m_domain *p2m, gfn_t sgfn, unsigned long nr, mfn_t smfn, p2m_type_t t);
int p2m_teardown_some(struct p2m_domain *p2m);
int p2m_fault(struct p2m_domain *p2m, uint64_t esr, uint64_t far, uint64_t hpfar);
