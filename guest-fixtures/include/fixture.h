/* SPDX-License-Identifier: Apache-2.0 */
/* The one function that a fixture has to define besides `program_name`. Returning stops the machine. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "sclp.h"

void fixture_start(void);
void fixture_main(const struct machine_info *info);

#endif
