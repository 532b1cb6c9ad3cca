// SPDX-License-Identifier: MIT
/*
 * The ways the bytes can go. Each has the same two ends: a sender that gets room
 * and read(2)s a file into it, and a receiver that looks at what came.
 *
 *	krepis		room is in the channel; the receiver looks at the same memory
 *	pipe, socket	room is the sender's; write(2) copies it into the kernel and
 *			read(2) out again, into the receiver's buffer
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "demo.h"

#define BUFFER_HEAD	64	/* the head in a buffer; content begins at a line */
#define BUFFERS		8
#define ROOM		(DEMO_CHUNK + BUFFER_HEAD)

static int64_t deadline(void)
{
	return krepis_deadline_ns(DEMO_TIME_LIMIT * NSEC_PER_SEC);
}

/* ---- krepis */

static int channel_open(struct demo_link *link)
{
	struct krepis_channel_options o = {
		.size = sizeof(o),
		.max_consumers = DEMO_CONSUMERS,
		.inline_max = DEMO_SMALL + sizeof(struct demo_head),
		.ring_size = 1 << 20,
		.buffer_size = ROOM,
		.buffer_count = BUFFERS,
	};

	/* Anonymous: whatever happens to us, nothing stays behind. */
	return krepis_channel_create(NULL, &o, &link->channel);
}

static void channel_close(struct demo_link *link)
{
	krepis_channel_close(link->channel);
}

static int channel_join(struct demo_link *link, bool sender)
{
	return krepis_attach(link->channel, sender ? KREPIS_PRODUCER : KREPIS_CONSUMER, 0,
			     &link->endpoint);
}

static int channel_begin(struct demo_link *link, size_t len, void **room)
{
	int err;

	if (len <= DEMO_SMALL) {
		err = krepis_send_begin(link->endpoint, sizeof(struct demo_head) + len,
					&link->message, deadline());
		*room = (char *)link->message + sizeof(struct demo_head);
		return err;
	}
	err = krepis_acquire(link->endpoint, &link->buffer, deadline());
	if (err)
		return err;
	*room = (char *)krepis_buffer_data(link->buffer) + BUFFER_HEAD;
	return 0;
}

static int channel_commit(struct demo_link *link, const struct demo_head *head)
{
	struct krepis_buffer *buffer = link->buffer;
	int err;

	if (!buffer) {
		memcpy(link->message, head, sizeof(*head));
		err = krepis_send_commit(link->endpoint, head->kind, sizeof(*head) + head->len);
		return err ? err : krepis_flush(link->endpoint);
	}
	link->buffer = NULL;
	memcpy(krepis_buffer_data(buffer), head, sizeof(*head));
	return krepis_publish(link->endpoint, buffer, head->kind, BUFFER_HEAD + head->len, 0,
			      deadline());
}

static int channel_next(struct demo_link *link, struct demo_piece *piece)
{
	size_t skip;
	int err;

	if (link->message)
		krepis_release(link->endpoint, &link->msg);
	link->message = NULL;
	err = krepis_recv(link->endpoint, &link->msg, deadline());
	if (err)
		return err;
	link->message = (void *)link->msg.data;
	skip = link->msg.buffer ? BUFFER_HEAD : sizeof(struct demo_head);
	if (link->msg.len < skip)
		return -EBADMSG;
	memcpy(&piece->head, link->msg.data, sizeof(piece->head));
	piece->data = (const char *)link->msg.data + skip;
	piece->len = link->msg.len - skip;
	piece->last = piece->head.last;
	return piece->len == piece->head.len ? 0 : -EBADMSG;
}

static int channel_leave(struct demo_link *link, bool sender)
{
	struct krepis_status status = { .size = sizeof(status) };
	int err = 0;

	if (sender)
		err = krepis_drain(link->endpoint, deadline());
	/* The last consumer may have left already, with all of it. */
	if (err == -KREPIS_PEER_GONE)
		err = 0;
	if (!krepis_endpoint_query(link->endpoint, &status)) {
		const struct krepis_counters *c = sender ? &status.counters :
							   &status.consumers[status.slot];

		link->calls += c->waits + c->wakes;
	}
	krepis_detach(link->endpoint);
	return err;
}

