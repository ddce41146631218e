/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space offsets (PCI Local Bus 3.0, chapter 6). */
#ifndef CONFIG_SPACE_H
#define CONFIG_SPACE_H

#define CONFIG_VENDOR 0x00
#define CONFIG_DEVICE 0x02
#define CONFIG_COMMAND 0x04
#define CONFIG_STATUS 0x06
#define CONFIG_CAPABILITIES 0x34

#define COMMAND_MEMORY 0x2
#define COMMAND_MASTER 0x4
#define STATUS_CAPABILITIES 0x10

#define CAPABILITY_MSIX 0x11
#define MSIX_CONTROL 2 /* offsets in the capability */
#define MSIX_TABLE 4
#define MSIX_CONTROL_ENABLE 0x8000
#define MSIX_CONTROL_MASK_ALL 0x4000

#endif
