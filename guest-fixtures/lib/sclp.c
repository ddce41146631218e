/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SCLP: SERVC with a 4 KiB control block, completion by external interruption 0x2401.
 * Sources: s390x-machine.md 6 (commands, event types, fields), zpci-guest.md 8.3 (adapters).
 */
#include "sclp.h"

#include "cpu.h"
#include "memory.h"

#define EVENT_VT220 0x1a
#define EVENT_QUIESCE 0x1d
/* Bit T of an event mask, counted from 1 at the left of 64. */
#define EVENT_BIT(type) (1UL << (64 - (type)))

#define RESPONSE_READ 0x0010
#define RESPONSE_MASK_LENGTH 0x74f0

struct sccb_header {
	u16 length;
	u8 function;
	u8 control[3];
	u16 response;
};

struct event_header {
	u16 length;
	u8 type;
	u8 flags;
	u16 reserved;
};

struct read_info {
	struct sccb_header header;
	u16 rnmax; /* increments of storage */
	u8 rnsize; /* MiB per increment */
	u8 pad[24 - 11];
	char loadparm[8]; /* 24 */
	u8 pad_32[100 - 32];
	u32 rnsize2; /* 100 */
	u64 rnmax2; /* 104 */
};

struct event_mask {
	struct sccb_header header;
	u16 reserved;
	u16 mask_length;
	/* receive, send, then what the machine receives and sends; each mask_length bytes */
	u64 masks[4];
} __attribute__((packed));

struct adapter {
	struct sccb_header header;
	u8 type;
	u8 reserved[3];
	u32 id;
};

assert_layout(sizeof(struct sccb_header) == 8);
assert_layout(sizeof(struct event_header) == 6);
assert_layout(__builtin_offsetof(struct read_info, loadparm) == 24);
assert_layout(__builtin_offsetof(struct read_info, rnmax2) == 104);
assert_layout(__builtin_offsetof(struct event_mask, masks) == 12);
assert_layout(__builtin_offsetof(struct adapter, id) == 12);

static u8 sccb[PAGE_SIZE] __attribute__((aligned(4096)));
static volatile u32 sclp_completed;
static volatile u32 events_pending;

void sclp_service_signal(u32 parameter)
{
	if ((parameter & ~7u) == (u32)(u64)sccb)
		sclp_completed = 1;
	if (parameter & 1)
		events_pending = 1;
}

/* Runs one command on `sccb`, whose header the caller has filled; returns the response code. */
static u16 sclp_execute(u32 command)
{
	struct sccb_header *header = (struct sccb_header *)sccb;
	int cc;

	psw_load(PSW_DISABLED);
	sclp_completed = 0;
	for (;;) {
		asm volatile("	.insn	rre,0xb2200000,%[command],%[address]\n"
			     "	ipm	%[cc]\n"
			     "	srl	%[cc],28\n"
			     : [cc] "=d"(cc)
			     : [command] "d"(command), [address] "d"(sccb)
			     : "memory", "cc");
		if (cc != 2)
			break;
		/* Busy with an earlier command: its interruption ends this wait. */
		psw_load(PSW_IDLE);
	}
	if (cc == 3)
		stop(STOP_FATAL);
	while (!sclp_completed)
		psw_load(PSW_IDLE);
	psw_load(PSW_RUNNING);
	return header->response;
}

static void sccb_prepare(u16 length)
{
	memset(sccb, 0, PAGE_SIZE);
	((struct sccb_header *)sccb)->length = length;
}

void sclp_set_event_masks(void)
{
	struct event_mask *request = (struct event_mask *)sccb;
	u32 *short_masks = (u32 *)(sccb + __builtin_offsetof(struct event_mask, masks));

	sccb_prepare(sizeof(*request));
	request->mask_length = 8;
	request->masks[0] = EVENT_BIT(EVENT_QUIESCE);
	request->masks[1] = EVENT_BIT(EVENT_VT220);
	if (sclp_execute(SCLP_WRITE_EVENT_MASK) != RESPONSE_MASK_LENGTH)
		return;
	/* A machine that knows 32-bit masks only. */
	sccb_prepare(sizeof(struct sccb_header) + 4 + 4 * 4);
	request->mask_length = 4;
	short_masks[0] = EVENT_BIT(EVENT_QUIESCE) >> 32;
	short_masks[1] = EVENT_BIT(EVENT_VT220) >> 32;
	sclp_execute(SCLP_WRITE_EVENT_MASK);
}

void sclp_init(struct machine_info *info)
{
	struct read_info *answer = (struct read_info *)sccb;
	u64 increments, mib;

	sccb_prepare(PAGE_SIZE);
	answer->header.control[2] = 0x80; /* variable-length response */
	if (sclp_execute(SCLP_READ_SCP_INFO_FORCED) != RESPONSE_READ) {
		sccb_prepare(PAGE_SIZE);
		answer->header.control[2] = 0x80;
		sclp_execute(SCLP_READ_SCP_INFO);
	}
	increments = answer->rnmax ? answer->rnmax : answer->rnmax2;
	mib = answer->rnsize ? answer->rnsize : answer->rnsize2;
	info->memory_bytes = increments * mib << 20;
	memcpy(info->loadparm, answer->loadparm, sizeof(info->loadparm));
	sclp_set_event_masks();
}

u64 loadparm_number(const struct machine_info *info)
{
	u64 number = 0;
	u32 i;

	/* EBCDIC digits. */
	for (i = 0; i < sizeof(info->loadparm); i++)
		if ((u8)info->loadparm[i] >= 0xf0 && (u8)info->loadparm[i] <= 0xf9)
			number = number * 10 + ((u8)info->loadparm[i] - 0xf0);
	return number;
}

void sclp_console_write(const char *text, u32 length)
{
	struct event_header *event = (struct event_header *)(sccb + sizeof(struct sccb_header));
	u16 event_length = (u16)(sizeof(*event) + length);

	sccb_prepare((u16)(sizeof(struct sccb_header) + event_length));
	event->length = event_length;
	event->type = EVENT_VT220;
	memcpy(event + 1, text, length);
	sclp_execute(SCLP_WRITE_EVENT_DATA);
}

int sclp_events_pending(void)
{
	return events_pending != 0;
}

int sclp_read_quiesce(void)
{
	struct sccb_header *header = (struct sccb_header *)sccb;
	u32 offset = sizeof(*header);
	int quiesce = 0;

	events_pending = 0;
	sccb_prepare(PAGE_SIZE);
	header->control[2] = 0x80;
	if (sclp_execute(SCLP_READ_EVENT_DATA) != SCLP_DONE)
		return 0;
	while (offset + sizeof(struct event_header) <= min_u64(header->length, PAGE_SIZE)) {
		struct event_header *event = (struct event_header *)(sccb + offset);

		if (event->length < sizeof(*event))
			break;
		if (event->type == EVENT_QUIESCE)
			quiesce = 1;
		offset += event->length;
	}
	return quiesce;
}

u16 sclp_adapter(u32 command, u32 fid)
{
	struct adapter *request = (struct adapter *)sccb;

	sccb_prepare(PAGE_SIZE);
	request->type = 2; /* PCI */
	request->id = fid;
	return sclp_execute(command);
}
