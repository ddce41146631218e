/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zhostile: random zPCI, channel-subsystem and service-call instructions with random operands. What it
 * sends is often almost right, because almost right goes deepest. Nothing it does may hurt anybody but
 * itself; it protects only itself, by keeping writable operands inside its arena or outside storage.
 *
 * The load parameter's digits are the seed (default 1). Same machine, same seed: same operations.
 */
#include "clp.h"
#include "cpu.h"
#include "fixture.h"
#include "hostile.h"
#include "memory.h"
#include "print.h"

#define OPERATIONS 20000
#define PROGRESS 2000
#define REFRESH 64

const char program_name[] = "zhostile";

extern u8 trampoline_slot[], trampoline_exit[];
u32 trampoline(void);

static u32 checks;
static u32 checks_by_code[256];
static u32 answers[4];
static volatile int checked;

/* A program check of the hostile instruction ends it; any other is ours and fatal. */
static int own_check(u16 code)
{
	struct lowcore *lc = lowcore();
	u64 address = lc->program_old_psw.address;

	if (address < (u64)trampoline_slot || address > (u64)trampoline_exit)
		return 0;
	checks++;
	checks_by_code[code & 0xff]++;
	checked = 1;
	lc->program_old_psw = (struct psw){ PSW_RUNNING, (u64)trampoline_exit };
	return 1;
}

static void execute(const struct operation *operation)
{
	struct lowcore *lc = lowcore();
	u32 cc;

	memcpy(trampoline_slot, operation->bytes, 6);
	memcpy(lc->trampoline_gprs, operation->gprs, sizeof(operation->gprs));
	checked = 0;
	cc = trampoline();
	if (!checked)
		answers[cc]++;
}

static void remember(const struct clp_entry *entry, void *context)
{
	struct targets *targets = context;

	if (targets->count < ARRAY_SIZE(targets->fh)) {
		targets->fid[targets->count] = entry->fid;
		targets->fh[targets->count++] = entry->fh;
	}
}

/* Undoes enough of the damage that the next operations meet living functions. */
static void refresh(struct targets *targets, u64 *random)
{
	u32 i;

	sclp_set_event_masks();
	targets->count = 0;
	clp_list(remember, targets);
	for (i = 0; i < targets->count; i++) {
		if (random_next(random) % 4 == 0)
			sclp_adapter(SCLP_CONFIGURE_ADAPTER, targets->fid[i]);
		if (!(targets->fh[i] >> 31) && random_next(random) % 2)
			clp_set(&targets->fh[i], CLP_ENABLE);
		else if (random_next(random) % 16 == 0)
			clp_set(&targets->fh[i], CLP_DISABLE);
	}
}

static void say_checks(void)
{
	u32 code;

	for (code = 0; code < ARRAY_SIZE(checks_by_code); code++)
		if (checks_by_code[code])
			say("program checks code %04x count %u", code, checks_by_code[code]);
}

void fixture_main(const struct machine_info *info)
{
	static struct targets targets;
	u64 number = loadparm_number(info), seed = number ? number : 1;
	u64 random = seed * 0x9e3779b97f4a7c15UL | 1;
	struct operation operation;
	u32 done;

	if (!test_facility(69) || !operations_init(info->memory_bytes)) {
		say("needs the PCI facility and 8 MiB");
		stop(STOP_FATAL);
	}
	say("seed %lu operations %u", seed, OPERATIONS);
	program_interruption = own_check;
	for (done = 0; done < OPERATIONS; done++) {
		if (done % REFRESH == 0)
			refresh(&targets, &random);
		operation_make(&operation, &targets, &random);
		execute(&operation);
		if ((done + 1) % PROGRESS == 0) {
			sclp_set_event_masks();
			say("ops %u checks %u cc0 %u cc1 %u cc2 %u cc3 %u", done + 1, checks, answers[0],
			    answers[1], answers[2], answers[3]);
		}
	}
	program_interruption = 0;
	sclp_set_event_masks();
	say_checks();
	say_raw("hostile end ops=%u checks=%u", done, checks);
}
