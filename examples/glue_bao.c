/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The second stage of VMs in Bao, 64-bit RISC-V and Armv8-A. Bao's own address spaces, its page pools with
 * their colours and its emulation of devices stay as they are.
 *
 *   in Bao                                          here
 *   as_init(&vm->as, AS_VM, ...)                    vm_mem_prot_init
 *   mem_alloc_map(&vm->as, ...)                     vm_mem_map
 *   mem_alloc_map_dev(&vm->as, ...)                 vm_mem_map_dev
 *   mem_map_cpy, memcpy and cache_flush_range       vm_mem_copy
 *   hgatp or VTTBR_EL2 from vm->as.pt.root          vm_mem_regs
 *   vm_emul_add_mem, vm_emul_get_mem                the same, with VM_MEM_LAZY
 *   guest_page_fault_handler, aborts_data_lower     vm_mem_fault first, with VM_MEM_LAZY
 *
 * Without VM_MEM_LAZY nothing is mapped or unmapped once a VM runs, and four calls of the library are
 * enough: axas_create_in, axas_hw_regs, axas_map_extents, axas_translate (Armv8-A: and those of the arena).
 * A VM that cannot be built is an error of the configuration, which Bao does not survive.
 */
#include <config.h>
#include <string.h>
#include <tlb.h>
#include <vm.h>
#ifdef RV64
#include <arch/csrs.h>
#else
#include <arch/sysregs.h>
#endif

#define RAM_FLAGS (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)
#define DEV_FLAGS (AXAS_READ | AXAS_WRITE | AXAS_DEVICE)
/*
 * Bao does not zero the memory of a VM, and no page goes from one VM to another: what a VM finds is from before
 * boot. A port that takes pages back from VMs (axas_unmap, axas_discard) leaves this away.
 */
#define OPTIONS   AXAS_NO_ZERO

static void must(axas_status_t status, const char *what)
{
	if (status != AXAS_OK) {
		ERROR("VM memory: %s: axaddrspace status %d\n", what, status);
	}
}

/* --- what the library asks of Bao ------------------------------------------------------------- */

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	const struct vm *vm = ctx;
	const size_t n = (size_t)1 << order;
	/* Aligned pages of several have no colour in Bao. */
	const struct ppages ppages =
		mem_alloc_ppages(vm->as.colors, n, n > 1 ? MEM_ALIGN_REQ : MEM_ALIGN_NOT_REQ);

	(void)purpose;
	return ppages.num_pages == n ? ppages.base : AXAS_HPA_INVALID;
}

/* The port takes the `static` from Bao's mem_free_ppages. */
static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct ppages ppages = mem_ppages_get(frame, (size_t)1 << order);

	(void)ctx;
	(void)purpose;
	mem_free_ppages(&ppages);
}

#ifdef RV64

/* All memory of the platform is mapped where it is, and Bao refuses images that lie elsewhere. */
static unsigned char *open_image(paddr_t pa, size_t size)
{
	(void)size;
	return (unsigned char *)pa;
}

static void close_image(unsigned char *va, size_t size)
{
	(void)va;
	(void)size;
}

/* All harts, by SBI: the firmware answers for them, also while they wait for the library's lock. */
static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	tlb_vm_inv_all(request->vmid);
}

/* Tables and memory of guests alike: Bao maps all memory of the platform where it is. */
static axas_hal_t hal_of(struct vm *vm)
{
	return (axas_hal_t){
		.struct_size = sizeof(axas_hal_t),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_BUILTIN_LOCAL,
		.ctx = vm,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.tlb_flush = tlb_flush,
	};
}

/* Sv39x4, as Bao has it. With Svpbmt Bao has seen to it that PBMTE is 1. */
static axas_config_t config_of(const struct vm *vm)
{
	return (axas_config_t){
		.struct_size = sizeof(axas_config_t),
		.format = AXAS_FORMAT_RISCV_GSTAGE,
		.size = UINT64_C(1) << 41,
		.vmid = (uint32_t)vm->id,
		.features = CPU_HAS_EXTENSION(CPU_EXT_SVPBMT) ? AXAS_FEATURE_RISCV_SVPBMT : 0,
		.options = OPTIONS,
	};
}

static void tables_init(struct vm *vm, const axas_config_t *cfg, axas_hal_t *hal)
{
	(void)vm;
	(void)cfg;
	(void)hal;
}

#else

