/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The example's VMCS once more, for it is made for one CPU: the second one needs a VMXON region and
 * a VMCS of its own, and nothing else.
 */
#define vmx_on      second_vmx_on
#define vmcs_load   second_vmcs_load
#define vmcs_unload second_vmcs_unload
#define vmcs_read   second_vmcs_read
#define vmcs_write  second_vmcs_write

#include "intel/vmcs.c"
