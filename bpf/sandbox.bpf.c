// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sandbox: what tasks of a domain may do, decided in the kernel.
 *
 *	core.h		labels, domains, events
 *	walk.h		what the rules say of a place
 *	file.h		files and channels
 *	ioctl.h		devices, and attributes of files
 *	net.h		sockets
 *	task.h		who is in a domain, and whom it reaches
 *	system.h	capabilities, and what could undo it
 *	resolve.h	for who makes a policy
 *
 * A hook of who is in no domain costs one look-up. What cannot be decided is refused.
 * Sections with a ? are of some kernels: the library loads those that fit.
 */
#include "core.h"
#include "file.h"
#include "ioctl.h"
#include "net.h"
#include "resolve.h"
#include "system.h"
#include "task.h"

char _license[] SEC("license") = "GPL";
