/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channel reports and PCI events. Source: zpci-guest.md 7 (CRW, store event information, CCDF, codes)
 * and 9.1 (what Linux does with an event before any recovery).
 */
#include "clp.h"
#include "cpu.h"
#include "insn.h"
#include "memory.h"
#include "pci.h"
#include "print.h"
#include "recover.h"
#include "sclp.h"

#define CRW_OVERFLOW 0x20000000u
#define CRW_SOURCE(crw) ((crw) >> 24 & 0xf)
#define CRW_SOURCE_CSS 0xb
/* More than any machine can queue; only a broken one reaches these. */
#define CRWS_MAX 1024
#define EVENTS_MAX 4096

#define CHSC_STORE_EVENT_INFORMATION 0x000e
#define SEI_SELECT_NT0_NT2 0xa000000000000000UL
#define SEI_STORED 0x0001
#define SEI_NONE 0x0005
#define SEI_MORE 0x80
#define NOTIFICATION_PCI 2
#define CONTENT_ERROR 1
#define CONTENT_AVAILABILITY 2

#define PEC_FMB_FIRST 0x002a
#define PEC_FMB_LAST 0x002c
#define PEC_PERMANENT 0x003b
#define PEC_RECOVERY_FAILED 0x0040

#define AVAILABLE_CONFIGURED 0x0301
#define AVAILABLE_STANDBY 0x0302
#define AVAILABLE_GIVE_BACK 0x0303
#define AVAILABLE_TAKEN_AWAY 0x0304
#define AVAILABLE_MANY_CHANGED 0x0306
#define AVAILABLE_GONE 0x0308

struct ccdf {
	u32 reserved;
	u32 fh;
	u32 fid;
	u32 error; /* table type, vector, DMA address space, qualifier, write */
	u64 address;
	u32 reserved_24;
	u16 reserved_28;
	u16 pec;
};

struct sei {
	u16 request_length;
	u16 command;
	u32 reserved;
	u64 selection;
	u16 response_length;
	u16 response;
	u8 reserved_20[3];
	u8 notification; /* 23 */
	u8 flags;
	u8 reserved_25[2];
	u8 content; /* 27 */
	u8 reserved_28[52];
	struct ccdf ccdf; /* 80 */
	u8 rest[4096 - 112];
};

assert_layout(sizeof(struct ccdf) == 32);
assert_layout(__builtin_offsetof(struct sei, notification) == 23);
assert_layout(__builtin_offsetof(struct sei, content) == 27);
assert_layout(__builtin_offsetof(struct sei, ccdf) == 80);
assert_layout(sizeof(struct sei) == 4096);

static struct sei sei __attribute__((aligned(4096)));

static void error_event(const struct ccdf *ccdf)
{
	struct function *f = function_by_fid(ccdf->fid);
	u32 current;

	say("fid %08x fh %08x event pec %04x address %016lx detail %08x", ccdf->fid, ccdf->fh,
	    ccdf->pec, ccdf->address, ccdf->error);
	if (!f) {
		say("fid %08x fh %08x event for an unknown function", ccdf->fid, ccdf->fh);
		return;
	}
	f->events++;
	current = clp_find_handle(f->fid);
	if (current == 0 || current != ccdf->fh) {
		say("fid %08x fh %08x event is stale, handle is %08x", f->fid, ccdf->fh, current);
		return;
	}
	f->fh = current;
	if (f->state == FUNCTION_FOREIGN || (ccdf->pec >= PEC_FMB_FIRST && ccdf->pec <= PEC_FMB_LAST))
		return;
	if (ccdf->pec == PEC_PERMANENT || ccdf->pec == PEC_RECOVERY_FAILED)
		recover_give_up(f, ccdf->pec);
	else
		recover_begin(f, ccdf->pec);
}

static void away(struct function *f, u16 pec)
{
	if (f->state == FUNCTION_AWAY)
		return;
	say("fid %08x fh %08x away pec %04x checked %u corrupt %u", f->fid, f->fh, pec, f->checked,
	    f->corrupt);
	if (f->state != FUNCTION_FOREIGN)
		f->state = FUNCTION_AWAY;
}

