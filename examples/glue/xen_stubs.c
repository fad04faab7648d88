/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * As much of Xen as glue_xen_arm.c needs to run: a heap of pages in a direct map, with MEMORY_HOLE one that
 * skips a hole and that only map_domain_page may be trusted with; a pool for p2m pages, a lock that knows how
 * it is held. Needs no C library.
 */
#include "xen.h"

#include <stddef.h>

#include "stubs.h"

#define HEAP_PAGES 64
#define HEAP_BASE  0x40000 /* machine frame number of the first */
#define WINDOWS    8

struct page_info {
	bool taken;
	gfn_t gfn;
};

static _Alignas(4096) unsigned char heap[HEAP_PAGES][4096];
static struct page_info pages[HEAP_PAGES];
static int xmalloc_free = 1;

struct stub_counts stub_counts;
mfn_t directmap_mfn_start = { HEAP_BASE };
#ifdef MEMORY_HOLE
#define HOLE 0x80000 /* frames, behind the heap; one page of memory follows */
unsigned long max_page = HEAP_BASE + HEAP_PAGES + HOLE + 1;
#else
unsigned long max_page = HEAP_BASE + HEAP_PAGES;
#endif
unsigned int p2m_ipa_bits = 40;
unsigned int max_vmid = 256;

struct page_info *alloc_domheap_pages(struct domain *d, unsigned int order, unsigned int memflags)
{
	const size_t count = (size_t)1 << order;

	(void)d;
	(void)memflags;
	for (size_t first = 0; first + count <= HEAP_PAGES; first += count) {
		size_t i = 0;

		while (i < count && !pages[first + i].taken)
			i++;
		if (i < count)
			continue;
		for (i = 0; i < count; i++)
			pages[first + i].taken = true;
		stub_counts.pages_out += count;
		return &pages[first];
	}
	return NULL;
}

void free_domheap_pages(struct page_info *page, unsigned int order)
{
	for (size_t i = 0; i < (size_t)1 << order; i++) {
		stub_counts.mistakes += !page[i].taken;
		page[i].taken = false;
	}
	stub_counts.pages_out -= (size_t)1 << order;
}

struct page_info *p2m_alloc_page(struct domain *d)
{
	struct page_info *page = alloc_domheap_pages(d, 0, 0);

	stub_counts.pool_out += page != NULL;
	return page;
}

void p2m_free_page(struct domain *d, struct page_info *page)
{
	(void)d;
	stub_counts.pool_out--;
	free_domheap_pages(page, 0);
}

struct page_info *mfn_to_page(mfn_t mfn)
{
	return &pages[mfn.mfn - HEAP_BASE];
}

mfn_t page_to_mfn(const struct page_info *page)
{
	return (mfn_t){ HEAP_BASE + (unsigned long)(page - pages) };
}

/* The last reference. */
void put_page(struct page_info *page)
{
	free_domheap_pages(page, 0);
}

bool is_xen_heap_mfn(mfn_t mfn)
{
	return mfn.mfn - HEAP_BASE < HEAP_PAGES;
}

void page_set_xenheap_gfn(struct page_info *page, gfn_t gfn)
{
	page->gfn = gfn;
}

gfn_t page_get_xenheap_gfn(const struct page_info *page)
{
	return page->gfn;
}

/* Never used with MEMORY_HOLE but to find that out. */
void *maddr_to_virt(paddr_t ma)
{
	const uint64_t frame = (ma >> PAGE_SHIFT) - HEAP_BASE;

#ifdef MEMORY_HOLE
	if (frame >= HEAP_PAGES)
		return (unsigned char *)heap + ((frame - HOLE) << PAGE_SHIFT);
#endif
	return heap[frame];
}

void *map_domain_page(mfn_t mfn)
{
	stub_counts.windows_opened++;
	if (++stub_counts.windows_open > WINDOWS || mfn.mfn - HEAP_BASE >= HEAP_PAGES)
		stub_counts.mistakes++;
	return heap[mfn.mfn - HEAP_BASE];
}

void unmap_domain_page(const void *va)
{
	(void)va;
	stub_counts.windows_open--;
}

void *_xzalloc(unsigned long size, unsigned long align)
{
	static _Alignas(AXAS_STORAGE_ALIGN) unsigned char memory[AXAS_STORAGE_SIZE];

	if (!xmalloc_free || size > sizeof(memory) || align > AXAS_STORAGE_ALIGN)
		return NULL;
	xmalloc_free = 0;
	return memory;
}

void xfree(void *p)
{
	xmalloc_free |= p != NULL;
}

/* held: readers, or -1 for a writer */
void rwlock_init(rwlock_t *lock)
{
	lock->held = 0;
}

void read_lock(rwlock_t *lock)
{
	stub_counts.mistakes += lock->held < 0;
	lock->held++;
}

void read_unlock(rwlock_t *lock)
{
	lock->held--;
}

void write_lock(rwlock_t *lock)
{
	stub_counts.mistakes += lock->held != 0;
	lock->held = -1;
}

void write_unlock(rwlock_t *lock)
{
	lock->held = 0;
}

bool rw_is_write_locked(const rwlock_t *lock)
{
	return lock->held < 0;
}

bool hypercall_preempt_check(void)
{
	return stub_counts.preempt;
}

int p2m_alloc_vmid(struct domain *d)
{
	d->arch.p2m.vmid = 1;
	return 0;
}

void p2m_free_vmid(struct domain *d)
{
	d->arch.p2m.vmid = 0;
}

void flush_guest_tlb_local(void)
{
	stub_counts.flushes_local++;
}

/* It may not be called without the lock, nor with a window open: it may wait for other CPUs. */
void p2m_force_tlb_flush_sync(struct p2m_domain *p2m)
{
	stub_counts.mistakes += !rw_is_write_locked(&p2m->lock) || stub_counts.windows_open != 0;
	stub_counts.flushes++;
}
