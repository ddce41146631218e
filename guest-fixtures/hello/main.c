/* SPDX-License-Identifier: Apache-2.0 */
/* hello: one console line, then a disabled wait. The smallest program that needs SERVC and interruptions. */
#include "fixture.h"
#include "print.h"

const char program_name[] = "hello";

void fixture_main(const struct machine_info *info)
{
	say("a bare-metal s390x guest with %lu MiB", info->memory_bytes >> 20);
}
