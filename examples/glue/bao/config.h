/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stands in for Bao's config.h: see vm.h here. */
#ifndef STANDIN_BAO_CONFIG_H
#define STANDIN_BAO_CONFIG_H

#include <vm.h>

struct vm_config {
	struct {
		vaddr_t base_addr; /* in the VM */
		paddr_t load_addr; /* in host memory */
		size_t size;
		bool inplace;
	} image;
	vaddr_t entry;
	colormap_t colors;
	struct vm_platform platform;
};

#endif
