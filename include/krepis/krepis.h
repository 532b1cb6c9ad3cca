/* SPDX-License-Identifier: MIT */
/*
 * libkrepis: zero-copy messages between processes, with one owner a buffer.
 *
 * Conventions, for every function here unless its own comment says otherwise:
 *
 * - The result is 0 or a negative errno, and an error changed nothing.
 * - A deadline is an absolute time of CLOCK_MONOTONIC in nanoseconds, or
 *   KREPIS_NOWAIT or KREPIS_FOREVER. krepis_deadline_ms() makes one. A call that
 *   would have to wait returns -EAGAIN under KREPIS_NOWAIT and -ETIMEDOUT when
 *   its deadline passes. Signals do not end a wait, unless the endpoint was
 *   attached with KREPIS_ATTACH_EINTR: then -EINTR.
 * - Who owns what a pointer points to is said by the words of krepis/annotate.h.
 * - A structure that starts with `size` is set to sizeof by the caller; what this
 *   library does not know beyond its own size must be zero, or -E2BIG.
 * - Every call on an endpoint can fail with
 *	-EBADF		after fork(): an endpoint does not work in the child
 *	-ESHUTDOWN	after krepis_shutdown()
 *	-EPROTO		the peer wrote something impossible into the channel
 *   and, where it meets the other side, with -KREPIS_PEER_GONE.
 * - An endpoint belongs to one thread at a time. These may be called from any
 *   thread: krepis_acquire(), krepis_abandon(), krepis_msg_get(),
 *   krepis_msg_put() and krepis_release() of a message in a buffer,
 *   krepis_shutdown(), krepis_endpoint_query(). Channels are thread-safe.
 * - Nothing is printed, and no signal handler is installed.
 */
#ifndef _KREPIS_KREPIS_H
#define _KREPIS_KREPIS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <krepis/annotate.h>
#include <krepis/version.h>
#include <linux/krepis.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KREPIS_API __attribute__((visibility("default")))

/*
 * The other side has gone, by krepis_detach() or by its death, and nothing that
 * it sent is left to read. A consumer gets it only after it has seen a producer;
 * before that it waits. krepis_endpoint_query() tells detach from death.
 */
#define KREPIS_PEER_GONE	EPIPE

/*
 * The consumer of an overwrite channel was lapped: messages were lost, whole
 * ones, counted in krepis_msg.lost. The next call goes on with the oldest message left.
 */
#define KREPIS_ELAPPED		EOVERFLOW

#define KREPIS_NOWAIT		((int64_t)0)
#define KREPIS_FOREVER		INT64_MAX

struct krepis_channel;
struct krepis_endpoint;
struct krepis_buffer;

/**
 * krepis_deadline_ns - the deadline @timeout_ns from now
 * @timeout_ns: nanoseconds; less than zero is for ever
 */
static inline int64_t krepis_deadline_ns(int64_t timeout_ns)
{
	struct timespec now;
	int64_t t;

	if (timeout_ns < 0)
		return KREPIS_FOREVER;
	clock_gettime(CLOCK_MONOTONIC, &now);
	t = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	return timeout_ns > KREPIS_FOREVER - 1 - t ? KREPIS_FOREVER : t + timeout_ns;
}

/**
 * krepis_deadline_ms - the deadline @timeout_ms from now
 * @timeout_ms: milliseconds; less than zero is for ever
 */
static inline int64_t krepis_deadline_ms(int64_t timeout_ms)
{
	if (timeout_ms < 0 || timeout_ms > INT64_MAX / 1000000)
		return KREPIS_FOREVER;
	return krepis_deadline_ns(timeout_ms * 1000000);
}

/* ------------------------------------------------------------------ channels */

