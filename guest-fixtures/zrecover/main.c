/* SPDX-License-Identifier: Apache-2.0 */
/* zrecover: works on every test function and recovers each one from its error events as Linux does. */
#include "fixture.h"
#include "loop.h"
#include "recover.h"

const char program_name[] = "zrecover";

void fixture_main(const struct machine_info *info)
{
	static const struct loop_hooks hooks = { events_fetch, recover_step };

	loop_run(info, &hooks);
}
