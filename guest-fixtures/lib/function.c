/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding, enabling and programming functions. The order of operations is Linux 7.x's
 * (zpci-guest.md 8.2): SIC, CLP list, query function and group, enable, config space, register IOAT,
 * measurement block, command register, register interrupts, MSI-X.
 */
#include "function.h"

#include "config-space.h"
#include "cpu.h"
#include "insn.h"
#include "memory.h"
#include "print.h"
#include "test-function.h"

/* zpci-guest.md 5.1, 5.2. */
#define IOTA_REGION_THIRD 0x804UL
#define TABLE_BYTES 16384UL
#define PAGE_TABLE_BYTES 2048UL
#define REGION_ENTRY 0x7UL /* type region-third, full length */
#define ENTRY_INVALID 0x20UL
#define PAGE_INVALID 0x400UL
#define PAGE_PROTECTED 0x200UL

#define REGION_SHIFT 31
#define SEGMENT_SHIFT 20
#define SEGMENT_BYTES (1UL << SEGMENT_SHIFT)
#define APERTURE_BYTES (64 * SEGMENT_BYTES)
/* Page indices in the segment. The buffers of two pages lie apart, so an overrun meets no mapping. */
#define SOURCE_PAGE 0x10
#define TARGET_PAGE(window) ((window) ? 0x80 : 0x20)

#define HANDLE_ENABLED 0x80000000u
#define FACILITY_SUPPRESSION 72
#define ENABLE_TRIES 100
#define ENABLE_PAUSE_US 20000
#define CONTROL_TRIES 1000

struct function functions[FUNCTIONS_MAX];
u32 function_count;
volatile u32 adapter_interruptions;

/* Adapter interruption summary (bit n: function n) and one vector doubleword per function. */
static u64 summary __attribute__((aligned(256)));
static u64 vectors[FUNCTIONS_MAX] __attribute__((aligned(256)));
static int suppression;

static void scan_indicators(void)
{
	u64 set = __atomic_exchange_n(&summary, 0, __ATOMIC_SEQ_CST);
	u32 index;

	for (index = 0; set; index++, set <<= 1)
		if (set >> 63 && __atomic_exchange_n(&vectors[index], 0, __ATOMIC_SEQ_CST))
			functions[index].interrupts++;
}

static void handle_adapter(u32 identification)
{
	if (identification != (0x80000000u | ISC_PCI << 27))
		return;
	adapter_interruptions++;
	scan_indicators();
	if (!suppression)
		return;
	/* What arrived between the scan and SIC raised no interruption: look again (zpci-guest.md 6). */
	insn_sic(1, ISC_PCI);
	scan_indicators();
}

void functions_init(void)
{
	suppression = test_facility(FACILITY_SUPPRESSION);
	adapter_interruption = handle_adapter;
	if (suppression)
		insn_sic(1, ISC_PCI);
}

struct function *function_by_fid(u32 fid)
{
	u32 i;

	for (i = 0; i < function_count; i++)
		if (functions[i].fid == fid)
			return &functions[i];
	return 0;
}

const char *function_state_name(const struct function *f)
{
	switch (f->state) {
	case FUNCTION_OK:
		return "ok";
	case FUNCTION_PERMANENT:
		return "permanent";
	case FUNCTION_AWAY:
		return "away";
	default:
		return "failed";
	}
}

/* CLP enable or disable, waiting while the machine says busy. */
static u16 set_patiently(struct function *f, u8 operation)
{
	u16 code = CLP_BUSY;
	u32 tries;

	for (tries = 0; tries < ENABLE_TRIES; tries++) {
		code = clp_set(&f->fh, operation);
		if (code != CLP_BUSY)
			break;
		sleep_us(ENABLE_PAUSE_US);
	}
	return code;
}

static u32 control_patiently(struct function *f, u32 operation, struct fib *fib)
{
	u32 result = PCI_BUSY, tries;

	for (tries = 0; tries < CONTROL_TRIES; tries++) {
		result = pci_control(f->fh, operation, fib);
		if (PCI_CC(result) != 2)
			break;
		sleep_us(1000);
	}
	return result;
}

/* The addresses that the machine lets the function use: nobody looks at entries for any other. */
static u64 aperture_end(const struct function *f)
{
	return min_u64(f->about.dma_end, f->about.dma_start + APERTURE_BYTES - 1);
}

