/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLP commands. Layouts and response codes: zpci-guest.md 2. Request and response share one page;
 * the response length is preset to the size of our structure, as Linux does.
 */
#include "clp.h"

#include "insn.h"
#include "memory.h"

#define COMMAND_LIST 0x0002
#define COMMAND_QUERY 0x0003
#define COMMAND_QUERY_GROUP 0x0004
#define COMMAND_SET 0x0005

/* Small on purpose: more functions than this are fetched with the resume token. */
#define LIST_ENTRIES 16
#define LIST_CALLS_MAX 4096

struct clp_header {
	u16 length;
	u16 command; /* response: response code */
	u32 format;
	u64 reserved;
};

/* 16 bytes behind the header, then what the command needs. */
struct clp_block {
	struct clp_header header;
	union {
		u64 resume_token;
		struct {
			u32 fh;
			u16 reserved;
			u8 operation;
			u8 dma_spaces;
		} set;
		struct {
			u8 pad[3];
			u8 group;
		} group;
	};
	u64 reserved;
};

struct list_response {
	struct clp_header header;
	u64 resume_token;
	u32 reserved;
	u16 functions_max;
	u8 flags;
	u8 entry_size;
	struct clp_entry entries[LIST_ENTRIES];
};

struct query_response {
	struct clp_header header;
	u16 vfn;
	u8 flags;
	u8 group; /* 19 */
	u32 fid;
	u8 pad_24[64 - 24];
	u64 dma_start; /* 64 */
	u64 dma_end;
	u8 pad_80[124 - 80];
	u32 uid; /* 124 */
	u8 pad_128[256];
};

struct group_response {
	struct clp_header header;
	u16 vectors; /* 16, bits 4-15 */
	u8 version;
	u8 flags; /* 19 */
	u16 store_block_max; /* 20, bits 3-15 */
	u16 measurement_interval;
	u8 pad_24[40 - 24];
	u64 msi_address; /* 40 */
	u8 pad_48[16];
};

struct set_response {
	struct clp_header header;
	u32 fh;
	u8 pad_20[140];
};

assert_layout(sizeof(struct clp_block) == 32);
assert_layout(sizeof(struct clp_entry) == 16);
assert_layout(__builtin_offsetof(struct clp_block, set.operation) == 22);
assert_layout(__builtin_offsetof(struct clp_block, group.group) == 19);
assert_layout(__builtin_offsetof(struct list_response, entries) == 32);
assert_layout(__builtin_offsetof(struct query_response, dma_start) == 64);
assert_layout(__builtin_offsetof(struct query_response, uid) == 124);
assert_layout(sizeof(struct query_response) == 384);
assert_layout(sizeof(struct group_response) == 64);
assert_layout(__builtin_offsetof(struct group_response, msi_address) == 40);
assert_layout(sizeof(struct set_response) == 160);

static struct {
	struct clp_block request;
	union {
		struct clp_header header;
		struct list_response list;
		struct query_response query;
		struct group_response group;
		struct set_response set;
	} response;
} page __attribute__((aligned(4096)));

static void prepare(u16 command, u16 response_length)
{
	memset(&page, 0, sizeof(page));
	page.request.header.length = sizeof(page.request);
	page.request.header.command = command;
	page.response.header.length = response_length;
}

static u16 call(void)
{
	return insn_clp(&page) == 0 ? page.response.header.command : CLP_REFUSED;
}

u16 clp_list(void (*visit)(const struct clp_entry *entry, void *context), void *context)
{
	u64 token = 0;
	u32 calls;

	for (calls = 0; calls < LIST_CALLS_MAX; calls++) {
		/* `visit` may issue CLP itself, so the entries are taken out of the page first. */
		struct clp_entry entries[LIST_ENTRIES];
		u32 count, i;
		u16 code;

		prepare(COMMAND_LIST, sizeof(struct list_response));
		page.request.resume_token = token;
		code = call();
		if (code != CLP_OK)
			return code;
		count = (page.response.header.length - 32u) / sizeof(struct clp_entry);
		if (count > LIST_ENTRIES)
			count = LIST_ENTRIES;
		memcpy(entries, page.response.list.entries, sizeof(entries));
		token = page.response.list.resume_token;
		for (i = 0; i < count; i++)
			visit(&entries[i], context);
		if (token == 0)
			return 0;
	}
	return CLP_REFUSED;
}

struct search {
	u32 fid;
	u32 fh;
};

static void match_fid(const struct clp_entry *entry, void *context)
{
	struct search *search = context;

	if (entry->fid == search->fid)
		search->fh = entry->fh;
}

u32 clp_find_handle(u32 fid)
{
	struct search search = { fid, 0 };

	return clp_list(match_fid, &search) == 0 ? search.fh : 0;
}

u16 clp_query_function(u32 fh, struct clp_function *answer)
{
	u16 code;

	prepare(COMMAND_QUERY, sizeof(struct query_response));
	page.request.set.fh = fh;
	code = call();
	if (code != CLP_OK)
		return code;
	answer->group = page.response.query.group;
	answer->uid = (u16)page.response.query.uid;
	answer->dma_start = page.response.query.dma_start;
	answer->dma_end = page.response.query.dma_end;
	return code;
}

u16 clp_query_group(u8 group, struct clp_group *answer)
{
	u16 code;

	prepare(COMMAND_QUERY_GROUP, sizeof(struct group_response));
	page.request.group.group = group;
	code = call();
	if (code != CLP_OK)
		return code;
	answer->vectors = page.response.group.vectors & 0xfff;
	answer->store_block_max = page.response.group.store_block_max & 0x1fff;
	answer->refresh = page.response.group.flags & 1;
	answer->msi_address = page.response.group.msi_address;
	return code;
}

u16 clp_set(u32 *fh, u8 operation)
{
	u16 code;

	prepare(COMMAND_SET, sizeof(struct set_response));
	page.request.set.fh = *fh;
	page.request.set.operation = operation;
	page.request.set.dma_spaces = operation == CLP_ENABLE ? 1 : 0;
	code = call();
	if (code == CLP_OK)
		*fh = page.response.set.fh;
	return code;
}
