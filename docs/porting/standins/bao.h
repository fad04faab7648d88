/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the glue of porting/bao.md needs of Bao: names as there, bodies nowhere. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

typedef uintptr_t vaddr_t;
typedef uintptr_t paddr_t;

enum AS_SEC { SEC_HYP_GLOBAL, SEC_HYP_IMAGE, SEC_HYP_PRIVATE, SEC_HYP_VM };

struct addr_space {
	int opaque;
};
struct cpu {
	struct addr_space as;
};

/* The members that the glue uses; the last three are its own. */
struct vm {
	unsigned long id;
	axas_t *space;
	axas_arena_t arena;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

struct cpu *cpu(void);
void *mem_alloc_page(size_t num_pages, enum AS_SEC sec, bool phys_aligned);
bool mem_translate(struct addr_space *as, vaddr_t va, paddr_t *pa);

/* What the guide defines. */
int vm_space_init(struct vm *vm, uint64_t guest_bits);
int vm_abort(struct vm *vm, uint64_t esr, uint64_t far, uint64_t hpfar, uint64_t *emulator);