/* A table whose entries cover 1 << shift bytes each, as far as the aperture reaches into it, all invalid. */
static u64 *alloc_table(const struct function *f, u32 shift)
{
	u64 first = f->about.dma_start >> shift, last = aperture_end(f) >> shift;
	u64 entries = (first ^ last) >> 11 ? TABLE_BYTES / 8 : (last & 0x7ff) + 1;
	u64 *table = alloc(entries * 8, TABLE_BYTES), i;

	for (i = 0; table && i < entries; i++)
		table[i] = ENTRY_INVALID;
	return table;
}

static int alloc_translation(struct function *f)
{
	u8 *frames;
	u32 i;

	f->region_table = alloc_table(f, REGION_SHIFT);
	f->segment_table = alloc_table(f, SEGMENT_SHIFT);
	f->page_table = alloc(PAGE_TABLE_BYTES, PAGE_TABLE_BYTES);
	frames = alloc(4 * PAGE_SIZE, PAGE_SIZE);
	f->measurement = alloc(256, 256);
	if (!f->region_table || !f->segment_table || !f->page_table || !frames || !f->measurement)
		return 0;
	/* Neighbours in IOVA space are no neighbours in storage. */
	f->source_pages[0] = frames + 2 * PAGE_SIZE;
	f->source_pages[1] = frames;
	f->target_pages[0] = frames + 3 * PAGE_SIZE;
	f->target_pages[1] = frames + PAGE_SIZE;
	for (i = 0; i < PAGE_TABLE_BYTES / 8; i++)
		f->page_table[i] = PAGE_INVALID;
	return 1;
}

/* Exact mappings: the source read-only, the target read-write in one window, nothing else. */
static void fill_translation(struct function *f)
{
	u64 first = ALIGN_UP(f->about.dma_start, SEGMENT_BYTES);

	f->iova = first + f->index % 16 * SEGMENT_BYTES;
	f->region_table[f->iova >> REGION_SHIFT & 0x7ff] = (u64)f->segment_table | REGION_ENTRY;
	f->segment_table[f->iova >> SEGMENT_SHIFT & 0x7ff] = (u64)f->page_table;
	f->page_table[SOURCE_PAGE] = (u64)f->source_pages[0] | PAGE_PROTECTED;
	f->page_table[SOURCE_PAGE + 1] = (u64)f->source_pages[1] | PAGE_PROTECTED;
	f->page_table[TARGET_PAGE(0)] = (u64)f->target_pages[0];
	f->page_table[TARGET_PAGE(0) + 1] = (u64)f->target_pages[1];
}

u64 function_source_iova(const struct function *f)
{
	return f->iova + SOURCE_PAGE * PAGE_SIZE;
}

u64 function_target_iova(const struct function *f)
{
	return f->iova + TARGET_PAGE(f->work.window) * PAGE_SIZE;
}

u32 function_map_target(struct function *f, u32 window)
{
	volatile u64 *table = f->page_table;
	u32 old_page = TARGET_PAGE(f->work.window), new_page = TARGET_PAGE(window);
	u32 result;

	if (window == f->work.window)
		return 0;
	table[old_page] = table[old_page + 1] = PAGE_INVALID;
	result = pci_refresh(f->fh, f->iova + old_page * PAGE_SIZE, 2 * PAGE_SIZE);
	table[new_page] = (u64)f->target_pages[0];
	table[new_page + 1] = (u64)f->target_pages[1];
	f->work.window = window;
	if (result == 0 && f->group.refresh)
		result = pci_refresh(f->fh, f->iova + new_page * PAGE_SIZE, 2 * PAGE_SIZE);
	return result;
}

u32 function_register_interrupts(struct function *f)
{
	struct fib fib;

	memset(&fib, 0, sizeof(fib));
	vectors[f->index] = 0;
	/* ISC, one vector at bit 0, summary wanted, summary bit = our index. */
	fib.interrupts = ISC_PCI << 28 | 1 << 16 | 0 << 8 | 1 << 7 | f->index;
	fib.aibv = (u64)&vectors[f->index];
	fib.aisb = (u64)&summary;
	return pci_control(f->fh, FC_REGISTER_INTERRUPTS, &fib);
}

u32 function_register_translation(struct function *f)
{
	struct fib fib;

	memset(&fib, 0, sizeof(fib));
	fib.pba = f->about.dma_start;
	fib.pal = aperture_end(f);
	fib.iota = (u64)f->region_table | IOTA_REGION_THIRD;
	return pci_control(f->fh, FC_REGISTER_IOAT, &fib);
}

