/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stands in for Bao's arch/sysregs.h on AArch64: see ../vm.h. */
#ifndef STANDIN_BAO_SYSREGS_H
#define STANDIN_BAO_SYSREGS_H

unsigned long sysreg_esr_el2_read(void);
unsigned long sysreg_far_el2_read(void);
unsigned long sysreg_hpfar_el2_read(void);

#endif