/**
 * struct krepis_channel_options - the shape of a new channel
 * @size:	  sizeof(struct krepis_channel_options)
 * @kind:	  KREPIS_RING (also if 0) or KREPIS_TRIPLE
 * @flags:	  KREPIS_F_*
 * @backpressure: KREPIS_BLOCK, KREPIS_FAIL or KREPIS_OVERWRITE; ring only
 * @max_consumers: 1 to 32; 0: 8 for a ring, 1 for a triple
 * @inline_max:	  largest payload copied into the ring, 8 to 65536 bytes and at
 *		  most a quarter of the ring less 8; 0: 4096, or less for a small ring
 * @ring_size:	  bytes, a power of two, 4 KiB to 1 GiB; 0: 256 KiB
 * @buffer_size:  usable bytes of each buffer, up to 2 GiB; 0: 1 MiB
 * @buffer_count: 1 to 65536; 0: 16. A triple has always 3
 * @layout_id:	  CRC32C of the message layout, compared when the channel is
 *		  opened; 0: unchecked
 * @mode:	  permission bits of the file, less the umask; 0: 0600
 * @reserved:	  0
 */
struct krepis_channel_options {
	uint32_t size;
	uint32_t kind;
	uint32_t flags;
	uint32_t backpressure;
	uint32_t max_consumers;
	uint32_t inline_max;
	uint64_t ring_size;
	uint64_t buffer_size;
	uint32_t buffer_count;
	uint32_t layout_id;
	uint32_t mode;
	uint32_t reserved;
};

/**
 * krepis_channel_create - makes a channel
 * @path:    a new file on tmpfs or on a krepis mount, by which the backend is chosen;
 *	     a name without '/' stands in krepis_directory(); NULL: anonymous, travels
 *	     by krepis_channel_pass() or inheritance of krepis_channel_fd(). It is the
 *	     module's if krepis_directory() is and the limits there allow it, and else
 *	     a sealed memfd
 * @options: its shape, or NULL for a ring with the defaults
 * @out:     the channel, to be closed with krepis_channel_close()
 *
 * The whole channel's memory is reserved here: using it later cannot fail. It
 * appears under its name complete, or not at all.
 *
 * Errors: -EINVAL an option out of its range, or an unknown flag; -E2BIG beyond
 * the limits above; -EEXIST; -ENOENT, -ENOTDIR, -EACCES the directory;
 * -ENAMETOOLONG; -EOPNOTSUPP the file system is neither tmpfs nor krepis; -ENOSPC it
 * is full; -ENOMEM, on a krepis mount also over RLIMIT_MEMLOCK; -EMFILE;
 * -EPROTONOSUPPORT the module has another ABI version.
 */
KREPIS_API int krepis_channel_create(KREPIS_NULLABLE const char *path,
				     KREPIS_NULLABLE const struct krepis_channel_options *options,
				     KREPIS_OWNED(krepis_channel_close) struct krepis_channel **out);

/**
 * krepis_channel_open - opens a channel by its name
 * @path:      as for krepis_channel_create(), not NULL
 * @layout_id: the message layout that the caller was compiled with; 0: unchecked
 * @out:       the channel, to be closed with krepis_channel_close()
 *
 * Errors: -ENOENT, -EACCES, -ENAMETOOLONG; -EMEDIUMTYPE the file is not a
 * channel, or was truncated or grown; -EPROTONOSUPPORT it, or the module, has
 * another ABI version; -EPROTO @layout_id is not the channel's; -ENOMEM; -EMFILE.
 */
KREPIS_API int krepis_channel_open(const char *path, uint32_t layout_id,
				   KREPIS_OWNED(krepis_channel_close) struct krepis_channel **out);

/**
 * krepis_channel_open_fd - opens a channel by a descriptor that was inherited
 * or received
 * @fd:	       stays the caller's; the channel has its own
 * @layout_id: see krepis_channel_open()
 * @out:       the channel, to be closed with krepis_channel_close()
 *
 * Errors: as krepis_channel_open(); -EBADF; -EPERM an anonymous channel whose
 * size is not sealed.
 */
KREPIS_API int krepis_channel_open_fd(int fd, uint32_t layout_id,
				      KREPIS_OWNED(krepis_channel_close) struct krepis_channel **out);

/**
 * krepis_channel_close - forgets a channel
 * @channel: may be NULL. Its endpoints live on.
 */
KREPIS_API void krepis_channel_close(KREPIS_NULLABLE KREPIS_CONSUMES struct krepis_channel *channel);

