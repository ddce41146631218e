/* SPDX-License-Identifier: Apache-2.0 */
/* One console line per call. */
#ifndef PRINT_H
#define PRINT_H

#include "types.h"

/* Each fixture names itself; every line but the report starts with it. */
extern const char program_name[];

/* Formats %s %u %x %lu %lx with an optional 0 and width; anything longer than a line is cut. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same without the program's name in front. */
void say_raw(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
