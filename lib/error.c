// SPDX-License-Identifier: MIT
#include <string.h>
#include "internal.h"

KREPIS_API const char *krepis_version(void)
{
	return KREPIS_VERSION;
}

/* What these mean here; the rest mean what they mean everywhere. */
static const struct {
	int err;
	const char *text;
} meanings[] = {
	{ KREPIS_PEER_GONE, "the other side has gone" },
	{ KREPIS_ELAPPED, "messages were overwritten before they were read" },
	{ ENOTCONN, "nobody is attached to the other side" },
	{ ESHUTDOWN, "the endpoint was shut down" },
	{ EPROTO, "the other side does not speak this protocol, or the message layouts differ" },
	{ EMEDIUMTYPE, "not a krepis channel, or damaged" },
	{ EPROTONOSUPPORT, "a channel or a module of another ABI version (krepis doctor compares them), or of another page size" },
	{ EUSERS, "all consumer slots are taken" },
	{ EBUSY, "there is a producer already, or a message was begun and not committed" },
	{ ESTALE, "the handle names an earlier life of the buffer" },
	{ EPERM, "not the owner of the buffer, or the memory is not sealed" },
	{ EMSGSIZE, "the message is too long for this way of sending it" },
	{ EBADMSG, "the checksum of the message is wrong" },
	{ EBADF, "not usable here: the endpoint belongs to the parent process" },
	{ EOPNOTSUPP, "not on this channel, or its directory is neither on tmpfs nor on krepis" },
	{ ENODATA, "nothing was published yet" },
};

KREPIS_API const char *krepis_strerror(int err)
{
	const char *text;
	size_t i;

	err = err < 0 ? (int)-(unsigned int)err : err;
	for (i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (meanings[i].err == err)
			return meanings[i].text;
	}
	text = strerrordesc_np(err);
	return text ? text : "unknown error";
}
