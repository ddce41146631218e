/* SPDX-License-Identifier: Apache-2.0 */
/* What start.S calls: sets the machine up, then runs the fixture. */
#include "cpu.h"
#include "fixture.h"
#include "memory.h"

void fixture_start(void)
{
	struct machine_info info;

	cpu_init();
	sclp_init(&info);
	alloc_init(info.memory_bytes);
	fixture_main(&info);
	stop(STOP_NORMAL);
}
