/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zhang: a guest that hangs as far as recovery is concerned. It works on its functions and takes the
 * channel-report machine check, but never issues STCRW or CHSC, so its events stay where they are.
 */
#include "fixture.h"
#include "loop.h"

const char program_name[] = "zhang";

void fixture_main(const struct machine_info *info)
{
	static const struct loop_hooks hooks = { 0, 0 };

	loop_run(info, &hooks);
}
