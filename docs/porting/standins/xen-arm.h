/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/xen-arm.md needs of Xen: names as there, bodies nowhere. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#define PAGE_MASK (~0xfffUL)
#define ENOMEM    12

struct page_info;
struct domain;
typedef struct {
	unsigned long mfn;
} mfn_t;

/* The members that the glue uses; the last two are its own. */
struct p2m_domain {
	uint16_t vmid;
	uint64_t vttbr;
	_Bool clean_pte;
	axas_t *space;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

typedef uint64_t paddr_t;

extern unsigned int p2m_ipa_bits;
extern mfn_t directmap_mfn_start;
extern unsigned long max_page;
paddr_t mfn_to_maddr(mfn_t mfn);
paddr_t pfn_to_paddr(unsigned long pfn);
void *maddr_to_virt(paddr_t maddr);
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
_Bool p2m_is_write_locked(struct p2m_domain *p2m);
void p2m_force_tlb_flush_sync(struct p2m_domain *p2m);
void flush_guest_tlb_local(void);
_Bool hypercall_preempt_check(void);

/* What the guide defines. */
int p2m_create_space(struct domain *d);
