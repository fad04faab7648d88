/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The virtual machine control block: AMD64 Architecture Programmer's Manual, volume 2, appendix B.
 * Fields that nobody here uses are padding.
 */
#ifndef HYPERVISOR_AMD_VMCB_H
#define HYPERVISOR_AMD_VMCB_H

#include <stddef.h>
#include <stdint.h>

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	uint32_t intercept_cr;
	uint32_t intercept_dr;
	uint32_t intercept_exceptions;
	uint32_t intercept_instructions;
	uint32_t intercept_svm;
	uint8_t padding_014[0x40 - 0x14];
	uint64_t io_permissions;
	uint64_t msr_permissions;
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint8_t padding_060[0x70 - 0x60];
	uint64_t exit_code;
	uint64_t exit_info_1;
	uint64_t exit_info_2;
	uint64_t exit_interrupt;
	uint64_t nested_control;
	uint8_t padding_098[0xb0 - 0x98];
	uint64_t nested_cr3;
	uint8_t padding_0b8[0x400 - 0xb8];

	struct vmcb_segment es;
	struct vmcb_segment cs;
	struct vmcb_segment ss;
	struct vmcb_segment ds;
	struct vmcb_segment fs;
	struct vmcb_segment gs;
	struct vmcb_segment gdtr;
	struct vmcb_segment ldtr;
	struct vmcb_segment idtr;
	struct vmcb_segment tr;
	uint8_t padding_4a0[0x4d0 - 0x4a0];
	uint64_t efer;
	uint8_t padding_4d8[0x548 - 0x4d8];
	uint64_t cr4;
	uint64_t cr3;
	uint64_t cr0;
	uint64_t dr7;
	uint64_t dr6;
	uint64_t rflags;
	uint64_t rip;
	uint8_t padding_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t padding_5e0[0x5f8 - 0x5e0];
	uint64_t rax;
	uint8_t padding_600[0x668 - 0x600];
	uint64_t pat;
	uint8_t padding_670[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, io_permissions) == 0x40, "as in appendix B");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "as in appendix B");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "as in appendix B");
_Static_assert(offsetof(struct vmcb, nested_control) == 0x90, "as in appendix B");
_Static_assert(offsetof(struct vmcb, nested_cr3) == 0xb0, "as in appendix B");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "as in appendix B");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "as in appendix B");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "as in appendix B");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "as in appendix B");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "as in appendix B");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "as in appendix B");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "as in appendix B");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "as in appendix B");
_Static_assert(sizeof(struct vmcb) == 0x1000, "one page");

#endif