/**
 * krepis_channel_fd - the channel's descriptor, for inheritance
 * @channel: keeps it; it is close-on-exec, so clear that in the child
 *
 * Return: a descriptor.
 */
KREPIS_API int krepis_channel_fd(const struct krepis_channel *channel);

/**
 * krepis_channel_pass - sends a channel over a UNIX socket (SCM_RIGHTS)
 * @channel: stays open here
 * @socket:  a connected UNIX socket
 *
 * Errors: those of sendmsg(2).
 */
KREPIS_API int krepis_channel_pass(const struct krepis_channel *channel, int socket);

/**
 * krepis_channel_receive - receives what krepis_channel_pass() sent
 * @socket:    a connected UNIX socket
 * @layout_id: see krepis_channel_open()
 * @out:       the channel, to be closed with krepis_channel_close()
 *
 * Errors: those of recvmsg(2) and of krepis_channel_open_fd(); -KREPIS_PEER_GONE
 * the socket was closed; -EBADMSG what came was not one descriptor; -EPERM its
 * size is not sealed. Channels with a name travel by their name.
 */
KREPIS_API int krepis_channel_receive(int socket, uint32_t layout_id,
				      KREPIS_OWNED(krepis_channel_close) struct krepis_channel **out);

/**
 * krepis_unlink - removes a channel's name
 * @path: as for krepis_channel_create(). Who uses the channel goes on.
 *
 * Errors: those of unlink(2).
 */
KREPIS_API int krepis_unlink(const char *path);

/**
 * krepis_directory - where names without '/' stand
 * @path: room for @size bytes
 * @size: 108 is enough
 *
 * $KREPIS_DIR, else /run/krepis if that is a krepis mount and writable, else
 * $XDG_RUNTIME_DIR/krepis if that is tmpfs, else /dev/shm/krepis-<uid>.
 * krepis_channel_create() makes it, with mode 0700.
 *
 * Errors: -ENAMETOOLONG.
 */
KREPIS_API int krepis_directory(KREPIS_ARRAY(size) char *path, size_t size);

enum krepis_guarantee {
	KREPIS_COOPERATIVE = 1,	/* each side keeps the rules by its own will */
	KREPIS_ENFORCED	   = 2,	/* the kernel keeps them */
};

/**
 * struct krepis_status - a channel and who is there
 * @size:	sizeof(struct krepis_status)
 * @guarantee:	enum krepis_guarantee
 * @backend:	"shm" or "kmod"
 * @geometry:	the shape of the channel
 * @channel_bytes: memory that it takes
 * @live:	bit i: consumer i is attached
 * @producer:	1 if a producer is attached
 * @deaths:	endpoints that died attached, since the channel was created
 * @producer_deaths: those of them that were producers
 * @slot:	endpoint queries: the consumer's slot
 * @reserved:	0
 * @counters:	endpoint queries: of this endpoint; channel queries: of the producer
 * @consumers:	of each consumer slot
 */
struct krepis_status {
	uint32_t size;
	uint32_t guarantee;
	char backend[8];
	struct krepis_geometry geometry;
	uint64_t channel_bytes;
	uint32_t live;
	uint32_t producer;
	uint32_t deaths;
	uint32_t producer_deaths;
	uint32_t slot;
	uint32_t reserved;
	struct krepis_counters counters;
	struct krepis_counters consumers[KREPIS_MAX_CONSUMERS];
};

/**
 * krepis_query - looks at a channel without attaching
 * @channel: the channel
 * @status:  @status->size is set by the caller
 *
 * Errors: -EINVAL @status->size is too small or too large; -EMEDIUMTYPE the file
 * was truncated or grown; -ENOMEM.
 */
KREPIS_API int krepis_query(struct krepis_channel *channel, struct krepis_status *status);

/* ----------------------------------------------------------------- endpoints */

#define KREPIS_ATTACH_EINTR	(1U << 0)	/* a signal ends a wait with -EINTR */
#define KREPIS_ATTACH_NO_SPIN	(1U << 1)	/* sleep at once instead of spinning first */
#define KREPIS_ATTACH_NO_CACHE	(1U << 2)	/* no per-thread caches before the buffer pool */

