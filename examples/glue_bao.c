/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where axaddrspace would go in Bao on an Armv8-A with an MMU: the second stage of VMs. Bao's own
 * address space, its page pools with their colours, and the handling of aborts stay as they are.
 *
 *   in Bao                                             here
 *   as_init in vm_mem_prot_init                        vm_mem_prot_init
 *   mem_alloc_map(&vm->as, ...) in vm_map_mem_region   vm_map_mem_region
 *   mem_alloc_map_dev(&vm->as, ...) in vm_init_dev     vm_map_dev
 *   mapping, memcpy and cache_flush_range of the image vm_install_image
 *   the list of emulated regions, searched             vm_emul_add_mem, vm_emul_get_mem
 *   VTTBR_EL2 from as.pt.root                          vcpu_arch_profile_init
 *
 * Bao partitions statically, so nothing is allocated while VMs run: all page tables a VM can need are
 * counted from its configuration and taken once. Bao has no direct map: the tables are mapped for
 * good, the guest's pages one at a time, for as long as an image is copied.
 *
 * A skeleton. Not in it: IPC regions and remote I/O (further calls of vm_map_mem_region), recolouring
 * of an image in place, and an IOMMU that walks a VM's root (AXAS_IO).
 */
#include "bao.h"

#define RAM_FLAGS (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)
#define DEV_FLAGS (AXAS_READ | AXAS_WRITE | AXAS_DEVICE)
#define BATCH     16 /* pages of one colour that go to the library in one call */

/* A VM that cannot be built is an error of the configuration, which Bao does not survive. */
static void must(axas_status_t status, const char *what)
{
	if (status != AXAS_OK)
		ERROR(what, axas_status_str(status));
}

/* --- what the library asks of Bao ------------------------------------------------------------- */

/* Memory of guests is Bao's. Page tables come from the arena, without these callbacks. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)order;
	(void)purpose;
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)frame;
	(void)order;
	(void)purpose;
}

/* A page of the guest is mapped into this CPU's section. */
static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct ppages page = { .base = pa & ~(PAGE_SIZE - 1), .num_pages = 1 };
	const vaddr_t window =
		mem_alloc_map(cpu()->as, SEC_HYP_PRIVATE, &page, INVALID_VA, 1, PTE_HYP_FLAGS);

	(void)ctx;
	(void)size;
	return window == INVALID_VA ? NULL : (void *)(window + pa % PAGE_SIZE);
}

static void release_virt(void *ctx, void *va, size_t size)
{
	(void)ctx;
	(void)size;
	mem_unmap(cpu()->as, (vaddr_t)va & ~(PAGE_SIZE - 1), 1, MEM_DONT_FREE_PAGES);
}

/* --- the space of a VM ------------------------------------------------------------------------ */

static uint64_t tables_for(const axas_config_t *cfg, axas_gpa_t gpa, size_t size,
			   axas_flags_t flags)
{
	uint64_t tables;

	must(axas_tables_needed(cfg, gpa, NUM_PAGES(size) * PAGE_SIZE, flags, &tables),
	     "the configuration's regions");
	return tables;
}

/* Each region counted as if alone: an upper bound, and the emulated ones need at most two chains. */
static uint64_t count_tables(const axas_config_t *cfg, const struct vm_config *config)
{
	uint64_t tables = 0;

	for (size_t i = 0; i < config->region_num; i++)
		tables += tables_for(cfg, config->regions[i].base, config->regions[i].size,
				     RAM_FLAGS | AXAS_NO_HUGE);
	for (size_t i = 0; i < config->dev_num; i++)
		tables += tables_for(cfg, config->devs[i].va, config->devs[i].size,
				     DEV_FLAGS | AXAS_NO_HUGE);
	return tables + VM_EMUL_MAX * tables_for(cfg, cfg->base + cfg->size / 2 - PAGE_SIZE,
						 2 * PAGE_SIZE, AXAS_READ | AXAS_NEED_LAZY);
}

/* With colours the pages lie scattered: the arena takes them one by one and joins what it can. */
static void fill_arena(struct vm_space *as, size_t num_pages)
{
	unsigned char *va = mem_alloc_page(num_pages, SEC_HYP_VM, MEM_ALIGN_NOT_REQ);

	if (va == NULL)
		ERROR("page tables of a VM", "no memory");
	must(axas_arena_init(&as->arena), "axas_arena_init");
	for (size_t i = 0; i < num_pages; i++) {
		paddr_t pa;

		if (!mem_translate(cpu()->as, (vaddr_t)(va + i * PAGE_SIZE), &pa))
			ERROR("page tables of a VM", "not mapped");
		must(axas_arena_add(&as->arena, va + i * PAGE_SIZE, pa, PAGE_SIZE),
		     "axas_arena_add");
	}
}

