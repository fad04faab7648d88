/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in for the headers of Xen that glue_xen_arm.c would include: the names and meanings that it
 * needs, declared anew. Not Xen's text, and not all of what Xen has.
 */
#ifndef GLUE_XEN_H
#define GLUE_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#undef UINT64_C /* Xen has none */

#define PAGE_SHIFT 12

enum { ENOENT = 2, EIO = 5, EAGAIN = 11, ENOMEM = 12, EFAULT = 14, EEXIST = 17, EINVAL = 22 };
enum { EOPNOTSUPP = 95, ERESTART = 85 };

/* xen/mm.h, xen/mm-frame.h: frame numbers, of the guest and of the machine */
typedef uint64_t paddr_t;
typedef struct {
	unsigned long gfn;
} gfn_t;
typedef struct {
	unsigned long mfn;
} mfn_t;
#define INVALID_MFN _mfn(~0UL)
#define INVALID_GFN _gfn(~0UL)

/* Plain numbers in builds without debugging, hence these functions. */
static inline gfn_t _gfn(unsigned long n)
{
	return (gfn_t){ n };
}

static inline unsigned long gfn_x(gfn_t gfn)
{
	return gfn.gfn;
}

static inline gfn_t gfn_add(gfn_t gfn, unsigned long i)
{
	return _gfn(gfn_x(gfn) + i);
}

static inline gfn_t gfn_min(gfn_t x, gfn_t y)
{
	return gfn_x(x) < gfn_x(y) ? x : y;
}

static inline gfn_t gfn_max(gfn_t x, gfn_t y)
{
	return gfn_x(x) > gfn_x(y) ? x : y;
}

static inline mfn_t _mfn(unsigned long n)
{
	return (mfn_t){ n };
}

static inline unsigned long mfn_x(mfn_t mfn)
{
	return mfn.mfn;
}

static inline bool mfn_eq(mfn_t x, mfn_t y)
{
	return mfn_x(x) == mfn_x(y);
}

struct domain;
struct page_info;

/* xen/mm.h, xen/domain_page.h, xen/xmalloc.h */
struct page_info *alloc_domheap_pages(struct domain *d, unsigned int order, unsigned int memflags);
void free_domheap_pages(struct page_info *page, unsigned int order);
struct page_info *mfn_to_page(mfn_t mfn);
mfn_t page_to_mfn(const struct page_info *page);
void put_page(struct page_info *page);
/* Of a page of Xen's own heap: where its domain has it mapped. */
bool is_xen_heap_mfn(mfn_t mfn);
void page_set_xenheap_gfn(struct page_info *page, gfn_t gfn);
void *maddr_to_virt(paddr_t ma);
void *map_domain_page(mfn_t mfn);
void unmap_domain_page(const void *va);
extern mfn_t directmap_mfn_start;
extern unsigned long max_page; /* the frame number behind the last page */
void *_xzalloc(unsigned long size, unsigned long align);
void xfree(void *p);

/* xen/rwlock.h, xen/sched.h */
typedef struct {
	int held;
} rwlock_t;
void rwlock_init(rwlock_t *lock);
void read_lock(rwlock_t *lock);
void read_unlock(rwlock_t *lock);
void write_lock(rwlock_t *lock);
void write_unlock(rwlock_t *lock);
bool rw_is_write_locked(const rwlock_t *lock);
bool hypercall_preempt_check(void);

/* asm/p2m.h: the types that this glue deals with, and the members that it uses */
typedef enum {
	p2m_invalid = 0,
	p2m_ram_rw,
	p2m_ram_ro,
	p2m_mmio_direct_dev,
	p2m_mmio_direct_nc,
	p2m_mmio_direct_c,
	p2m_map_foreign_rw,
	p2m_map_foreign_ro,
	p2m_grant_map_rw,
	p2m_grant_map_ro,
} p2m_type_t;

static inline bool p2m_is_ram(p2m_type_t t)
{
	return t == p2m_ram_rw || t == p2m_ram_ro;
}

static inline bool p2m_is_foreign(p2m_type_t t)
{
	return t == p2m_map_foreign_rw || t == p2m_map_foreign_ro;
}

/* ..., and of the accesses the one that restricts nothing */
typedef enum { p2m_access_n, p2m_access_rx = 5, p2m_access_rwx = 7 } p2m_access_t;

struct p2m_domain {
	rwlock_t lock;
	uint16_t vmid;
	uint64_t vttbr;
	gfn_t max_mapped_gfn, lowest_mapped_gfn;
	struct domain *domain;
	/* in place of `root` and `pages` */
	axas_t *space;
	void *storage;
};

struct domain {
	bool is_dying;
	struct {
		struct p2m_domain p2m;
	} arch;
};

#define MAX_VMID_16_BIT (1UL << 16)

extern unsigned int p2m_ipa_bits;
extern unsigned int max_vmid;

int p2m_alloc_vmid(struct domain *d);
void p2m_free_vmid(struct domain *d);

/* asm/flushtlb.h: this CPU, the VMID that is loaded */
void flush_guest_tlb_local(void);

/* arch/arm/mmu/p2m.c: these stay; the first two are static there */
struct page_info *p2m_alloc_page(struct domain *d);
void p2m_free_page(struct domain *d, struct page_info *page);
void p2m_force_tlb_flush_sync(struct p2m_domain *p2m);

/* The stubs': the frame number of a page of the heap. */
gfn_t page_get_xenheap_gfn(const struct page_info *page);

/* What glue_xen_arm.c defines. */
int p2m_alloc_table(struct domain *d);
void p2m_free_table(struct p2m_domain *p2m);
int relinquish_p2m_mapping(struct domain *d);
int p2m_set_entry(struct p2m_domain *p2m, gfn_t sgfn, unsigned long nr, mfn_t smfn, p2m_type_t t,
		  p2m_access_t a);
mfn_t p2m_get_entry(struct p2m_domain *p2m, gfn_t gfn, p2m_type_t *t, p2m_access_t *a,
		    unsigned int *page_order, bool *valid);
bool p2m_resolve_translation_fault(struct domain *d, gfn_t gfn);
int p2m_vtcr(uint64_t *vtcr);

#endif