/**
 * krepis_attach - becomes the producer or a consumer of a channel
 * @channel: may be closed afterwards
 * @role:    KREPIS_PRODUCER or KREPIS_CONSUMER
 * @flags:   KREPIS_ATTACH_*
 * @out:     the endpoint, to be released with krepis_detach()
 *
 * A consumer receives what is sent from now on. What a dead predecessor left
 * behind is cleaned up first; one that is still dying is waited for, a second at most.
 *
 * Errors: -EINVAL the role, or an unknown flag; -EBUSY there is a producer
 * already; -EUSERS all consumer slots are taken; -EACCES the channel may not be
 * written; -EMEDIUMTYPE its file was truncated or grown; -ETIMEDOUT another
 * process holds the channel's admin lock for over a second, or the other side of a
 * triple is stopped in the middle of an exchange; -ENOMEM; -EMFILE;
 * -ENOENT /proc is not mounted; -ENOSYS the kernel has no robust futexes;
 * -EPROTO what the last ones left in the channel cannot be.
 */
KREPIS_API int krepis_attach(struct krepis_channel *channel, enum krepis_role role,
			     uint32_t flags, KREPIS_OWNED(krepis_detach) struct krepis_endpoint **out);

/**
 * krepis_detach - leaves the channel and frees the endpoint
 * @endpoint: may be NULL; no other thread may use it any more
 *
 * In this order: no new calls, wakes the sleepers of the other side, gives back
 * all that the endpoint holds, unmaps, closes. Messages sent before stay readable. Views
 * and buffers of this endpoint end here. In a forked child it only frees.
 */
KREPIS_API void krepis_detach(KREPIS_NULLABLE KREPIS_CONSUMES struct krepis_endpoint *endpoint);

/**
 * krepis_shutdown - asks an endpoint's thread to stop
 * @endpoint: not yet detached
 *
 * Async-signal-safe, and callable from any thread. A wait of the endpoint's
 * thread ends; sends return -ESHUTDOWN at once, receives after the messages that
 * are there. The thread then calls krepis_detach().
 */
KREPIS_API void krepis_shutdown(struct krepis_endpoint *endpoint);

/**
 * krepis_wait - waits until the next call would not have to
 * @endpoint: consumer: until there is a message, or for a triple a fresh value;
 *	      producer of a ring: until there is room for a message of inline_max
 *	      bytes; producer of a triple: not at all. Ends views of inline messages
 * @deadline: see the top of this file
 *
 * Errors: -KREPIS_PEER_GONE; -ENOTCONN a producer, and nobody ever attached.
 */
KREPIS_API int krepis_wait(struct krepis_endpoint *endpoint, int64_t deadline);

/**
 * krepis_fd - a descriptor for poll(2), epoll(7) and io_uring
 * @endpoint: keeps it: do not read, write or close it
 *
 * Readable while krepis_wait() would not wait; a producer of the module's channels
 * is writable instead, so EPOLLIN | EPOLLOUT serves everybody. With the module the
 * hang-up of the other side is EPOLLHUP; without it the descriptor becomes
 * readable, and the next call tells.
 * Without the module a thread of the library stands behind it, and what was seen
 * stays seen until a call of the endpoint finds nothing: so call until -EAGAIN
 * under KREPIS_NOWAIT, or until a triple's value is not fresh.
 *
 * Return: the descriptor, always the same; -ENOMEM, -EMFILE, -EAGAIN too many threads.
 */
KREPIS_API int krepis_fd(struct krepis_endpoint *endpoint);

/**
 * krepis_wait_peer - waits until somebody is at the other side
 * @endpoint: producer: @count consumers; consumer: the producer, @count is 1
 * @count:    how many, 1 to max_consumers
 * @deadline: see the top of this file
 *
 * Errors: -EINVAL @count.
 */
KREPIS_API int krepis_wait_peer(struct krepis_endpoint *endpoint, unsigned int count,
				int64_t deadline);

