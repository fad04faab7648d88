/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where axaddrspace goes in Xen on Arm: the functions of xen/arch/arm/mmu/p2m.c that know what a
 * page table looks like, over the library.
 *
 * What is above them (p2m_lookup, guest_physmap_add_entry, map_regions_p2mt, p2m_cache_flush_range,
 * the handler of stage-2 aborts) goes on calling p2m_set_entry, p2m_get_entry and
 * p2m_resolve_translation_fault. What is below stays: the domain heap, the pool of p2m pages with its
 * limit, map_domain_page, the VMID allocator, p2m_restore_state (which loads p2m->vttbr),
 * setup_virt_paging, and p2m_force_tlb_flush_sync with its workarounds for errata.
 *
 * The library takes no lock: Xen's p2m lock is held already, for writing in p2m_set_entry and for
 * reading elsewhere. Guest memory stays Xen's; the library allocates page tables only.
 *
 * The p2m_type_t of a page is its tag (part tags of the archive: make lib PARTS=tags).
 *
 * Not in it is memory access, which has a record beside the tables, nor a p2m that the IOMMU
 * shares (AXAS_IO), nor tracking of set/way operations, for which p2m.c invalidates entries that it keeps.
 */
#include "xen.h"

static paddr_t maddr(mfn_t mfn)
{
	return (paddr_t)mfn_x(mfn) << PAGE_SHIFT;
}

static mfn_t mfn_of(axas_hpa_t hpa)
{
	return _mfn(hpa >> PAGE_SHIFT);
}

static axas_gpa_t gaddr(gfn_t gfn)
{
	return (axas_gpa_t)gfn_x(gfn) << PAGE_SHIFT;
}

/*
 * Frame numbers are the guest's, from hypercalls: whether they have an address is looked at before they are shifted,
 * else 2^52 + x would act on x. What lies outside the space the library refuses.
 */
static bool have_addresses(unsigned long frame, unsigned long nr)
{
	const uint64_t frames = (uint64_t)1 << (64 - PAGE_SHIFT);

	return nr <= frames && frame <= frames - nr;
}

static int errno_of(axas_status_t status)
{
	switch (status) {
	case AXAS_OK:
		return 0;
	case AXAS_ERR_INVALID_INPUT:
		return -EINVAL;
	case AXAS_ERR_ALREADY_EXISTS:
		return -EEXIST;
	case AXAS_ERR_NO_MEMORY:
		return -ENOMEM;
	case AXAS_ERR_NOT_MAPPED:
		return -ENOENT;
	case AXAS_ERR_DENIED:
		return -EFAULT;
	case AXAS_ERR_UNSUPPORTED:
		return -EOPNOTSUPP;
	case AXAS_ERR_AGAIN:
		return -ERESTART;
	default:
		return -EIO;
	}
}

/* --- what the library asks of Xen ------------------------------------------------------------- */

/* From the domain's pool, which limits them. It is empty when the domain is made: its root comes from the heap. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct p2m_domain *p2m = ctx;
	struct page_info *page = NULL;

	if (purpose == AXAS_FRAME_TABLE)
		page = p2m_alloc_page(p2m->domain);
	else if (purpose == AXAS_FRAME_ROOT)
		page = alloc_domheap_pages(NULL, order, 0);
	return page == NULL ? AXAS_HPA_INVALID : maddr(page_to_mfn(page));
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct p2m_domain *p2m = ctx;
	struct page_info *page = mfn_to_page(mfn_of(frame));

	if (purpose == AXAS_FRAME_TABLE)
		p2m_free_page(p2m->domain, page);
	else
		free_domheap_pages(page, order);
}

/*
 * AArch64 has all of the heap, and so all tables, in its direct map: at one distance, unless PDX compression takes a
 * hole out of machine addresses. The distance grows with each hole, so that its ends tell.
 */
static bool heap_has_one_offset(uint64_t *offset)
{
	const paddr_t first = maddr(directmap_mfn_start);
	const paddr_t last = maddr(_mfn(max_page - 1));

	*offset = (unsigned long)maddr_to_virt(first) - first;
	return (unsigned long)maddr_to_virt(last) - last == *offset;
}

/* Otherwise: a window of one page, closed in reverse order on this CPU. */
static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	unsigned char *page = map_domain_page(mfn_of(pa));

	(void)ctx;
	(void)size;
	return page + pa % AXAS_PAGE_SIZE;
}

/* unmap_domain_page takes any address within the page. */
static void release_virt(void *ctx, void *va, size_t size)
{
	(void)ctx;
	(void)size;
	unmap_domain_page(va);
}

/*
 * LOCAL requests come from two places: from a fault, whose vCPU runs here, with the lock held for
 * reading; and, where permissions are added, with the lock held for writing.
 */
static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	struct p2m_domain *p2m = ctx;

	if (request->scope == AXAS_SCOPE_LOCAL && !rw_is_write_locked(&p2m->lock))
		flush_guest_tlb_local();
	else
		p2m_force_tlb_flush_sync(p2m);
}

