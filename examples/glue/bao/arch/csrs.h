/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stands in for Bao's arch/csrs.h on RISC-V: see ../vm.h. */
#ifndef STANDIN_BAO_CSRS_H
#define STANDIN_BAO_CSRS_H

unsigned long csrs_scause_read(void);
unsigned long csrs_stval_read(void);
unsigned long csrs_htval_read(void);
unsigned long csrs_htinst_read(void);

#endif