/**
 * krepis_drain - waits until every consumer has read and released all
 * @endpoint: producer of a ring
 * @deadline: see the top of this file
 *
 * Errors: -EINVAL not a producer of a ring; -KREPIS_PEER_GONE a consumer went
 * before it had read all.
 */
KREPIS_API int krepis_drain(struct krepis_endpoint *endpoint, int64_t deadline);

/**
 * krepis_endpoint_query - looks at the channel and at this endpoint's counters
 * @endpoint: the endpoint
 * @status:   @status->size is set by the caller
 *
 * Errors: -EINVAL @status->size is too small or too large.
 */
KREPIS_API int krepis_endpoint_query(struct krepis_endpoint *endpoint,
				     struct krepis_status *status);

/* ---------------------------------------------------------------------- ring */

/**
 * krepis_send - sends one message, copying it
 * @endpoint: producer of a ring
 * @type:     any number; the consumers see it
 * @data:     @len bytes; may be NULL if @len is 0
 * @len:      bytes. Up to inline_max they go into the ring, else into a buffer of
 *	      the pool
 * @deadline: how long to wait for room under KREPIS_BLOCK, and for a buffer
 *
 * Errors: -EMSGSIZE longer than inline_max and a buffer, or 1 MiB and more, which
 * is not copied silently: use krepis_acquire(); -EAGAIN no room under
 * KREPIS_FAIL; -ENOTCONN no consumer ever attached; -KREPIS_PEER_GONE the last
 * one has gone; -EINVAL not a producer of a ring; -EBUSY between
 * krepis_send_begin() and its commit; of a message in a buffer also those of
 * krepis_publish().
 */
KREPIS_API int krepis_send(struct krepis_endpoint *endpoint, uint16_t type,
			   KREPIS_ARRAY(len) const void *data, size_t len, int64_t deadline);

/**
 * krepis_send_begin - room in the ring for one message, to be filled in place
 * @endpoint: producer of a ring
 * @len:      largest payload, at most inline_max
 * @data:     the room, 8-byte aligned, until commit or cancel
 * @deadline: how long to wait for room; what is committed and not yet flushed is
 *	      flushed before a wait
 *
 * Errors: as krepis_send().
 */
KREPIS_API int krepis_send_begin(struct krepis_endpoint *endpoint, size_t len,
				 KREPIS_BORROWED void **data, int64_t deadline);

/**
 * krepis_send_commit - the message is complete; it goes out with the next flush
 * @endpoint: after krepis_send_begin()
 * @type:     any number
 * @len:      payload, at most what was begun
 *
 * Errors: -EINVAL nothing was begun, or @len is larger.
 */
KREPIS_API int krepis_send_commit(struct krepis_endpoint *endpoint, uint16_t type, size_t len);

/**
 * krepis_send_cancel - gives the room back unused
 * @endpoint: after krepis_send_begin(); otherwise this does nothing
 */
KREPIS_API void krepis_send_cancel(struct krepis_endpoint *endpoint);

/**
 * krepis_flush - publishes all committed messages at once
 * @endpoint: producer of a ring
 *
 * One store and, if a consumer sleeps, one system call, for any number of
 * messages. krepis_send(), krepis_publish() and every wait flush by themselves.
 *
 * Errors: -EINVAL not a producer of a ring.
 */
KREPIS_API int krepis_flush(struct krepis_endpoint *endpoint);

/**
 * krepis_acquire - takes a buffer from the pool, to be filled in place
 * @endpoint: producer of a ring with buffers
 * @out:      the buffer: krepis_publish() or krepis_abandon() it
 * @deadline: how long to wait until the consumers release one
 *
 * Thread-safe with KREPIS_NOWAIT; only the endpoint's thread may wait. In a
 * KREPIS_OVERWRITE channel, with any other deadline, the oldest messages that
 * nobody took give up their buffers.
 *
 * Errors: -EOPNOTSUPP the channel has no buffers; -EINVAL not a producer of a
 * ring; -EAGAIN none is free under KREPIS_NOWAIT or KREPIS_FAIL; -EBUSY it would
 * have to wait between krepis_send_begin() and its commit.
 */