u32 function_set_measurement(struct function *f, int on)
{
	struct fib fib;

	memset(&fib, 0, sizeof(fib));
	fib.fmb = on ? (u64)f->measurement : 0;
	return pci_control(f->fh, FC_SET_MEASUREMENT, &fib);
}

static u32 find_msix(struct function *f)
{
	u64 status, pointer, header, table;
	u32 result, hops;

	result = pci_load(f->fh, PCI_CONFIG, CONFIG_STATUS, 2, &status);
	if (result || !(status & STATUS_CAPABILITIES))
		return result ? result : FUNCTION_STRANGE;
	result = pci_load(f->fh, PCI_CONFIG, CONFIG_CAPABILITIES, 1, &pointer);
	for (hops = 0; result == 0 && hops < 48 && pointer >= 0x40; hops++) {
		pointer &= 0xfc;
		result = pci_load(f->fh, PCI_CONFIG, pointer, 2, &header);
		if (result == 0 && (header & 0xff) == CAPABILITY_MSIX) {
			result = pci_load(f->fh, PCI_CONFIG, pointer + MSIX_TABLE, 4, &table);
			f->msix = (u16)pointer;
			f->msix_bar = table & 7;
			f->msix_table = table & ~7u;
			return result;
		}
		pointer = header >> 8;
	}
	return result ? result : FUNCTION_STRANGE;
}

u32 function_look(struct function *f)
{
	u64 vendor, device, id, version;
	u32 result;

	if ((result = pci_load(f->fh, PCI_CONFIG, CONFIG_VENDOR, 2, &vendor)) ||
	    (result = pci_load(f->fh, PCI_CONFIG, CONFIG_DEVICE, 2, &device)) ||
	    (result = pci_load(f->fh, 0, TF_ID, 4, &id)) ||
	    (result = pci_load(f->fh, 0, TF_VERSION, 4, &version)))
		return result;
	if (vendor != TF_VENDOR_ID || device != TF_DEVICE_ID || id != TF_ID_VALUE ||
	    version != TF_VERSION_VALUE)
		return FUNCTION_STRANGE;
	return 0;
}

/* One MSI-X entry: the machine's MSI address, data = vector number 0, unmasked (zpci-guest.md 6). */
static u32 program_msix(struct function *f)
{
	u32 bar = f->msix_bar, entry = f->msix_table, result;
	u64 control, offset = f->msix + MSIX_CONTROL;

	if ((result = pci_store(f->fh, bar, entry, 4, f->group.msi_address & 0xffffffff)) ||
	    (result = pci_store(f->fh, bar, entry + 4, 4, f->group.msi_address >> 32)) ||
	    (result = pci_store(f->fh, bar, entry + 8, 4, 0)) ||
	    (result = pci_store(f->fh, bar, entry + 12, 4, 0)) ||
	    (result = pci_load(f->fh, PCI_CONFIG, offset, 2, &control)))
		return result;
	control = (control | MSIX_CONTROL_ENABLE) & ~(u64)MSIX_CONTROL_MASK_ALL;
	return pci_store(f->fh, PCI_CONFIG, offset, 2, control);
}

u32 function_program(struct function *f)
{
	u64 command, count;
	u32 result;

	if ((result = pci_load(f->fh, PCI_CONFIG, CONFIG_COMMAND, 2, &command)))
		return result;
	command |= COMMAND_MEMORY | COMMAND_MASTER;
	if ((result = pci_store(f->fh, PCI_CONFIG, CONFIG_COMMAND, 2, command)) ||
	    (result = function_look(f)) || (result = find_msix(f)) ||
	    (result = program_msix(f)) ||
	    (result = pci_store(f->fh, 0, TF_CONTROL, 4,
				TF_CONTROL_ENABLE | TF_CONTROL_INTERRUPT)) ||
	    (result = pci_load(f->fh, 0, TF_DMA_COUNT, 4, &count)))
		return result;
	f->work.transfers = (u32)count;
	f->work.phase = WORK_IDLE;
	f->work.silent = 0;
	return 0;
}

/* A function that breaks while it is started is not lost: the event that says so begins its recovery. */
static int refused(struct function *f, const char *what, u32 result, u32 lost)
{
	say("fid %08x fh %08x %s refused cc %u status %u", f->fid, f->fh, what, PCI_CC(result),
	    PCI_STATUS(result));
	f->recovery.lost = lost;
	f->state = PCI_CC(result) == 1 || result == FUNCTION_STRANGE ? FUNCTION_SUSPECT : FUNCTION_FAILED;
	return 1;
}

