/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the compiler has no words for: model-specific registers, pointers to descriptor tables. */
#ifndef HYPERVISOR_X86_CPU_H
#define HYPERVISOR_X86_CPU_H

#include <stdint.h>

/* As LGDT, LIDT, SGDT and SIDT want it. */
struct descriptor_table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static inline uint64_t read_msr(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t number, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

#endif
