/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* SYSREG(name) defines read_name() and write_name() for a system register. */
#ifndef HYPERVISOR_ARM_SYSREG_H
#define HYPERVISOR_ARM_SYSREG_H

#include <stdint.h>

#define SYSREG(name)                                                           \
	static inline uint64_t read_##name(void)                               \
	{                                                                      \
		uint64_t value;                                                \
                                                                               \
		__asm__ volatile("mrs %0, " #name : "=r"(value)::"memory");    \
		return value;                                                  \
	}                                                                      \
	static inline void write_##name(uint64_t value)                        \
	{                                                                      \
		__asm__ volatile("msr " #name ", %0" ::"r"(value) : "memory"); \
	}

#endif