/* A window of this CPU's onto memory that need not be mapped anywhere. */
static void *open_window(void *ctx, axas_hpa_t pa, size_t size)
{
	const size_t offset = pa % PAGE_SIZE;
	struct ppages ppages = mem_ppages_get(pa - offset, NUM_PAGES(offset + size));
	const vaddr_t window = mem_alloc_map(&cpu()->as, SEC_HYP_PRIVATE, &ppages, INVALID_VA,
					     ppages.num_pages, PTE_HYP_FLAGS);

	(void)ctx;
	return window == INVALID_VA ? NULL : (void *)(window + offset);
}

static void close_window(void *ctx, void *va, size_t size)
{
	const size_t offset = (vaddr_t)va % PAGE_SIZE;

	(void)ctx;
	mem_unmap(&cpu()->as, (vaddr_t)va - offset, NUM_PAGES(offset + size), MEM_DONT_FREE_PAGES);
}

static unsigned char *open_image(paddr_t pa, size_t size)
{
	unsigned char *window = open_window(NULL, pa, size);

	if (window == NULL) {
		ERROR("VM memory: no window onto 0x%lx\n", pa);
	}
	return window;
}

static void close_image(unsigned char *va, size_t size)
{
	close_window(NULL, va, size);
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	cache_flush_range((vaddr_t)va, size);
}

/* TLBI by VMID is broadcast, and the VMID that was loaded is put back afterwards. */
static axas_hal_t hal_of(struct vm *vm)
{
	return (axas_hal_t){
		.struct_size = sizeof(axas_hal_t),
		.flags = AXAS_HAL_BUILTIN_FLUSH,
		.ctx = vm,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = open_window,
		.release_virt = close_window,
		.clean_range = clean_range,
	};
}

/* The widths of the narrowest CPU, which Bao has found out: VTCR_EL2 is the one that it wrote itself. */
static axas_config_t config_of(const struct vm *vm)
{
	return (axas_config_t){
		.struct_size = sizeof(axas_config_t),
		.format = AXAS_FORMAT_ARM_S2,
		.pa_bits = (uint32_t)parange_table[parange],
		.size = UINT64_C(1) << parange_table[parange],
		.vmid = (uint32_t)vm->id,
		.options = OPTIONS,
	};
}

static uint64_t tables_for(const axas_config_t *cfg, vaddr_t at, size_t size, axas_flags_t flags)
{
	uint64_t tables = 0;

	must(axas_tables_needed(cfg, at, NUM_PAGES(size) * PAGE_SIZE, flags, &tables),
	     "a region of the configuration");
	return tables;
}

/*
 * Each region counted as if alone and in pages of 4 KiB, an upper bound. Emulated devices and the memory of
 * IPC and remote I/O: two chains of tables each.
 */
static uint64_t count_tables(const axas_config_t *cfg, const struct vm_platform *parts)
{
	const uint64_t chains = tables_for(cfg, (vaddr_t)(cfg->size / 2) - PAGE_SIZE, 2 * PAGE_SIZE,
					   RAM_FLAGS | AXAS_NEED_LAZY);
	uint64_t tables = (VM_EMUL_MAX + parts->ipc_num + parts->remio_dev_num) * chains;

	for (size_t i = 0; i < parts->region_num; i++)
		tables += tables_for(cfg, parts->regions[i].base, parts->regions[i].size,
				     RAM_FLAGS | AXAS_NO_HUGE);
	for (size_t i = 0; i < parts->dev_num; i++) {
		if (parts->devs[i].va != INVALID_VA && parts->devs[i].size > 0)
			tables += tables_for(cfg, parts->devs[i].va, parts->devs[i].size,
					     DEV_FLAGS | AXAS_NO_HUGE);
	}
	return tables;
}

/*
 * No memory but its own image is mapped at EL2, so all tables that the VM can need are taken and mapped here,
 * once. Where the hypervisor has colours they are not side by side: the arena joins what it can.
 */
static void tables_init(struct vm *vm, const axas_config_t *cfg, axas_hal_t *hal)
{
	const size_t num_pages = count_tables(cfg, &vm->config->platform);
	const vaddr_t va = (vaddr_t)mem_alloc_page(num_pages, SEC_HYP_VM, MEM_ALIGN_NOT_REQ);
	paddr_t pa;

	if (va == INVALID_VA) {
		ERROR("VM memory: no %d pages for tables\n", num_pages);
	}
	must(axas_arena_init(&vm->as.arena), "axas_arena_init");
	for (size_t i = 0; i < num_pages; i++) {
		if (!mem_translate(&cpu()->as, va + i * PAGE_SIZE, &pa)) {
			ERROR("VM memory: tables at 0x%lx are not mapped\n", va);
		}
		must(axas_arena_add(&vm->as.arena, (void *)(va + i * PAGE_SIZE), pa, PAGE_SIZE),
		     "axas_arena_add");
	}
	must(axas_arena_hal_tables(&vm->as.arena, hal), "axas_arena_hal_tables");
}

