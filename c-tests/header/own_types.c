/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A host without the standard headers, which has these types (and a bool) of its own. */
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __SIZE_TYPE__ size_t;
#ifdef __cplusplus
#define HOST_NULL nullptr
#else
#define HOST_NULL ((void *)0)
typedef enum { false, true } bool;
#endif

#define AXAS_NO_STD_HEADERS
#include "axaddrspace.h"

#if defined(INT32_MAX) || defined(offsetof) || defined(NULL)
#error "axaddrspace.h includes standard headers although it was told not to"
#endif

axas_status_t own_types_use(const axas_config_t *config, const axas_hal_t *hal);
axas_status_t own_types_use(const axas_config_t *config, const axas_hal_t *hal)
{
	axas_t *as = HOST_NULL;

	return axas_create(config, hal, &as);
}