KREPIS_API int krepis_acquire(struct krepis_endpoint *endpoint,
			      KREPIS_OWNED(krepis_abandon) struct krepis_buffer **out,
			      int64_t deadline);

/**
 * krepis_publish - hands a buffer over to all consumers
 * @endpoint: the one that acquired it
 * @buffer:   from krepis_acquire(). It is theirs from now on: do not touch it
 * @type:     any number
 * @len:      bytes of payload, at most krepis_buffer_size()
 * @flags:    KREPIS_MSG_CRC32C: checksum the payload for krepis_msg_verify();
 *	      KREPIS_PUBLISH_RETURN
 * @deadline: how long to wait for room in the ring
 *
 * On error the buffer is still the caller's.
 *
 * Errors: as krepis_send(); -EMSGSIZE @len; -EPERM the buffer is not owned:
 * published or abandoned already; -EINVAL a flag, or another endpoint's buffer;
 * -ESTALE, -EOWNERDEAD a peer changed the buffer's descriptor.
 */
KREPIS_API int krepis_publish(struct krepis_endpoint *endpoint,
			      KREPIS_CONSUMES struct krepis_buffer *buffer, uint16_t type,
			      size_t len, uint32_t flags, int64_t deadline);

/*
 * A flag of krepis_publish(): no krepis_acquire() gets the buffer when the consumers
 * have released it. It waits for krepis_take_back().
 */
#define KREPIS_PUBLISH_RETURN	(1U << 16)

/**
 * krepis_take_back - owns a buffer again that was published with KREPIS_PUBLISH_RETURN
 * @endpoint: the one that published it
 * @buffer:   the same buffer
 * @deadline: how long to wait until all consumers have released it
 *
 * It holds what was published; on an exclusive channel what the consumer made of
 * it. A consumer that dies releases.
 *
 * Errors: -EPERM the buffer was not published so; -EINVAL another endpoint's; -EAGAIN
 * it is still held under KREPIS_NOWAIT.
 */
KREPIS_API int krepis_take_back(struct krepis_endpoint *endpoint,
				KREPIS_OWNED(krepis_abandon) struct krepis_buffer *buffer,
				int64_t deadline);

/**
 * krepis_abandon - puts an acquired buffer back unused
 * @endpoint: the one that acquired it
 * @buffer:   from krepis_acquire()
 *
 * Errors: -EPERM the buffer is not owned; -EINVAL another endpoint's buffer.
 */
KREPIS_API int krepis_abandon(struct krepis_endpoint *endpoint,
			      KREPIS_CONSUMES struct krepis_buffer *buffer);

/** krepis_buffer_data - the payload, page-aligned, while the buffer is owned */
KREPIS_API KREPIS_BORROWED void *krepis_buffer_data(const struct krepis_buffer *buffer);
/** krepis_buffer_size - usable bytes */
KREPIS_API size_t krepis_buffer_size(const struct krepis_buffer *buffer);
/** krepis_buffer_handle - the buffer's name in its present life */
KREPIS_API struct krepis_handle krepis_buffer_handle(const struct krepis_buffer *buffer);

/**
 * krepis_buffer_lookup - finds the buffer of a handle that this endpoint holds
 * @endpoint: producer that acquired it, or consumer that received it
 * @handle:   its name
 * @out:      the buffer; no new hold on it
 *
 * Errors: -ERANGE the index is out of range; -ESTALE the generation is another;
 * -EPERM this endpoint does not hold it.
 */
KREPIS_API int krepis_buffer_lookup(struct krepis_endpoint *endpoint, struct krepis_handle handle,
				    KREPIS_BORROWED struct krepis_buffer **out);

/**
 * struct krepis_msg - a received message, a view and not a copy
 * @data:     the payload
 * @len:      bytes
 * @type:     the sender's number
 * @flags:    KREPIS_MSG_*
 * @buffer:   the buffer that holds it, or NULL if it came inline
 * @crc32c:   with KREPIS_MSG_CRC32C, what the sender computed
 * @generation: the life of @buffer in which it came
 * @sequence: grows from message to message: ring position or publication number
 * @lost:     set with -KREPIS_ELAPPED: how many messages were lost
 */
