/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of zmend's test function, BAR 0, little-endian. The same numbers as src/abi/test-function.ts;
 * test/guest/fixtures.test.ts compares the two files.
 */
#ifndef TEST_FUNCTION_H
#define TEST_FUNCTION_H

#define TF_VENDOR_ID 0x1234
#define TF_DEVICE_ID 0x5a4d
#define TF_ID_VALUE 0x444e4d5a
#define TF_VERSION_VALUE 1

#define TF_SCRATCH_OFFSET 0x8000
#define TF_SCRATCH_BYTES 0x8000
#define TF_DMA_BYTES_MAX 0x8000

#define TF_ID 0x00
#define TF_VERSION 0x04
#define TF_CONTROL 0x08
#define TF_STATUS 0x0c
#define TF_DMA_ADDRESS 0x10
#define TF_DMA_OFFSET 0x18
#define TF_DMA_LENGTH 0x1c
#define TF_DMA_COMMAND 0x20
#define TF_DMA_COUNT 0x24
#define TF_ERROR_COUNT 0x28
#define TF_SCRATCHPAD 0x2c

#define TF_CONTROL_ENABLE 1
#define TF_CONTROL_INTERRUPT 2
#define TF_STATUS_BUSY 1
#define TF_STATUS_DONE 2
#define TF_STATUS_ERROR 4
#define TF_DMA_FROM_GUEST 1
#define TF_DMA_TO_GUEST 2

#endif
