/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define HYPERCALL vmcall
#include "x86/guest.S"