/* ---- streams */

static int pipe_open(struct demo_link *link)
{
	if (pipe2(link->fds, O_CLOEXEC))
		return -errno;
	/* As large as everybody may have it; the default is 64 KiB. */
	fcntl(link->fds[1], F_SETPIPE_SZ, 1 << 20);
	return 0;
}

static int socket_open(struct demo_link *link)
{
	int size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link->fds))
		return -errno;
	/* The kernel takes the most that everybody may have. */
	setsockopt(link->fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static void stream_close(struct demo_link *link)
{
	close(link->fds[0]);
	close(link->fds[1]);
}

static int stream_join(struct demo_link *link, bool sender)
{
	close(link->fds[!sender ? 1 : 0]);
	link->room = malloc(ROOM);
	return link->room ? 0 : -ENOMEM;
}

static int stream_begin(struct demo_link *link, size_t len, void **room)
{
	(void)len;
	*room = link->room + sizeof(struct demo_head);
	return 0;
}

static int stream_commit(struct demo_link *link, const struct demo_head *head)
{
	size_t len = sizeof(*head) + head->len, done = 0;
	ssize_t n;

	memcpy(link->room, head, sizeof(*head));
	while (done < len) {
		n = write(link->fds[1], link->room + done, len - done);
		if (n < 0)
			return -errno;
		link->calls++;
		done += n;
	}
	return 0;
}

/* At least @need bytes from link->at on. */
static int stream_fill(struct demo_link *link, size_t need)
{
	ssize_t n;

	if (link->end - link->at >= need)
		return 0;
	memmove(link->room, link->room + link->at, link->end - link->at);
	link->end -= link->at;
	link->at = 0;
	while (link->end < need) {
		n = read(link->fds[0], link->room + link->end, ROOM - link->end);
		if (n <= 0)
			return n ? -errno : -KREPIS_PEER_GONE;
		link->calls++;
		link->end += n;
	}
	return 0;
}

static int stream_next(struct demo_link *link, struct demo_piece *piece)
{
	bool begins = !link->left;
	size_t len;
	int err;

	if (begins) {
		err = stream_fill(link, sizeof(link->head));
		if (err)
			return err;
		memcpy(&link->head, link->room + link->at, sizeof(link->head));
		link->at += sizeof(link->head);
		link->left = link->head.len;
	}
	if (link->left) {
		err = stream_fill(link, 1);
		if (err)
			return err;
	}
	len = link->end - link->at < link->left ? link->end - link->at : link->left;
	piece->head = link->head;
	piece->data = link->room + link->at;
	piece->len = len;
	link->at += len;
	link->left -= len;
	piece->last = link->head.last && !link->left;
	return 0;
}

static int stream_leave(struct demo_link *link, bool sender)
{
	close(link->fds[sender ? 1 : 0]);
	free(link->room);
	return 0;
}

#define CHANNEL_OPERATIONS						\
	.copies = 1, .open = channel_open, .close = channel_close,	\
	.join = channel_join, .begin = channel_begin,			\
	.commit = channel_commit, .next = channel_next, .leave = channel_leave

#define STREAM_OPERATIONS						\
	.copies = 3, .close = stream_close, .join = stream_join,	\
	.begin = stream_begin, .commit = stream_commit,			\
	.next = stream_next, .leave = stream_leave

const struct demo_way demo_ways[DEMO_WAYS] = {
	{ .name = "krepis, 2 consumers", .id = "krepis-2", .consumers = 2, CHANNEL_OPERATIONS },
	{ .name = "krepis, 1 consumer", .id = "krepis-1", .consumers = 1, CHANNEL_OPERATIONS },
	{ .name = "pipe, 1 consumer", .id = "pipe-1", .consumers = 1, .open = pipe_open,
	  STREAM_OPERATIONS },
	{ .name = "UNIX socket, 1 consumer", .id = "unix-1", .consumers = 1, .open = socket_open,
	  STREAM_OPERATIONS },
};
