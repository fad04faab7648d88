/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tries glue_xen_arm.c as the rest of Xen would use it. */
#include <stdio.h>

#include "stubs.h"
#include "xen.h"

#define RAM  0x40000 /* guest frame numbers */
#define UART 0x9000
#define MFN  0x100000 /* machine frames that are the guest's: 4 MiB, aligned to 2 MiB */

#define WRAPS (1ul << 52)

static struct domain guest;
static struct p2m_domain *p2m = &guest.arch.p2m;

/* As Xen's, which has more to do. */
static int p2m_init(struct domain *d)
{
	int rc;

	rwlock_init(&p2m->lock);
	p2m->max_mapped_gfn = _gfn(0);
	p2m->lowest_mapped_gfn = _gfn(~0ul);
	p2m->domain = d;
	rc = p2m_alloc_vmid(d);
	return rc ? rc : p2m_alloc_table(d);
}

static void set(const char *what, unsigned long gfn, unsigned long nr, mfn_t mfn, p2m_type_t t,
		p2m_access_t a)
{
	int rc;

	write_lock(&p2m->lock);
	rc = p2m_set_entry(p2m, (gfn_t){ gfn }, nr, mfn, t, a);
	write_unlock(&p2m->lock);
	printf("%-40s rc %d\n", what, rc);
}

static void get(unsigned long gfn)
{
	p2m_type_t type;
	unsigned int order;
	bool valid;
	mfn_t mfn;

	read_lock(&p2m->lock);
	mfn = p2m_get_entry(p2m, (gfn_t){ gfn }, &type, NULL, &order, &valid);
	read_unlock(&p2m->lock);
	if (valid)
		printf("  gfn 0x%lx: mfn 0x%lx, type %d, order %u\n", gfn, mfn.mfn, (int)type,
		       order);
	else
		printf("  gfn 0x%lx: nothing, order %u\n", gfn, order);
}

int main(void)
{
	/* another domain's page, to which the foreign mapping has the only reference */
	const mfn_t foreign = page_to_mfn(alloc_domheap_pages(NULL, 0, 0));
	struct page_info *shared = alloc_domheap_pages(NULL, 0, 0);
	uint32_t preempted = 0;
	uint64_t vtcr = 0;
	int rc = p2m_vtcr(&vtcr);

	printf("setup_virt_paging: rc %d, VTCR_EL2 0x%lx\n", rc, (unsigned long)vtcr);
	rc = p2m_init(&guest);

	printf("p2m_init: rc %d, VMID of VTTBR %u\n", rc, (unsigned int)(p2m->vttbr >> 48));
	if (rc)
		return 1;
	set("RAM", RAM, 1024, (mfn_t){ MFN }, p2m_ram_rw, p2m_access_rwx);
	get(RAM + 5);
	set("UART", UART, 1, (mfn_t){ 0x9000 }, p2m_mmio_direct_dev, p2m_access_rwx);
	get(UART);
	set("a page of RAM read-only", RAM + 5, 1, (mfn_t){ MFN + 5 }, p2m_ram_ro, p2m_access_rwx);
	get(RAM + 5);
	get(RAM + 6);
	get(RAM + 600);
	set("a page of RAM gone", RAM + 7, 1, INVALID_MFN, p2m_invalid, p2m_access_rwx);
	get(RAM + 7);
	set("a page of memory access rx", RAM + 8, 1, (mfn_t){ MFN + 8 }, p2m_ram_rw,
	    p2m_access_rx);
	get(RAM + 8);
	set("a foreign page", RAM + 9, 1, foreign, p2m_map_foreign_rw, p2m_access_rwx);
	get(RAM + 9);
	set("a granted page, read-only", RAM + 10, 1, (mfn_t){ 0x7777 }, p2m_grant_map_ro,
	    p2m_access_rwx);
	get(RAM + 10);
	/* shared_info: Xen maps it again only where it has no frame number */
	set("a page of Xen's heap", RAM + 11, 1, page_to_mfn(shared), p2m_ram_rw, p2m_access_rwx);
	page_set_xenheap_gfn(shared, _gfn(RAM + 11));
	set("and gone", RAM + 11, 1, INVALID_MFN, p2m_invalid, p2m_access_rwx);
	printf("  its frame number is forgotten: %s\n",
	       gfn_x(page_get_xenheap_gfn(shared)) == gfn_x(INVALID_GFN) ? "yes" : "NO");
	free_domheap_pages(shared, 0);
	/* a guest's frame numbers: one that has no address, and acts on none */
	set("gfn 2^52 + that of RAM, gone", WRAPS | RAM, 1, INVALID_MFN, p2m_invalid,
	    p2m_access_rwx);
	set("2^52 frames more than one", RAM, WRAPS | 1, INVALID_MFN, p2m_invalid, p2m_access_rwx);
	set("mfn 2^52 + one", RAM + 7, 1, (mfn_t){ WRAPS | 1 }, p2m_ram_rw, p2m_access_rwx);
	get(RAM);
	get(WRAPS | RAM);
	printf("a fault on gfn 2^52 + that of RAM passes: %d\n",
	       p2m_resolve_translation_fault(&guest, (gfn_t){ WRAPS | RAM }));
	set("beyond the last address", 1ul << 28, 1, (mfn_t){ MFN }, p2m_ram_rw, p2m_access_rwx);

	printf("a fault on RAM passes: %d, on the missing page: %d\n",
	       p2m_resolve_translation_fault(&guest, (gfn_t){ RAM }),
	       p2m_resolve_translation_fault(&guest, (gfn_t){ RAM + 7 }));

	guest.is_dying = true;
	stub_counts.preempt = true;
	for (;;) {
		rc = relinquish_p2m_mapping(&guest);
		if (rc != -ERESTART)
			break;
		preempted++;
	}
	printf("relinquish_p2m_mapping: rc %d, preempted: %s\n", rc, preempted > 0 ? "yes" : "NO");
	get(RAM);
	printf("p2m pages that the pool lacks: %lu\n", stub_counts.pool_out);
	p2m_free_table(p2m);
	p2m_free_vmid(&guest);
	printf("flushes: %s, local ones in a fault: %s\n", stub_counts.flushes > 0 ? "yes" : "NO",
	       stub_counts.flushes_local > 0 ? "yes" : "NO");
#ifdef MEMORY_HOLE
	stub_counts.mistakes += stub_counts.windows_opened == 0;
#else
	stub_counts.mistakes += stub_counts.windows_opened != 0;
#endif
	printf("%lu pages not given back, %u windows open, %u mistakes\n", stub_counts.pages_out,
	       stub_counts.windows_open, stub_counts.mistakes);
	return stub_counts.pages_out != 0 || stub_counts.windows_open != 0 ||
	       stub_counts.mistakes != 0;
}