void vm_mem_prot_init(struct vm *vm, const struct vm_config *config)
{
	struct vm_space *as = &vm->as;
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_ARM_S2,
		.size = UINT64_C(1) << 40,
		.vmid = (uint32_t)vm->id,
	};
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		/* TLBI by VMID, broadcast; the VMID that was loaded is put back afterwards. */
		.flags = AXAS_HAL_BUILTIN_FLUSH,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = phys_to_virt,
		.release_virt = release_virt,
	};

	vm->config = config;
	fill_arena(as, count_tables(&cfg, config));
	must(axas_arena_hal_tables(&as->arena, &hal), "axas_arena_hal_tables");
	must(axas_create_in(as->storage, sizeof(as->storage), &cfg, &hal, &as->axas),
	     "axas_create_in");
}

static bool has_color(paddr_t pa, colormap_t colors)
{
	return colors >> (pa / PAGE_SIZE / COLOR_SIZE % COLOR_NUM) & 1;
}

static void map_colored(struct vm *vm, axas_gpa_t gpa, const struct ppages *ppages)
{
	axas_extent_t extents[BATCH];
	paddr_t pa = ppages->base;
	size_t left = ppages->num_pages;

	while (left > 0) {
		size_t count = 0;

		for (; count < BATCH && left > 0; pa += PAGE_SIZE) {
			if (!has_color(pa, ppages->colors))
				continue;
			extents[count++] = (axas_extent_t){ pa, PAGE_SIZE };
			left--;
		}
		must(axas_map_extents(vm->as.axas, gpa, extents, count, RAM_FLAGS), "coloured RAM");
		gpa += count * PAGE_SIZE;
	}
}

void vm_map_mem_region(struct vm *vm, const struct vm_mem_region *reg)
{
	const size_t n = NUM_PAGES(reg->size);
	struct ppages ppages = { .base = reg->phys, .num_pages = n, .colors = reg->colors };

	if (!reg->place_phys) {
		ppages = mem_alloc_ppages(vm->config->colors, n, MEM_ALIGN_NOT_REQ);
		if (ppages.num_pages < n)
			ERROR("RAM of a VM", "no memory");
	}
	if (ppages.colors != 0)
		map_colored(vm, reg->base, &ppages);
	else
		must(axas_map_linear(vm->as.axas, reg->base, ppages.base, n * PAGE_SIZE, RAM_FLAGS),
		     "RAM");
}

void vm_map_dev(struct vm *vm, const struct vm_dev_region *dev)
{
	must(axas_map_linear(vm->as.axas, dev->va, dev->pa, NUM_PAGES(dev->size) * PAGE_SIZE,
			     DEV_FLAGS),
	     "device");
}

/* The VM starts with its caches off. */
void vm_install_image(struct vm *vm)
{
	must(axas_write(vm->as.axas, vm->config->image.base_addr, vm->config->image.data,
			vm->config->image.size, AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "image");
}

/*
 * Regions of less than a page take the whole one; two in one page are refused. A cookie has 32 bits, too
 * few for a pointer: it is an index into the table of the VM's regions.
 */
void vm_emul_add_mem(struct vm *vm, struct emul_mem *emu)
{
	struct vm_space *as = &vm->as;
	const vaddr_t first = emu->va_base & ~(PAGE_SIZE - 1);
	const size_t size = NUM_PAGES(emu->va_base - first + emu->size) * PAGE_SIZE;

	if (as->emul_num == VM_EMUL_MAX)
		ERROR("emulated region", "too many");
	must(axas_map_trap(as->axas, first, size, as->emul_num), "emulated region");
	as->emuls[as->emul_num++] = emu;
}

/* The handler of data aborts asks this first; no search. */
emul_handler_t vm_emul_get_mem(struct vm *vm, vaddr_t addr)
{
	const struct vm_space *as = &vm->as;
	const struct emul_mem *emu;
	uint64_t cookie;

	if (axas_trap_cookie(as->axas, addr, &cookie) != AXAS_OK || cookie >= as->emul_num)
		return NULL;
	emu = as->emuls[cookie];
	return addr - emu->va_base < emu->size ? emu->handler : NULL;
}

void vcpu_arch_profile_init(struct vm *vm)
{
	axas_hw_regs_t registers;

	must(axas_hw_regs(vm->as.axas, &registers), "axas_hw_regs");
	sysreg_vtcr_el2_write(registers.control_register);
	sysreg_vttbr_el2_write(registers.root_register);
	/* Then, as before: ISB, tlb_vm_inv_all(vm->id). */
}