int function_start(struct function *f)
{
	u16 code = set_patiently(f, CLP_ENABLE);
	struct fib fib;
	u32 result;

	if (code != CLP_OK) {
		say("fid %08x fh %08x enable refused code %04x", f->fid, f->fh, code);
		f->state = FUNCTION_FAILED;
		return 1;
	}
	memset(&fib, 0, sizeof(fib));
	while (PCI_CC(result = function_register_translation(f)) == 2)
		sleep_us(1000);
	if (result)
		return refused(f, "translation", result, LOST_INTERRUPTS | LOST_TRANSLATION);
	if (f->group.refresh) {
		result = pci_refresh(f->fh, f->iova, SEGMENT_BYTES);
		if (result)
			return refused(f, "refresh", result, LOST_INTERRUPTS);
	}
	function_set_measurement(f, 1);
	result = function_register_interrupts(f);
	if (result)
		return refused(f, "interrupts", result, LOST_INTERRUPTS);
	if (f->vendor != TF_VENDOR_ID || f->device != TF_DEVICE_ID)
		return 0;
	result = function_program(f);
	if (result)
		return refused(f, "programming", result, 0);
	f->state = FUNCTION_OK;
	f->work.due = tod_now();
	return 0;
}

void function_stop(struct function *f)
{
	struct fib fib;
	u16 code;

	memset(&fib, 0, sizeof(fib));
	if (!(f->fh & HANDLE_ENABLED))
		return;
	function_set_measurement(f, 0);
	control_patiently(f, FC_DEREGISTER_INTERRUPTS, &fib);
	control_patiently(f, FC_DEREGISTER_IOAT, &fib);
	code = set_patiently(f, CLP_DISABLE);
	say("fid %08x fh %08x disable for hand-back code %04x", f->fid, f->fh, code);
}

/* A foreign function shows that registration works, then it is given back untouched. */
static void probe_foreign(struct function *f)
{
	struct fib fib;
	u64 vendor;
	u32 result, off, dma;
	u16 code;

	f->state = FUNCTION_FOREIGN;
	if (function_start(f)) {
		f->state = FUNCTION_FAILED;
		return;
	}
	f->state = FUNCTION_FOREIGN;
	result = pci_load(f->fh, PCI_CONFIG, CONFIG_VENDOR, 2, &vendor);
	memset(&fib, 0, sizeof(fib));
	function_set_measurement(f, 0);
	off = control_patiently(f, FC_DEREGISTER_INTERRUPTS, &fib);
	dma = control_patiently(f, FC_DEREGISTER_IOAT, &fib);
	code = set_patiently(f, CLP_DISABLE);
	say("fid %08x fh %08x foreign config %04lx deregister %u %u disable %04x", f->fid, f->fh,
	    result ? 0 : vendor, PCI_CC(off), PCI_CC(dma), code);
}

static void add(const struct clp_entry *entry, void *context)
{
	struct function *f;

	(void)context;
	if (entry->vendor == 0 || !(entry->configured >> 31) || function_by_fid(entry->fid))
		return;
	if (function_count == FUNCTIONS_MAX) {
		say("fid %08x fh %08x ignored, too many functions", entry->fid, entry->fh);
		return;
	}
	f = &functions[function_count];
	memset(f, 0, sizeof(*f));
	f->index = (u8)function_count;
	f->fid = entry->fid;
	f->fh = entry->fh;
	f->vendor = entry->vendor;
	f->device = entry->device;
	f->work.random = (u64)entry->fid << 8 | 0x5a4d000000000001UL;
	f->state = FUNCTION_FAILED;
	if (clp_query_function(f->fh, &f->about) != CLP_OK ||
	    clp_query_group(f->about.group, &f->group) != CLP_OK || !alloc_translation(f)) {
		say("fid %08x fh %08x cannot be queried or there is no storage for it", f->fid, f->fh);
		return;
	}
	fill_translation(f);
	function_count++;
	say("fid %08x fh %08x found vendor %04x device %04x uid %04x", f->fid, f->fh, f->vendor,
	    f->device, f->about.uid);
	if (f->vendor != TF_VENDOR_ID || f->device != TF_DEVICE_ID)
		probe_foreign(f);
	else if (function_start(f) == 0)
		say("fid %08x fh %08x ready iova %016lx", f->fid, f->fh, f->iova);
}

void functions_scan(void)
{
	u16 code = clp_list(add, 0);

	if (code)
		say("list ended with code %04x after %u functions", code, function_count);
}
