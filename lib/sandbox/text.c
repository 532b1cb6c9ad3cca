// SPDX-License-Identifier: MIT
/*
 * The policy of a domain as it was written, for who wants to see it: in pieces, in a map.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "internal.h"

int sandbox_put_text(uint32_t slot, const char *text)
{
	struct sandbox_text_key key = { .slot = slot };
	size_t bytes = strlen(text), done = 0;
	struct sandbox_text *t;
	int fd = sandbox_object("texts"), err = 0;

	if (fd < 0)
		return fd;
	t = malloc(sizeof(*t));
	if (!t) {
		close(fd);
		return -ENOMEM;
	}
	do {
		size_t n = bytes - done < SANDBOX_TEXT ? bytes - done : SANDBOX_TEXT;

		memset(t, 0, sizeof(*t));
		t->bytes = bytes;
		memcpy(t->text, text + done, n);
		if (bpf_map_update_elem(fd, &key, t, BPF_ANY))
			err = sandbox_fail(errno, "keeping the text of the policy: %s", strerror(errno));
		done += n;
		key.piece++;
	} while (!err && done < bytes);
	while (!bpf_map_delete_elem(fd, &key))
		key.piece++;
	free(t);
	close(fd);
	return err;
}

void sandbox_drop_text(uint32_t slot)
{
	struct sandbox_text_key key = { .slot = slot };
	int fd = sandbox_object("texts");

	if (fd < 0)
		return;
	while (!bpf_map_delete_elem(fd, &key))
		key.piece++;
	close(fd);
}

int sandbox_get_text(uint32_t slot, char **out)
{
	struct sandbox_text_key key = { .slot = slot };
	size_t bytes = 0, done = 0;
	char *text = NULL;
	struct sandbox_text *t = malloc(sizeof(*t));
	int fd = sandbox_object("texts"), err = 0;

	if (!t || fd < 0) {
		err = fd < 0 ? fd : -ENOMEM;
		goto out;
	}
	do {
		size_t n;

		if (bpf_map_lookup_elem(fd, &key, t)) {
			err = sandbox_fail(errno, "the text of the policy: %s", strerror(errno));
			goto out;
		}
		if (!text) {
			bytes = t->bytes;
			text = calloc(1, bytes + 1);
			if (!text) {
				err = -ENOMEM;
				goto out;
			}
		}
		n = bytes - done < SANDBOX_TEXT ? bytes - done : SANDBOX_TEXT;
		memcpy(text + done, t->text, n);
		done += n;
		key.piece++;
	} while (done < bytes);
	*out = text;
	text = NULL;
out:
	free(text);
	free(t);
	if (fd >= 0)
		close(fd);
	return err;
}
