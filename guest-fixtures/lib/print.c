/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting of console lines: a few conversions, a fixed buffer, no allocation. */
#include "print.h"

#include <stdarg.h>

#include "sclp.h"

#define LINE_MAX 200

struct line {
	u32 length;
	char text[LINE_MAX];
};

static void put(struct line *line, char c)
{
	if (line->length < LINE_MAX - 1)
		line->text[line->length++] = c;
}

static void put_string(struct line *line, const char *text)
{
	while (*text)
		put(line, *text++);
}

static void put_number(struct line *line, u64 value, u32 base, u32 width, char pad)
{
	char digits[20];
	u32 count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width > count) {
		put(line, pad);
		width--;
	}
	while (count)
		put(line, digits[--count]);
}

static void put_format(struct line *line, const char *format, va_list arguments)
{
	for (; *format; format++) {
		char pad = ' ';
		u32 width = 0;
		int wide = 0;

		if (*format != '%') {
			put(line, *format);
			continue;
		}
		if (*++format == '0')
			pad = *format++;
		while (*format >= '0' && *format <= '9')
			width = width * 10 + (u32)(*format++ - '0');
		if (*format == 'l') {
			wide = 1;
			format++;
		}
		if (*format == 's')
			put_string(line, va_arg(arguments, const char *));
		else
			put_number(line, wide ? va_arg(arguments, u64) : va_arg(arguments, u32),
				   *format == 'x' ? 16 : 10, width, pad);
	}
}

static void finish(struct line *line)
{
	line->text[line->length++] = '\n';
	sclp_console_write(line->text, line->length);
}

void say(const char *format, ...)
{
	struct line line = { .length = 0 };
	va_list arguments;

	put_string(&line, program_name);
	put_string(&line, ": ");
	va_start(arguments, format);
	put_format(&line, format, arguments);
	va_end(arguments);
	finish(&line);
}

void say_raw(const char *format, ...)
{
	struct line line = { .length = 0 };
	va_list arguments;

	va_start(arguments, format);
	put_format(&line, format, arguments);
	va_end(arguments);
	finish(&line);
}
