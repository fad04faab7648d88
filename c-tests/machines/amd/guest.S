/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define HYPERCALL vmmcall
#include "x86/guest.S"
