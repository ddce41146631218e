/* SPDX-License-Identifier: Apache-2.0 */
/* The service element: console, memory size, quiesce signal, configuring of PCI functions. */
#ifndef SCLP_H
#define SCLP_H

#include "types.h"

#define SCLP_READ_SCP_INFO_FORCED 0x00120001
#define SCLP_READ_SCP_INFO 0x00020001
#define SCLP_WRITE_EVENT_MASK 0x00780005
#define SCLP_WRITE_EVENT_DATA 0x00760005
#define SCLP_READ_EVENT_DATA 0x00770005
#define SCLP_CONFIGURE_ADAPTER 0x001a0001
#define SCLP_DECONFIGURE_ADAPTER 0x001b0001

#define SCLP_NO_ACTION 0x0120
#define SCLP_DONE 0x0020

struct machine_info {
	u64 memory_bytes;
	char loadparm[8]; /* EBCDIC as the machine gives it */
};

/* The number that LOADPARM's digits make; 0 if it has none. */
u64 loadparm_number(const struct machine_info *info);

/* Sets event masks and reads the machine's description. Needs cpu_init() first. */
void sclp_init(struct machine_info *info);
/* Sets the event masks again (somebody may have changed them). */
void sclp_set_event_masks(void);
void sclp_console_write(const char *text, u32 length);
/* The external interruption handler's part. */
void sclp_service_signal(u32 parameter);
/* Nonzero when the machine has events for Read Event Data. */
int sclp_events_pending(void);
/* Reads pending events; returns nonzero when a quiesce signal was among them. */
int sclp_read_quiesce(void);
/* Configure / deconfigure a PCI function; returns the response code. */
u16 sclp_adapter(u32 command, u32 fid);

#endif
