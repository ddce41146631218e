/* SPDX-License-Identifier: Apache-2.0 */
/* One PCI function as our little operating system knows it: handle, translation tables, work, recovery. */
#ifndef FUNCTION_H
#define FUNCTION_H

#include "clp.h"
#include "pci.h"
#include "types.h"

#define FUNCTIONS_MAX 64
#define ISC_PCI 2

enum function_state {
	FUNCTION_FOREIGN, /* not a test function: listed, probed and left alone */
	FUNCTION_OK,
	FUNCTION_SUSPECT, /* the function answers with errors, no event so far: work pauses, or never began */
	FUNCTION_RECOVERING,
	FUNCTION_FAILED, /* recovery gave up */
	FUNCTION_PERMANENT, /* the machine said that the function is lost */
	FUNCTION_AWAY, /* given back or taken away; it may come again */
};

enum work_phase { WORK_IDLE, WORK_TO_DEVICE, WORK_TO_GUEST };

struct work {
	enum work_phase phase;
	u64 due; /* idle: start of the next round; else: time-out of the transfer */
	u32 rounds;
	u32 interrupts_before;
	u32 silent; /* time-outs in a row without a finished transfer */
	u32 transfers; /* value that TF_DMA_COUNT must have */
	u32 length;
	u32 source, target, scratch; /* byte offsets */
	u32 window; /* which IOVA window shows the target pages */
	u64 random;
	const char *trouble; /* what failed last */
};

#define LOST_INTERRUPTS 1
#define LOST_TRANSLATION 2

struct recovery {
	u32 step;
	u64 due;
	u32 tries; /* busy answers in this step */
	u32 attempts;
	u32 fresh; /* an attempt was set up, no step of it is done */
	u32 lost; /* LOST_…: registrations that a disable took away, or that were never made */
	u32 checked_before;
	u16 pec;
	const char *by; /* "clear" or "reset" */
};

struct function {
	u32 fid, fh;
	u16 vendor, device;
	u8 index;
	enum function_state state;
	struct clp_function about;
	struct clp_group group;

	/* DMA: a 1 MiB segment at `iova`, four frames of which each buffer has two. */
	u64 iova;
	u64 *region_table, *segment_table, *page_table;
	u8 *source_pages[2], *target_pages[2];
	void *measurement;

	u16 msix; /* offset of the capability in config space */
	u32 msix_bar, msix_table;

	struct work work;
	struct recovery recovery;

	volatile u32 interrupts;
	u32 events, recoveries, checked, corrupt, timeouts;
};

extern struct function functions[FUNCTIONS_MAX];
extern u32 function_count;
/* Adapter interruptions taken so far. */
extern volatile u32 adapter_interruptions;

/* Interruption controls and indicator words; before any function is used. */
void functions_init(void);
/* Lists all functions and starts the test functions among those not yet known. */
void functions_scan(void);
struct function *function_by_fid(u32 fid);
/* Makes a known, disabled function work again: enable, register, program. 0 or a reason was printed. */
int function_start(struct function *f);
/* Takes registrations and the enable bit off. Refusals change nothing: the function may be gone already. */
void function_stop(struct function *f);

/* The single steps, used at start and by recovery. Results as in pci.h. */
u32 function_register_interrupts(struct function *f);
u32 function_register_translation(struct function *f);
u32 function_set_measurement(struct function *f, int on);
u32 function_program(struct function *f);
/* Reads identity from config space and BAR 0; FUNCTION_STRANGE when the values are wrong. */
u32 function_look(struct function *f);
#define FUNCTION_STRANGE PCI_RESULT(4, 0)

/* Shows the target pages in window 0 or 1 of the function's IOVA space. */
u32 function_map_target(struct function *f, u32 window);
u64 function_source_iova(const struct function *f);
u64 function_target_iova(const struct function *f);

const char *function_state_name(const struct function *f);

#endif