/*
 * No CPU can reach these pages any more: a foreign one loses the reference that its mapping holds, one of Xen's heap
 * (shared_info, grant frames), which is always mapped alone, the frame number that it had.
 */
static void released(void *ctx, const axas_mapping_t *run)
{
	const p2m_type_t t = (run->flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT;
	const bool is_foreign = p2m_is_foreign(t);

	(void)ctx;
	if (!is_foreign && (!p2m_is_ram(t) || run->level > 1))
		return;
	for (uint64_t at = 0; at < run->size; at += AXAS_PAGE_SIZE) {
		const mfn_t mfn = mfn_of(run->hpa + at);

		if (is_foreign)
			put_page(mfn_to_page(mfn));
		else if (is_xen_heap_mfn(mfn))
			page_set_xenheap_gfn(mfn_to_page(mfn), INVALID_GFN);
	}
}

static uint32_t should_yield(void *ctx)
{
	(void)ctx;
	return hypercall_preempt_check();
}

/* --- life and death --------------------------------------------------------------------------- */

/* Of all domains but for the VMID. */
static axas_config_t config_of(uint16_t vmid)
{
	return (axas_config_t){
		.struct_size = sizeof(axas_config_t),
		.format = AXAS_FORMAT_ARM_S2,
		.size = (uint64_t)1 << p2m_ipa_bits,
		.gpa_bits = p2m_ipa_bits,
		.vmid = vmid,
		.features = max_vmid == MAX_VMID_16_BIT ? AXAS_FEATURE_ARM_VMID16 : 0,
		/* Grants and foreign pages come and go one by one. */
		.options = AXAS_CALLER_LOCKED | AXAS_KEEP_TABLES,
	};
}

/* For setup_virt_paging, which runs on each CPU before there is a domain. */
int p2m_vtcr(uint64_t *vtcr)
{
	const axas_config_t config = config_of(0);
	axas_hw_regs_t registers;
	const axas_status_t status = axas_config_regs(&config, &registers);

	if (status == AXAS_OK)
		*vtcr = registers.control_register;
	return errno_of(status);
}

static axas_status_t create(struct p2m_domain *p2m)
{
	const axas_config_t config = config_of(p2m->vmid);
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.ctx = p2m,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = phys_to_virt,
		.release_virt = release_virt,
		.tlb_flush = tlb_flush,
		.should_yield = should_yield,
		.released = released,
	};

	if (heap_has_one_offset(&hal.direct_map_offset))
		hal.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_TABLES_STAY_READABLE;
	/* The handle cannot live in a window, and struct domain has to fit into a page. */
	p2m->storage = _xzalloc(AXAS_STORAGE_SIZE, AXAS_STORAGE_ALIGN);
	if (p2m->storage == NULL)
		return AXAS_ERR_NO_MEMORY;
	return axas_create_in(p2m->storage, AXAS_STORAGE_SIZE, &config, &hal, &p2m->space);
}

/* From p2m_init, which goes on as it was. */
int p2m_alloc_table(struct domain *d)
{
	struct p2m_domain *p2m = &d->arch.p2m;
	axas_hw_regs_t registers;
	axas_status_t status = create(p2m);

	if (status == AXAS_OK)
		status = axas_hw_regs(p2m->space, &registers);
	if (status != AXAS_OK) {
		p2m_free_table(p2m);
		return errno_of(status);
	}
	p2m->vttbr = registers.root_register;
	/* Whatever the VMID's last owner left. */
	write_lock(&p2m->lock);
	p2m_force_tlb_flush_sync(p2m);
	write_unlock(&p2m->lock);
	return 0;
}

/* The domain does not run any more. p2m_teardown, which freed the tables, has nothing to do now. */
int relinquish_p2m_mapping(struct domain *d)
{
	struct p2m_domain *p2m = &d->arch.p2m;
	axas_status_t status = AXAS_OK;
	axas_gpa_t gpa, end;
	uint64_t done;

	write_lock(&p2m->lock);
	gpa = gaddr(p2m->lowest_mapped_gfn);
	end = gaddr(p2m->max_mapped_gfn) + AXAS_PAGE_SIZE;
	/* No budget but should_yield, which is asked after every 512 entries. */
	if (gfn_x(p2m->lowest_mapped_gfn) <= gfn_x(p2m->max_mapped_gfn)) {
		status = axas_unmap_some(p2m->space, gpa, end - gpa, UINT64_MAX, &done);
		/* AXAS_KEEP_TABLES keeps pages of the pool, which goes next. */
		if (axas_collect(p2m->space, gpa, done) != AXAS_OK)
			status = AXAS_ERR_BAD_STATE;
		p2m->lowest_mapped_gfn = _gfn((gpa + done) >> PAGE_SHIFT);
	}
	write_unlock(&p2m->lock);
	return errno_of(status);
}