struct krepis_msg {
	const void *data;
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	struct krepis_buffer *buffer;
	uint32_t crc32c;
	uint32_t generation;
	uint64_t sequence;
	uint64_t lost;
};

/**
 * krepis_recv - receives the next message
 * @endpoint: consumer of a ring
 * @msg:      the message, a view
 * @deadline: how long to wait for one
 *
 * A view of an inline message ends at the next krepis_recv(), krepis_recv_batch()
 * or krepis_wait() of this endpoint, or with its krepis_release(). A message
 * in a buffer lasts until it is released, as many at a time as there are buffers.
 *
 * Errors: -EAGAIN nothing is there under KREPIS_NOWAIT; -KREPIS_ELAPPED with
 * @msg->lost; -KREPIS_PEER_GONE; -EINVAL not a consumer of a ring.
 */
KREPIS_API int krepis_recv(struct krepis_endpoint *endpoint,
			   KREPIS_OWNED(krepis_release) struct krepis_msg *msg, int64_t deadline);

/**
 * krepis_recv_batch - receives what is there, up to @count messages
 * @endpoint: consumer of a ring that is not KREPIS_OVERWRITE
 * @msgs:     room for @count views; all end as those of krepis_recv() do
 * @count:    at least 1
 * @deadline: how long to wait for the first
 *
 * Return: how many, at least 1, or an error as krepis_recv(); -EINVAL also for
 * a KREPIS_OVERWRITE channel.
 */
KREPIS_API int krepis_recv_batch(struct krepis_endpoint *endpoint,
				 KREPIS_ARRAY(count) KREPIS_OWNED(krepis_release) struct krepis_msg *msgs,
				 unsigned int count, int64_t deadline);

/**
 * krepis_release - done with a message
 * @endpoint: the one that received it
 * @msg:      its view ends here. For an inline message this only frees its room
 *	      in the ring before the next krepis_recv() would.
 *
 * Errors: -EPERM released already, or the view had ended; -EINVAL another
 * endpoint's message.
 */
KREPIS_API int krepis_release(struct krepis_endpoint *endpoint,
			      KREPIS_CONSUMES const struct krepis_msg *msg);

/**
 * krepis_release_begin - done with many messages, which io_uring will release
 * @endpoint: of a channel of the module, that received them
 * @msgs:     messages in buffers; their views end here
 * @count:    how many
 * @args:     room for @count: what is left to do, for krepis_uring_prep_release()
 *
 * Return: how many of @args were filled in; the buffers stay held until those are
 * executed. -EOPNOTSUPP a channel without the module: use krepis_release(); -EINVAL a
 * message that is not in a buffer, or another endpoint's: then nothing changed.
 * What was released already is passed over.
 */
KREPIS_API int krepis_release_begin(struct krepis_endpoint *endpoint,
				    KREPIS_ARRAY(count) KREPIS_CONSUMES const struct krepis_msg *msgs,
				    unsigned int count,
				    KREPIS_ARRAY(count) struct krepis_release_args *args);

/**
 * krepis_msg_get - shares a message with another thread of this process
 * @msg: a message in a buffer; no allocation, a count in the buffer
 *
 * Each get needs one krepis_msg_put(); krepis_release() is a put.
 *
 * Errors: -EINVAL an inline message: copy it; -EPERM released already.
 */
KREPIS_API int krepis_msg_get(const struct krepis_msg *msg);

/**
 * krepis_msg_put - one user less; the last one releases the buffer
 * @msg: from krepis_recv() and krepis_msg_get()
 *
 * Errors: -EINVAL an inline message; -EPERM released already.
 */
KREPIS_API int krepis_msg_put(KREPIS_CONSUMES const struct krepis_msg *msg);

/**
 * krepis_msg_edit - the payload of a message, to be changed in place
 * @msg:  in a buffer of an exclusive channel (KREPIS_F_EXCLUSIVE), and held
 * @data: the whole buffer, until its release
 *
 * Nobody else sees the buffer meanwhile. The producer that published it with
 * KREPIS_PUBLISH_RETURN gets the result.
 *
 * Errors: -EINVAL an inline message; -EACCES the channel is not exclusive; -EPERM
 * released already.
 */
