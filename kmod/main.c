// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading. A mount holds the module, and so does every open
 * endpoint: it cannot go while anybody uses it.
 */
#include <linux/module.h>
#include <krepis/version.h>
#include "internal.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init krepis_init(void)
{
	return krepis_fs_init();
}

static void __exit krepis_exit(void)
{
	krepis_fs_exit();
}

module_init(krepis_init);
module_exit(krepis_exit);
MODULE_DESCRIPTION("Zero-copy shared-memory IPC between programs that do not trust each other");
MODULE_LICENSE("GPL");
MODULE_VERSION(KREPIS_VERSION);
MODULE_ALIAS_FS("krepis");