/* From p2m_final_teardown, before the pool, which gets the tables back. */
void p2m_free_table(struct p2m_domain *p2m)
{
	write_lock(&p2m->lock);
	axas_destroy(p2m->space);
	write_unlock(&p2m->lock);
	p2m->space = NULL;
	xfree(p2m->storage);
	p2m->storage = NULL;
}

/* --- entries ---------------------------------------------------------------------------------- */

#define RWX (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)

/* What the type allows and what memory it is; 0 for none. */
static axas_flags_t flags_of_type(p2m_type_t t)
{
	switch (t) {
	case p2m_ram_rw:
		return RWX;
	case p2m_ram_ro:
		return AXAS_READ | AXAS_EXECUTE;
	case p2m_mmio_direct_dev:
		return AXAS_READ | AXAS_WRITE | AXAS_DEVICE;
	case p2m_mmio_direct_nc:
		return AXAS_READ | AXAS_WRITE | AXAS_UNCACHED;
	case p2m_mmio_direct_c:
	case p2m_map_foreign_rw:
	case p2m_grant_map_rw:
		return AXAS_READ | AXAS_WRITE;
	case p2m_map_foreign_ro:
	case p2m_grant_map_ro:
		return AXAS_READ;
	default:
		return 0;
	}
}

static p2m_type_t type_of(const axas_mapping_t *m)
{
	if (m->state != AXAS_STATE_LINEAR)
		return p2m_invalid;
	return (m->flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT;
}

/* Xen looks through what was ever mapped: p2m_cache_flush_range, domain_get_maximum_gpfn. */
static int note_mapped(struct p2m_domain *p2m, gfn_t sgfn, unsigned long nr, axas_status_t status)
{
	if (status == AXAS_OK) {
		p2m->lowest_mapped_gfn = gfn_min(p2m->lowest_mapped_gfn, sgfn);
		p2m->max_mapped_gfn = gfn_max(p2m->max_mapped_gfn, gfn_add(sgfn, nr - 1));
	}
	return errno_of(status);
}

/*
 * The lock is held for writing. All of the range changes or nothing, and it need not be aligned as a
 * whole to get superpages.
 */
int p2m_set_entry(struct p2m_domain *p2m, gfn_t sgfn, unsigned long nr, mfn_t smfn, p2m_type_t t,
		  p2m_access_t a)
{
	const uint64_t size = (uint64_t)nr << PAGE_SHIFT;
	const axas_flags_t flags = flags_of_type(t);

	if (p2m->domain->is_dying)
		return -ENOMEM;
	if (nr == 0)
		return 0;
	if (!have_addresses(gfn_x(sgfn), nr))
		return -EINVAL;
	if (mfn_eq(smfn, INVALID_MFN))
		return errno_of(axas_unmap(p2m->space, gaddr(sgfn), size));
	if (!have_addresses(mfn_x(smfn), nr))
		return -EINVAL;
	if (flags == 0 || a != p2m_access_rwx)
		return -EOPNOTSUPP;
	return note_mapped(p2m, sgfn, nr,
			   axas_map_linear(p2m->space, gaddr(sgfn), maddr(smfn), size,
					   flags | (axas_flags_t)t << AXAS_TAG_SHIFT |
						   AXAS_REPLACE));
}

/* The lock is held for reading at least. */
mfn_t p2m_get_entry(struct p2m_domain *p2m, gfn_t gfn, p2m_type_t *t, p2m_access_t *a,
		    unsigned int *page_order, bool *valid)
{
	axas_mapping_t m;
	bool mapped;

	/* Beyond the last address there is one page of nothing. */
	if (!have_addresses(gfn_x(gfn), 1) || axas_query(p2m->space, gaddr(gfn), &m) != AXAS_OK)
		m = (axas_mapping_t){ .size = AXAS_PAGE_SIZE, .state = AXAS_STATE_ABSENT };
	mapped = m.state == AXAS_STATE_LINEAR;
	if (t != NULL)
		*t = type_of(&m);
	if (valid != NULL)
		*valid = mapped;
	if (page_order != NULL) {
		for (*page_order = 0; m.size >> PAGE_SHIFT >> (*page_order + 1) != 0;)
			++*page_order;
	}
	if (!mapped)
		return INVALID_MFN;
	if (a != NULL)
		*a = p2m_access_rwx;
	return mfn_of(m.hpa + (gaddr(gfn) - m.gpa));
}

/* A vCPU of this domain faulted here: true when it was a passing thing, and the guest tries again. */
bool p2m_resolve_translation_fault(struct domain *d, gfn_t gfn)
{
	struct p2m_domain *p2m = &d->arch.p2m;
	axas_fault_result_t result;

	if (!have_addresses(gfn_x(gfn), 1))
		return false;
	read_lock(&p2m->lock);
	result = axas_handle_page_fault(p2m->space, gaddr(gfn), AXAS_READ);
	read_unlock(&p2m->lock);
	return axas_fault_resumes(result) != 0;
}
