/*
 * A program that single-steps a child with ptrace, as a debugger does, and counts: the kernel uses program-event
 * recording for each step. No C library. The child's loop has a hundred turns of three instructions or more.
 */
enum { SYS_EXIT = 1, SYS_FORK = 2, SYS_WRITE = 4, SYS_GETPID = 20, SYS_PTRACE = 26, SYS_KILL = 37, SYS_WAIT4 = 114 };
enum { PTRACE_TRACEME = 0, PTRACE_SINGLESTEP = 9, SIGTRAP = 5, SIGSTOP = 19 };

static long call(long number, long a, long b, long c, long d)
{
	register long r1 __asm__("1") = number;
	register long r2 __asm__("2") = a;
	register long r3 __asm__("3") = b;
	register long r4 __asm__("4") = c;
	register long r5 __asm__("5") = d;

	__asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5) : "memory", "cc");
	return r2;
}

static void say(const char *text)
{
	long length = 0;

	while (text[length])
		length++;
	call(SYS_WRITE, 1, (long)text, length, 0);
}

static void say_number(long value)
{
	char digits[24];
	int at = 23;

	digits[at] = 0;
	do {
		digits[--at] = '0' + value % 10;
		value /= 10;
	} while (value);
	say(digits + at);
}

static void child(void)
{
	call(SYS_PTRACE, PTRACE_TRACEME, 0, 0, 0);
	call(SYS_KILL, call(SYS_GETPID, 0, 0, 0, 0), SIGSTOP, 0, 0);
	for (long turn = 0; turn < 100; turn++)
		__asm__ volatile("" : : "d"(turn));
	call(SYS_EXIT, 7, 0, 0, 0);
}

void _start(void)
{
	long pid = call(SYS_FORK, 0, 0, 0, 0);
	long steps = 0;
	int status = 0;

	if (pid == 0)
		child();
	call(SYS_WAIT4, pid, (long)&status, 0, 0);
	while (steps < 100000 && call(SYS_PTRACE, PTRACE_SINGLESTEP, pid, 0, 0) >= 0) {
		call(SYS_WAIT4, pid, (long)&status, 0, 0);
		if ((status & 0x7f) == 0 || (status >> 8) != SIGTRAP)
			break;
		steps++;
	}
	say("steps ");
	say_number(steps);
	say(", exit status ");
	say_number(status >> 8);
	say("\n");
	call(SYS_EXIT, 0, 0, 0, 0);
}