#endif

/* --- the space of a VM ------------------------------------------------------------------------ */

void vm_mem_prot_init(struct vm *vm, const struct vm_config *vm_config)
{
	const axas_config_t cfg = config_of(vm);
	axas_hal_t hal = hal_of(vm);

	vm->as.colors = vm_config->colors;
	tables_init(vm, &cfg, &hal);
	must(axas_create_in(vm->as.storage, sizeof(vm->as.storage), &cfg, &hal, &vm->as.axas),
	     "axas_create_in");
}

axas_hw_regs_t vm_mem_regs(const struct vm *vm)
{
	axas_hw_regs_t regs;

	must(axas_hw_regs(vm->as.axas, &regs), "axas_hw_regs");
	return regs;
}

static void map(struct vm *vm, vaddr_t at, const axas_extent_t *extents, size_t count,
		axas_flags_t flags)
{
	const axas_status_t status = axas_map_extents(vm->as.axas, at, extents, count, flags);

	if (status != AXAS_OK) {
		ERROR("VM memory: 0x%lx: axaddrspace status %d\n", at, status);
	}
}

/* Maps what is gathered. */
static void flush_batch(struct vm *vm)
{
	struct vm_batch *batch = &vm->as.batch;

	map(vm, batch->at, batch->extents, batch->count, RAM_FLAGS);
	batch->at += batch->size;
	batch->size = 0;
	batch->count = 0;
}

static void add(struct vm *vm, paddr_t pa, size_t size)
{
	struct vm_batch *batch = &vm->as.batch;

	if (batch->count > 0 &&
	    batch->extents[batch->count - 1].hpa + batch->extents[batch->count - 1].size == pa) {
		batch->extents[batch->count - 1].size += size;
	} else {
		if (batch->count == VM_BATCH)
			flush_batch(vm);
		batch->extents[batch->count++] = (axas_extent_t){ pa, size };
	}
	batch->size += size;
}

static void add_colored(struct vm *vm, const struct ppages *ppages, size_t num_pages)
{
	for (paddr_t pa = ppages->base; num_pages > 0; pa += PAGE_SIZE) {
		if (ppages->colors >> (pa / PAGE_SIZE / COLOR_SIZE % COLOR_NUM) & 1) {
			add(vm, pa, PAGE_SIZE);
			num_pages--;
		}
	}
}

/* Pages of the largest leaf that fits at the address, aligned as the leaf must be. */
static struct ppages alloc_piece(const struct vm *vm, vaddr_t at, size_t num_pages)
{
	struct ppages ppages = { .num_pages = 0 };

	for (size_t n = (size_t)1 << 18; ppages.num_pages == 0 && n > 0; n >>= 9) {
		if (n <= num_pages && at % (n * PAGE_SIZE) == 0)
			ppages = mem_alloc_ppages(vm->as.colors, n,
						  n > 1 ? MEM_ALIGN_REQ : MEM_ALIGN_NOT_REQ);
	}
	return ppages;
}

static void add_new(struct vm *vm, vaddr_t at, size_t num_pages)
{
	while (num_pages > 0) {
		const struct ppages piece = alloc_piece(vm, at, num_pages);

		if (piece.num_pages == 0) {
			ERROR("VM memory: no page for 0x%lx\n", at);
		}
		add(vm, piece.base, piece.num_pages * PAGE_SIZE);
		at += piece.num_pages * PAGE_SIZE;
		num_pages -= piece.num_pages;
	}
}

void vm_mem_map(struct vm *vm, vaddr_t at, const struct ppages *ppages, size_t num_pages)
{
	struct ppages colored;

	if (num_pages == 0)
		return;
	vm->as.batch.at = at;
	if (ppages == NULL && !all_clrs(vm->as.colors)) {
		colored = mem_alloc_ppages(vm->as.colors, num_pages, MEM_ALIGN_NOT_REQ);
		if (colored.num_pages < num_pages) {
			ERROR("VM memory: no %d pages of its colours\n", num_pages);
		}
		ppages = &colored;
	}
	if (ppages == NULL)
		add_new(vm, at, num_pages);
	else if (!all_clrs(ppages->colors))
		add_colored(vm, ppages, num_pages);
	else
		add(vm, ppages->base, num_pages * PAGE_SIZE);
	flush_batch(vm);
}

