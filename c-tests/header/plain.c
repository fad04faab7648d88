/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The header alone, twice; then something that uses it, so that the types are looked at. */
#include "axaddrspace.h"
#include "axaddrspace.h"

uint32_t plain_use(axas_t *as, axas_gpa_t gpa);
uint32_t plain_use(axas_t *as, axas_gpa_t gpa)
{
	axas_fault_result_t verdict = axas_handle_page_fault(as, gpa, AXAS_READ | AXAS_WRITE);
	axas_status_t status = axas_map_alloc(as, gpa, AXAS_PAGE_SIZE, AXAS_READ | AXAS_POPULATE);

	if (status == AXAS_ERR_ALREADY_EXISTS || status < AXAS_OK)
		return 0;
	return axas_fault_resumes(verdict);
}
