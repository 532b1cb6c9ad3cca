/* SPDX-License-Identifier: MIT */
/*
 * krepis oci-hook: the parts that it is made of. What returns an int returns 0, or the exit
 * code after a message.
 */
#ifndef _KREPIS_TOOL_OCI_H
#define _KREPIS_TOOL_OCI_H

#include <json-c/json.h>
#include "sandbox.h"

/**
 * struct oci_state - what the runtime says of the container
 * @json:   all of it, which the texts are parts of
 * @status: or NULL
 * @pid:    of its first process, as the runtime counts it; 0: it did not say
 */
struct oci_state {
	struct json_object *json;
	const char *id, *bundle, *status;
	pid_t pid;
};

/**
 * struct oci_container - where the container is
 * @root:   its root file system, in the namespace of mounts where we are now, without
 *	    symbolic links
 * @dir:    a descriptor of it
 * @cgroup: the directory of its control group, in the namespace where we were
 */
struct oci_container {
	char root[PATH_SIZE];
	int dir;
	char cgroup[PATH_SIZE];
};

const char *oci_text(struct json_object *json, const char *key);

/* ---- oci_container.c: goes into the container's namespace of mounts, for good */
int oci_container_find(const struct oci_state *state, struct oci_container *c);

/* ---- oci_policy.c */
int oci_policy_place(const struct krepis_policy *policy, const struct oci_container *c,
		     struct krepis_policy **out);

#endif /* _KREPIS_TOOL_OCI_H */