void vm_mem_map_dev(struct vm *vm, vaddr_t at, paddr_t pa, size_t num_pages)
{
	const axas_extent_t extent = { pa, num_pages * PAGE_SIZE };

	/* A device of interrupts alone has none. */
	if (num_pages > 0)
		map(vm, at, &extent, 1, DEV_FLAGS);
}

void vm_mem_copy(struct vm *vm, vaddr_t to, paddr_t from, size_t size)
{
	unsigned char *source = open_image(from, size);
	axas_hpa_t hpa = 0;
	uint64_t piece = 0;

	for (size_t done = 0; done < size; done += piece) {
		unsigned char *target;

		must(axas_translate(vm->as.axas, to + done, &hpa, &piece), "an image");
		piece = min(piece, size - done);
		target = open_image(hpa, piece);
		memcpy(target, source + done, piece);
		cache_flush_range((vaddr_t)target, piece);
		close_image(target, piece);
	}
	close_image(source, size);
}

#ifdef VM_MEM_LAZY

/* --- memory on demand and emulated devices ---------------------------------------------------- */

void vm_mem_reserve(struct vm *vm, vaddr_t at, size_t num_pages)
{
	must(axas_map_alloc(vm->as.axas, at, num_pages * PAGE_SIZE, RAM_FLAGS), "memory on demand");
}

/* One page, of which another device may have a part already. */
static void trap(struct vm_space *as, vaddr_t page, size_t index)
{
	axas_status_t status = axas_map_trap(as->axas, page, PAGE_SIZE, index);
	uint64_t cookie;

	if (status == AXAS_ERR_ALREADY_EXISTS &&
	    axas_trap_cookie(as->axas, page, &cookie) == AXAS_OK)
		status = AXAS_OK;
	must(status, "an emulated device");
}

/* A cookie has 32 bits, too few for a pointer: it is an index into the table of the VM's devices. */
void vm_emul_add_mem(struct vm *vm, struct emul_mem *emu)
{
	struct vm_space *as = &vm->as;
	const vaddr_t first = emu->va_base - emu->va_base % PAGE_SIZE;
	const size_t num_pages = NUM_PAGES(emu->va_base - first + emu->size);

	if (as->emul_num == VM_EMUL_MAX) {
		ERROR("VM memory: more than %d emulated devices\n", VM_EMUL_MAX);
	}
	for (size_t i = 0; i < num_pages; i++)
		trap(as, first + i * PAGE_SIZE, as->emul_num);
	as->emuls[as->emul_num++] = emu;
}

/* The table is searched from the device that has the page: another may have the rest of it. */
emul_handler_t vm_emul_get_mem(struct vm *vm, vaddr_t addr)
{
	const struct vm_space *as = &vm->as;
	uint64_t index;

	if (axas_trap_cookie(as->axas, addr, &index) != AXAS_OK)
		return NULL;
	for (; index < as->emul_num; index++) {
		if (addr - as->emuls[index]->va_base < as->emuls[index]->size)
			return as->emuls[index]->handler;
	}
	return NULL;
}

static axas_status_t decode(axas_fault_t *fault)
{
#ifdef RV64
	return axas_fault_from_riscv(csrs_scause_read(), csrs_stval_read(), csrs_htval_read(),
				     csrs_htinst_read(), fault);
#else
	return axas_fault_from_arm(sysreg_esr_el2_read(), sysreg_far_el2_read(),
				   sysreg_hpfar_el2_read(), fault);
#endif
}

/*
 * The rest is as before: what is emulated has a handler, and where nothing is mapped there is none. A page of
 * the VM's that is not to be had is not an access to nothing, and says so.
 */
bool vm_mem_fault(struct vm *vm)
{
	axas_fault_result_t result;
	axas_fault_t fault;

	if (decode(&fault) != AXAS_OK || (fault.valid & AXAS_VALID_GPA) == 0 ||
	    fault.kind > AXAS_KIND_ACCESS_FLAG)
		return false;
	result = axas_handle_page_fault(vm->as.axas, fault.gpa, fault.access);
	if (result == AXAS_FAULT_NO_MEMORY) {
		ERROR("VM memory: no page for 0x%lx\n", fault.gpa);
	}
	return axas_fault_resumes(result) != 0;
}

#endif
