/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Everything that an archive must not have: each check of check.py has to refuse this object. */

extern void host_function(void);
extern int host_data;

static int state = 1;
int *const pointer_table[] = { &state, &host_data };

double axas_version(double factor)
{
	host_function();
	return factor * host_data;
}

void core_panicking_panic(void)
{
	host_function();
}
