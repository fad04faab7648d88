/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tries glue_bao.c as vm_init of Bao would use it: a VM of two colours, a device, an emulated GIC. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bao_stubs.h"

#define RAM    0x40000000
#define PAGES  40
#define GICD   0x08000000
#define COLORS 0x5 /* the first and the third of four */

static bool gicd_handler(struct emul_access *access)
{
	return access->width == 4;
}

_Noreturn void ERROR(const char *what, const char *why)
{
	printf("BAO ERROR: %s: %s\n", what, why);
	exit(1);
}

static uint32_t color_of(paddr_t pa)
{
	return pa / PAGE_SIZE / COLOR_SIZE % COLOR_NUM;
}

/* Every page of RAM has to be of a colour of this VM's. */
static uint32_t right_colors(const struct vm *vm)
{
	uint32_t right = 0;

	for (uint64_t i = 0; i < PAGES; i++) {
		axas_hpa_t hpa;

		if (axas_translate(vm->as.axas, RAM + i * PAGE_SIZE, &hpa, NULL) == AXAS_OK &&
		    COLORS >> color_of(hpa) & 1)
			right++;
	}
	return right;
}

/* The image lies in the guest's memory, page by scattered page. */
static bool image_is_there(const struct vm *vm, const char *image, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const vaddr_t gpa = vm->config->image.base_addr + i;
		axas_hpa_t hpa;

		if (axas_translate(vm->as.axas, gpa, &hpa, NULL) != AXAS_OK)
			return false;
		if (((const char *)bao_pool_at(hpa))[hpa % PAGE_SIZE] != image[i])
			return false;
	}
	return true;
}

int main(void)
{
	static char image[3 * 4096 + 100];
	static struct vm vm = { .id = 1 };
	static struct emul_mem gicd = { GICD, 0x10000, gicd_handler };
	const struct vm_mem_region regions[] = { { .base = RAM, .size = PAGES * PAGE_SIZE } };
	const struct vm_dev_region devs[] = { { 0x09000000, 0x09000000, 0x1000 } };
	const struct vm_config config = {
		.image = { RAM + 0x200, image, sizeof(image) },
		.region_num = 1,
		.regions = regions,
		.dev_num = 1,
		.devs = devs,
		.colors = COLORS,
	};
	axas_stats_t stats;
	uint32_t right;
	bool loaded;

	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (char)(i * 7 / 5);
	vm_mem_prot_init(&vm, &config);
	vm_map_mem_region(&vm, &regions[0]);
	vm_map_dev(&vm, &devs[0]);
	vm_emul_add_mem(&vm, &gicd);
	vm_install_image(&vm);
	vcpu_arch_profile_init(&vm);

	right = right_colors(&vm);
	loaded = image_is_there(&vm, image, sizeof(image));
	printf("%u of %u pages of RAM have the VM's colours\n", right, PAGES);
	printf("image in place: %s, through windows: %s, still open: %u\n", loaded ? "yes" : "NO",
	       stub_counts.windows_opened > 0 ? "yes" : "NO", stub_counts.windows_open);
	printf("VTTBR_EL2 has VMID %" PRIu64 ", VTCR_EL2 is %s\n", bao_registers.vttbr >> 48,
	       bao_registers.vtcr != 0 ? "set" : "NOT SET");
	printf("handler of the GICD's last register: %s, behind it: %s, of RAM: %s\n",
	       vm_emul_get_mem(&vm, GICD + 0xfffc) == gicd_handler ? "yes" : "no",
	       vm_emul_get_mem(&vm, GICD + 0x10000) == gicd_handler ? "yes" : "no",
	       vm_emul_get_mem(&vm, RAM) == gicd_handler ? "yes" : "no");
	if (axas_stats(vm.as.axas, &stats) != AXAS_OK)
		return 1;
	printf("%" PRIu64 " pages mapped, no frame of the guest's was the library's: %s\n",
	       stats.mapped_4k, stats.guest_frames == 0 ? "yes" : "NO");
	printf("%u mistakes\n", stub_counts.mistakes);
	return right != PAGES || !loaded || stub_counts.windows_open != 0 ||
	       stub_counts.mistakes != 0;
}