/* The machine asks for the function: registrations off, disabled, deconfigured. */
static void give_back(struct function *f, u16 pec)
{
	u16 code;

	if (f->state == FUNCTION_AWAY)
		return;
	function_stop(f);
	code = sclp_adapter(SCLP_DECONFIGURE_ADAPTER, f->fid);
	say("fid %08x fh %08x deconfigure code %04x", f->fid, f->fh, code);
	away(f, pec);
}

/* The machine has taken the function. As Linux, adopts the handle and disables what it says is enabled. */
static void taken_away(struct function *f, const struct ccdf *ccdf)
{
	f->fh = ccdf->fh;
	function_stop(f);
	away(f, ccdf->pec);
}

/* Configured for us: one that we know to be away comes again, any other that we know is none of our business. */
static void take(struct function *f)
{
	u32 fh;

	if (!f) {
		functions_scan();
		return;
	}
	fh = clp_find_handle(f->fid);
	if (f->state != FUNCTION_AWAY || fh == 0)
		return;
	f->fh = fh;
	if (function_start(f) == 0)
		say("fid %08x fh %08x ready again", f->fid, f->fh);
}

/* In standby: configured by us, as somebody who writes 1 to the slot's `power` does under Linux. */
static void configure(struct function *f, u32 fid)
{
	u16 code = sclp_adapter(SCLP_CONFIGURE_ADAPTER, fid);

	say("fid %08x configure code %04x", fid, code);
	if (code == SCLP_DONE)
		take(f);
}

static void availability_event(const struct ccdf *ccdf)
{
	struct function *f = function_by_fid(ccdf->fid);

	say("fid %08x fh %08x availability pec %04x", ccdf->fid, ccdf->fh, ccdf->pec);
	switch (ccdf->pec) {
	case AVAILABLE_CONFIGURED:
		take(f);
		break;
	case AVAILABLE_STANDBY:
		configure(f, ccdf->fid);
		break;
	case AVAILABLE_GIVE_BACK:
		if (f)
			give_back(f, ccdf->pec);
		break;
	case AVAILABLE_TAKEN_AWAY:
		if (f)
			taken_away(f, ccdf);
		break;
	case AVAILABLE_MANY_CHANGED:
		functions_scan();
		break;
	case AVAILABLE_GONE:
		if (f)
			away(f, ccdf->pec);
		break;
	}
}

/* One store-event-information; returns nonzero while the machine has more. */
static int fetch_event(void)
{
	struct ccdf ccdf;
	int cc;

	memset(&sei, 0, sizeof(sei));
	sei.request_length = 16;
	sei.command = CHSC_STORE_EVENT_INFORMATION;
	sei.selection = SEI_SELECT_NT0_NT2;
	cc = insn_chsc(&sei);
	if (cc || sei.response != SEI_STORED) {
		if (cc || sei.response != SEI_NONE)
			say("store event information cc %u response %04x", cc, sei.response);
		return 0;
	}
	ccdf = sei.ccdf;
	cc = sei.flags & SEI_MORE;
	if (sei.notification != NOTIFICATION_PCI)
		return cc;
	if (sei.content == CONTENT_ERROR)
		error_event(&ccdf);
	else if (sei.content == CONTENT_AVAILABILITY)
		availability_event(&ccdf);
	return cc;
}

void events_fetch(void)
{
	u32 crws, events, crw;

	/* First, because STCRW's last answer allows the next machine check. */
	channel_report_pending = 0;
	for (crws = 0; crws < CRWS_MAX && insn_stcrw(&crw) == 0; crws++) {
		if (crw & CRW_OVERFLOW)
			say("channel reports were lost before %08x", crw);
		if (CRW_SOURCE(crw) != CRW_SOURCE_CSS)
			continue;
		for (events = 0; events < EVENTS_MAX && fetch_event(); events++)
			;
	}
}
