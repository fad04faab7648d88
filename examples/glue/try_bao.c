/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tries glue_bao.c as vm_init of Bao uses it, for one VM with colours and one without: RAM, an image, a device,
 * memory on demand, emulated devices, of which two share a page.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bao_stubs.h"

#define RAM    0x40000000
#define PAGES  (size_t)600
#define LAZY   0x50000000
#define GICD   0x08000000
#define REMIO  0x0a000000
#define COLORS 0x5 /* the first and the third of four */

static struct vm vms[2] = { { .id = 0 }, { .id = 1 } };

void console_printk(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
}

void standin_stop(void)
{
	exit(1);
}

static bool gicd_handler(struct emul_access *access)
{
	return access->width == 4;
}

static bool remio_handler(struct emul_access *access)
{
	return access->width == 8;
}

/* Pages of RAM that are of the VM's colours. */
static size_t right_colors(const struct vm *vm)
{
	size_t right = 0;

	for (size_t i = 0; i < PAGES; i++) {
		axas_hpa_t hpa;

		if (axas_translate(vm->as.axas, RAM + i * PAGE_SIZE, &hpa, NULL) == AXAS_OK &&
		    (all_clrs(vm->as.colors) ||
		     vm->as.colors >> (hpa / PAGE_SIZE / COLOR_SIZE % COLOR_NUM) & 1))
			right++;
	}
	return right;
}

/* The image lies in the guest's memory, page by scattered page. */
static bool image_is_there(const struct vm *vm, const unsigned char *image, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		axas_hpa_t hpa;

		if (axas_translate(vm->as.axas, vm->config->image.base_addr + i, &hpa, NULL) !=
			    AXAS_OK ||
		    *(const unsigned char *)bao_pool_at(hpa) != image[i])
			return false;
	}
	return true;
}

static bool fault(struct vm *vm, unsigned long gpa)
{
#ifdef RV64
	const unsigned long store = 23;
#else
	const unsigned long store =
		0x93800046; /* data abort, write, translation fault of level 2 */
#endif

	bao_fault = (struct bao_fault){ store, gpa, gpa };
	return vm_mem_fault(vm);
}

static const char *yes(bool is)
{
	return is ? "yes" : "no";
}

static bool try_vm(struct vm *vm, const struct vm_config *vm_config, const unsigned char *image)
{
	struct emul_mem gicd = { .va_base = GICD, .size = 0x10000, .handler = gicd_handler };
	struct emul_mem first = { .va_base = REMIO, .size = 0x200, .handler = gicd_handler };
	struct emul_mem second = { .va_base = REMIO + 0x200,
				   .size = 0x200,
				   .handler = remio_handler };
	const struct vm_mem_region *ram = &vm_config->platform.regions[0];
	axas_stats_t stats;
	size_t right, taken;
	bool there;

	vm->config = vm_config;
	vm_mem_prot_init(vm, vm_config);
	vm_emul_add_mem(vm, &gicd);
	vm_emul_add_mem(vm, &first);
	vm_emul_add_mem(vm, &second);
	vm_mem_map(vm, ram->base, NULL, NUM_PAGES(ram->size));
	vm_mem_copy(vm, vm_config->image.base_addr, vm_config->image.load_addr,
		    vm_config->image.size);
	vm_mem_reserve(vm, LAZY, PAGES);
	vm_mem_map_dev(vm, vm_config->platform.devs[0].va, vm_config->platform.devs[0].pa, 1);
	/* of interrupts alone */
	vm_mem_map_dev(vm, 0, 0, 0);

	right = right_colors(vm);
	there = image_is_there(vm, image, vm_config->image.size);
	taken = bao_pages_taken();
	printf("%zu of %zu pages of RAM are the VM's, the image is there: %s, windows open: %u\n",
	       right, PAGES, yes(there), stub_counts.windows_open);
	printf("on demand: first %s, again %s, another %s; behind it: %s\n", yes(fault(vm, LAZY)),
	       yes(fault(vm, LAZY)), yes(fault(vm, LAZY + 5 * PAGE_SIZE)),
	       yes(fault(vm, LAZY + PAGES * PAGE_SIZE)));
	printf("GICD's last register: %s, behind it: %s, RAM: %s; goes on: %s\n",
	       yes(vm_emul_get_mem(vm, GICD + 0xfffc) == gicd_handler),
	       yes(vm_emul_get_mem(vm, GICD + 0x10000) != NULL),
	       yes(vm_emul_get_mem(vm, RAM) != NULL), yes(fault(vm, GICD)));
	printf("two in one page: %s, %s, behind them: %s\n",
	       yes(vm_emul_get_mem(vm, REMIO + 0x1fc) == gicd_handler),
	       yes(vm_emul_get_mem(vm, REMIO + 0x200) == remio_handler),
	       yes(vm_emul_get_mem(vm, REMIO + 0x400) != NULL));
	if (axas_stats(vm->as.axas, &stats) != AXAS_OK)
		return false;
	printf("%" PRIu64 " pages of 4 KiB, %" PRIu64 " of 2 MiB, of the library's: %" PRIu64 "\n",
	       stats.mapped_4k, stats.mapped_2m, stats.guest_frames);
	return right == PAGES && there && stub_counts.windows_open == 0 &&
	       bao_pages_taken() >= taken + 2 && vm_mem_regs(vm).root_register != 0;
}

int main(void)
{
	unsigned char *image = mem_alloc_page(4, SEC_HYP_GLOBAL, MEM_ALIGN_NOT_REQ);
	struct vm_mem_region regions[] = { { .base = RAM, .size = PAGES * PAGE_SIZE },
					   { .base = LAZY, .size = PAGES * PAGE_SIZE } };
	struct vm_dev_region devs[] = { { .pa = 0x09000000, .va = 0x09000000, .size = 0x1000 } };
	struct vm_config vm_config = {
		.image = { .base_addr = RAM + 0x1000, .size = 3 * 4096 + 100 },
		.platform = { .region_num = 2, .regions = regions, .dev_num = 1, .devs = devs },
	};
	bool good = mem_translate(&cpu()->as, (vaddr_t)image, &vm_config.image.load_addr);

	for (size_t i = 0; i < vm_config.image.size; i++)
		image[i] = (unsigned char)(i * 7 / 5);
	good = try_vm(&vms[0], &vm_config, image) && good;
	vm_config.colors = COLORS;
	good = try_vm(&vms[1], &vm_config, image) && good;
	printf("%u mistakes\n", stub_counts.mistakes);
	return !good || stub_counts.mistakes != 0;
}