KREPIS_API int krepis_msg_edit(const struct krepis_msg *msg, KREPIS_BORROWED void **data);

/**
 * krepis_msg_verify - compares the payload with its checksum
 * @msg: any message
 *
 * Errors: -ENODATA the sender made none; -EBADMSG they differ.
 */
KREPIS_API int krepis_msg_verify(const struct krepis_msg *msg);

/* -------------------------------------------------------------------- triple */

/**
 * krepis_triple_begin - the buffer to write the next value into
 * @endpoint: producer of a triple
 * @data:     buffer_size bytes, page-aligned; holds an older value. Ends with
 *	      krepis_triple_commit()
 *
 * Errors: -EINVAL not a producer of a triple.
 */
KREPIS_API int krepis_triple_begin(struct krepis_endpoint *endpoint, KREPIS_BORROWED void **data);

/**
 * krepis_triple_commit - makes the value the latest one
 * @endpoint: after krepis_triple_begin()
 * @type:     any number
 * @len:      bytes of it, at most buffer_size
 *
 * Never waits, and works without a consumer too.
 *
 * Errors: -EINVAL not begun; -EMSGSIZE @len.
 */
KREPIS_API int krepis_triple_commit(struct krepis_endpoint *endpoint, uint16_t type, size_t len);

/**
 * krepis_triple_read - the latest value
 * @endpoint: consumer of a triple
 * @msg:      a view until the next krepis_triple_read(); nothing to release.
 *	      KREPIS_MSG_FRESH in flags tells a value not seen before
 *
 * Never waits. Errors: -ENODATA nothing was ever published; -EINVAL not a
 * consumer of a triple.
 */
KREPIS_API int krepis_triple_read(struct krepis_endpoint *endpoint,
				  KREPIS_BORROWED struct krepis_msg *msg);

/* ----------------------------------------------------------------- utilities */

/**
 * krepis_crc32c - CRC-32C (Castagnoli, RFC 3720 appendix B.4)
 * @crc:  0, or the result for what came before
 * @data: @len bytes
 * @len:  bytes
 *
 * Return: the checksum. krepis_crc32c(0, "123456789", 9) is 0xe3069283.
 */
KREPIS_API uint32_t krepis_crc32c(uint32_t crc, KREPIS_ARRAY(len) const void *data, size_t len);

/**
 * krepis_copy_crc32c - copies and checksums in one pass
 * @crc: as for krepis_crc32c()
 * @dst: @len bytes, not overlapping @src
 * @src: @len bytes
 * @len: bytes
 *
 * Return: the checksum of what was copied.
 */
KREPIS_API uint32_t krepis_copy_crc32c(uint32_t crc, KREPIS_ARRAY(len) void *dst,
				       KREPIS_ARRAY(len) const void *src, size_t len);

/**
 * krepis_fault_explain - why an access to a buffer failed
 * @address: siginfo_t.si_addr of a SIGBUS
 * @text:    room for @size bytes, gets a sentence
 * @size:    160 is enough
 *
 * Who touches a buffer of an enforced channel that is not his gets SIGBUS. For the
 * handler of that signal, in the thread that it came to.
 *
 * Errors: -ENOENT the address is in no buffer of an endpoint of this process; -EAGAIN
 * another thread is attaching or detaching.
 */
KREPIS_API int krepis_fault_explain(KREPIS_BORROWED const void *address,
				    KREPIS_ARRAY(size) char *text, size_t size);

/**
 * krepis_strerror - what an error of this library means
 * @err: a result of this library, negative or positive
 *
 * Return: a static string, never NULL.
 */
KREPIS_API KREPIS_BORROWED const char *krepis_strerror(int err);

/** krepis_version - the library's version; KREPIS_VERSION is that of its headers */
KREPIS_API KREPIS_BORROWED const char *krepis_version(void);

#ifdef __cplusplus
}
#endif

#endif /* _KREPIS_KREPIS_H */
