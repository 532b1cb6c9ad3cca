/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Krepis: the layout of a channel, as every process and the kernel see it.
 *
 * A channel is five regions, each aligned to the page size of its creator:
 *
 *	info		struct krepis_info		one page
 *	producer	struct krepis_producer		one page
 *	consumer[i]	struct krepis_consumer		one page each
 *	descriptors	struct krepis_exchange, then struct krepis_desc[buffer_count]
 *	ring		ring_size bytes of records	(ring channels only)
 *	payload		buffer_count * buffer_stride bytes; at a multiple of 2 MiB if
 *			buffer_stride is not less
 *
 * Offsets follow from the geometry alone (include/krepis/geometry.h); they are
 * never read from shared memory. All words are little-endian, all structures
 * look the same to 32-bit peers, and no pointer is ever shared.
 *
 * Words written by different sides stand at least 128 bytes apart: two lines,
 * because the adjacent-line prefetcher pulls lines in pairs.
 */
#ifndef _UAPI_LINUX_KREPIS_H
#define _UAPI_LINUX_KREPIS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KREPIS_MAGIC		0x003173697065724bULL	/* "Krepis1\0" */
#define KREPIS_ABI_VERSION	2

/* Limits. Every one is checked before a channel comes to life. */
#define KREPIS_MAX_CONSUMERS	32
#define KREPIS_MAX_BUFFERS	65536
#define KREPIS_MAX_BUFFER_SIZE	(1ULL << 31)
#define KREPIS_MIN_RING_SIZE	(1ULL << 12)
#define KREPIS_MAX_RING_SIZE	(1ULL << 30)
#define KREPIS_MAX_INLINE	(1U << 16)
#define KREPIS_MAX_CHANNEL_SIZE	(1ULL << 40)
#define KREPIS_MAX_COPY		(1U << 20)	/* krepis_send() copies below this */
#define KREPIS_TRIPLE_BUFFERS	3

enum krepis_kind {
	KREPIS_RING	= 1,	/* every message, in order, to every consumer */
	KREPIS_TRIPLE	= 2,	/* the latest value only */
};

enum krepis_backpressure {
	KREPIS_BLOCK		= 0,	/* the producer waits for the slowest consumer */
	KREPIS_FAIL		= 1,	/* the producer gets -EAGAIN */
	KREPIS_OVERWRITE	= 2,	/* the oldest message goes; a lapped consumer is told */
};

/* Channel flags. Unknown ones are refused. */
#define KREPIS_F_NO_BUFFERS	(1U << 0)	/* inline messages only */
#define KREPIS_F_ENFORCED	(1U << 1)	/* the kernel keeps the owners; module only */
#define KREPIS_F_EXCLUSIVE	(1U << 2)	/* enforced ring of one consumer, who may write */
#define KREPIS_F_ALL		(KREPIS_F_NO_BUFFERS | KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE)

enum krepis_role {
	KREPIS_PRODUCER	= 1,
	KREPIS_CONSUMER	= 2,
};

/*
 * Who may touch a buffer's payload. The numbers are ABI.
 *
 *	0 -> 2 -> 1	publish, by the producer
 *	1 -> 0		release, by the last holder; the generation grows by one
 *	2 -> 0		reclaim after the producer died; the generation grows by one
 */
enum krepis_owner {
	KREPIS_OWNED_PRODUCER	= 0,
	KREPIS_OWNED_CONSUMER	= 1,
	KREPIS_LOCKED		= 2,
};

/**
 * struct krepis_handle - the name of a buffer in one of its lives
 * @index:	which buffer, below buffer_count
 * @generation:	which life; 0 is never valid, so a zeroed handle names nothing
 */
struct krepis_handle {
	__u32 index;
	__u32 generation;
};

/**
 * struct krepis_desc - who owns a buffer, and what is in it
 * @state:	enum krepis_owner; a futex word
 * @generation:	grows each time the buffer comes back to its producer
 * @word:	@state and @generation as the one atomic that every transition uses
 * @holders:	bit i: consumer i still holds the buffer
 * @len:	bytes of payload
 * @type:	the message's type
 * @flags:	KREPIS_MSG_* of the message
 * @crc32c:	CRC32C of the payload if @flags has KREPIS_MSG_CRC32C
 * @sequence:	ring position of the record that carries the handle; triple: publication number
 * @claim:	overwrite channels: {claimed consumers, generation}: who won each
 *		consumer's hold, the consumer that took it or the producer that
 *		overwrote its record
 * @giver:	enforced channels: krepis_info.producers when it was handed over
 *
 * In an enforced channel only the kernel writes here, and a state that says
 * KREPIS_OWNED_CONSUMER says that no page of the buffer is left to the producer.
 */
struct krepis_desc {
	union {
		struct {
			__u32 state;
			__u32 generation;
		};
		__u64 word;
	};
	__u32 holders;
	__u32 len;
	__u16 type;
	__u16 flags;
	__u32 crc32c;
	__u64 sequence;
	__u64 claim;
	__u32 giver;
	__u32 reserved0;
	__u64 reserved[2];
};

/**
 * struct krepis_exchange - the middle of a triple channel
 * @word:	bits 0-1 the buffer between the two sides, bit 2 set if it holds a
 *		value that the consumer has not taken, bits 32-63 the publication number
 */
struct krepis_exchange {
	__u64 word;
	__u64 reserved[15];
};

#define KREPIS_EXCHANGE_INDEX	3ULL
#define KREPIS_EXCHANGE_FRESH	4ULL

/**
 * struct krepis_record - what precedes every message in the ring
 * @len:	bytes of payload that follow, padded to 8 in the ring
 * @type:	the sender's type number
 * @flags:	KREPIS_MSG_*
 */
struct krepis_record {
	__u32 len;
	__u16 type;
	__u16 flags;
};

/* Message flags. */
#define KREPIS_MSG_BUFFER	(1U << 0)	/* the payload is a struct krepis_handle */
#define KREPIS_MSG_CRC32C	(1U << 1)	/* the descriptor carries a checksum */
#define KREPIS_MSG_FRESH	(1U << 2)	/* triple: first time this value is seen; never stored */
#define KREPIS_MSG_HERE		(1U << 15)	/* ring: the head is behind it; no receiver sees it */

/**
 * struct krepis_link - tells one peer that its other side is alive
 * @word:	0: nobody; KREPIS_LINK_ALIVE, or a thread id with FUTEX_WAITERS: alive;
 *		FUTEX_OWNER_DIED: dead and not yet swept. In the shm backend the kernel's
 *		robust-futex walk writes the last and wakes the peer; see
 *		Documentation/design/death.md. The module sweeps first and writes 0
 */
struct krepis_link {
	__u32 word;
	__u32 reserved;
};

#define KREPIS_LINK_ALIVE	1U	/* written by the module */

/**
 * struct krepis_waiter - how one side sleeps and wakes the other
 * @wake:	futex: its owner increments it and wakes those who sleep on it
 * @waiting:	KREPIS_ASLEEP while its owner sleeps or is about to; KREPIS_FENCE; above
 *		them the number of the sleep
 *
 * The owner alone writes both. Who publishes reads the peer's @waiting, and
 * makes a system call only if it is asleep and this sleep was not answered yet.
 */
struct krepis_waiter {
	__u32 wake;
	__u32 waiting;
};

#define KREPIS_ASLEEP	(1U << 0)
#define KREPIS_FENCE	(1U << 1)	/* a full barrier after each publication, please */
#define KREPIS_SLEEP	(1U << 2)	/* counts sleeps */

/**
 * struct krepis_counters - what an endpoint did since it was attached
 * @messages:	messages sent or received
 * @bytes:	bytes of payload in them
 * @drops:	producer: messages refused for want of room; consumer: messages lost or skipped
 * @waits:	times it slept
 * @wakes:	system calls made to wake the other side
 */
struct krepis_counters {
	__u64 messages;
	__u64 bytes;
	__u64 drops;
	__u64 waits;
	__u64 wakes;
};

/**
 * struct krepis_geometry - the shape of a channel, fixed at its creation
 * @kind:		enum krepis_kind
 * @flags:		KREPIS_F_*
 * @backpressure:	enum krepis_backpressure
 * @max_consumers:	slots, 1 to KREPIS_MAX_CONSUMERS; 1 for a triple
 * @inline_max:		largest payload that is copied into the ring, bytes
 * @buffer_count:	buffers in the pool, 0 to KREPIS_MAX_BUFFERS
 * @page_size:		alignment of the regions, bytes
 * @layout_id:		CRC32C of the message layout, 0 if unchecked
 * @ring_size:		bytes, a power of two; 0 for a triple
 * @buffer_size:	usable bytes of each buffer
 */
struct krepis_geometry {
	__u32 kind;
	__u32 flags;
	__u32 backpressure;
	__u32 max_consumers;
	__u32 inline_max;
	__u32 buffer_count;
	__u32 page_size;
	__u32 layout_id;
	__u64 ring_size;
	__u64 buffer_size;
};

/**
 * struct krepis_info - the first page
 * @magic:	KREPIS_MAGIC
 * @abi:	KREPIS_ABI_VERSION
 * @size:	bytes of this structure
 * @geometry:	immutable from creation on
 * @live:	bit i: consumer i is attached
 * @epoch:	futex: grows at every attach, detach and death
 * @producers:	producers that ever attached
 * @consumers:	consumers that ever attached
 * @deaths:	endpoints that went without detaching
 * @producer_deaths: those of them that were producers
 * @event:	module: event[0] is the producer's, event[1 + i] consumer i's. Grows whenever
 *		the other side calls KREPIS_IOC_WAKE, comes or goes: what KREPIS_IOC_WAIT
 *		waits for
 *
 * The first 128 bytes never change. The rest is written by the kernel (kmod) or
 * by the process that holds the channel's admin lock (shm).
 */
struct krepis_info {
	__u64 magic;
	__u32 abi;
	__u32 size;
	struct krepis_geometry geometry;
	__u64 reserved0[8];
	__u32 live;
	__u32 epoch;
	__u32 producers;
	__u32 consumers;
	__u32 deaths;
	__u32 producer_deaths;
	__u32 reserved1[26];
	__u32 event[1 + KREPIS_MAX_CONSUMERS];
	__u32 reserved2[31];
};

/**
 * struct krepis_producer - written by the producer
 * @head:	first byte after the last published record
 * @version:	overwrite channels: odd while @floor, @head or the counts change
 * @floor:	overwrite channels: oldest record that is still whole
 * @floor_count: overwrite channels: messages that stood before @floor
 * @head_count:	overwrite channels: messages that stand before @head
 * @waiter:	see struct krepis_waiter
 * @need:	while the producer waits for room: a tail below this need not wake it
 * @back:	triple: the buffer that the producer fills
 * @counters:	see struct krepis_counters
 * @link:	link[i] tells consumer i that the producer lives
 */
struct krepis_producer {
	__u64 head;
	__u64 pad0[15];
	__u32 version;
	__u32 pad1;
	__u64 floor;
	__u64 floor_count;
	__u64 head_count;
	__u64 pad2[12];
	struct krepis_waiter waiter;
	__u64 need;
	__u64 pad3[14];
	__u32 back;
	__u32 pad4;
	struct krepis_counters counters;
	__u64 pad5[10];
	struct krepis_link link[KREPIS_MAX_CONSUMERS];
};

/**
 * struct krepis_consumer - written by one consumer
 * @tail:	first byte that it has not read
 * @waiter:	see struct krepis_waiter
 * @link:	tells the producer that this consumer lives; beside @waiter, because the
 *		producer looks at both after each publication
 * @direct:	1: it looks at the next record, which is to say that it is HERE
 * @front:	triple: the buffer that the consumer reads
 * @joined:	1 once it knows where it begins to read: what is sent from then on, it gets
 * @counters:	see struct krepis_counters
 */
struct krepis_consumer {
	__u64 tail;
	__u64 pad0[15];
	struct krepis_waiter waiter;
	struct krepis_link link;
	__u32 direct;
	__u32 pad1;
	__u64 pad2[13];
	__u32 front;
	__u32 joined;
	struct krepis_counters counters;
	__u64 pad3[10];
};

/*
 * The module's commands. On a file of a krepis file system: SETUP, QUERY and
 * ATTACH; on the endpoint that ATTACH returns: all others and QUERY, and mmap(2)
 * at the offsets of the layout, and poll(2). Each works as ioctl(2) and as
 * io_uring's IORING_OP_URING_CMD. Documentation/userspace-api/module.md tells every
 * error.
 *
 * Every argument begins with its size in bytes. A longer one whose tail is zero
 * is taken; other tails, unknown flags and reserved fields that are not zero are
 * refused (of what is only written, nothing is read). The numbers below encode
 * the size word alone, so that they stay when an argument grows.
 */
#define KREPIS_SUPER_MAGIC	0x6b727073	/* statfs(2): "krps" */

#define KREPIS_IOC		0xEA
#define KREPIS_IOC_SETUP	_IOWR(KREPIS_IOC, 0x01, __u32)	/* krepis_setup */
#define KREPIS_IOC_QUERY	_IOWR(KREPIS_IOC, 0x02, __u32)	/* krepis_info_query */
#define KREPIS_IOC_ATTACH	_IOWR(KREPIS_IOC, 0x03, __u32)	/* krepis_attach_args */
#define KREPIS_IOC_DETACH	_IOWR(KREPIS_IOC, 0x04, __u32)	/* krepis_none */
#define KREPIS_IOC_RESTRICT	_IOWR(KREPIS_IOC, 0x05, __u32)	/* krepis_rights */
#define KREPIS_IOC_DERIVE	_IOWR(KREPIS_IOC, 0x06, __u32)	/* krepis_rights */
#define KREPIS_IOC_WAIT		_IOWR(KREPIS_IOC, 0x07, __u32)	/* krepis_wait_args */
#define KREPIS_IOC_WAKE		_IOWR(KREPIS_IOC, 0x08, __u32)	/* krepis_wake_args */
#define KREPIS_IOC_HANDOFF	_IOWR(KREPIS_IOC, 0x09, __u32)	/* krepis_handoff */
#define KREPIS_IOC_RELEASE	_IOWR(KREPIS_IOC, 0x0a, __u32)	/* krepis_release_args */
#define KREPIS_IOC_TAKE		_IOWR(KREPIS_IOC, 0x0b, __u32)	/* krepis_release_args */
#define KREPIS_IOC_EVICT	_IOWR(KREPIS_IOC, 0x0c, __u32)	/* krepis_release_args */

/* What an endpoint's descriptor allows. They only ever shrink. */
#define KREPIS_RIGHT_READ	(1U << 0)	/* map for reading, QUERY */
#define KREPIS_RIGHT_WRITE	(1U << 1)	/* map what its role writes; change owners */
#define KREPIS_RIGHT_WAIT	(1U << 2)	/* WAIT, poll(2) */
#define KREPIS_RIGHT_WAKE	(1U << 3)	/* WAKE */
#define KREPIS_RIGHT_DERIVE	(1U << 4)	/* DERIVE */
#define KREPIS_RIGHT_ALL	((1U << 5) - 1)

/**
 * struct krepis_setup - makes a channel of an empty file, once
 * @size:	of this structure, bytes
 * @flags:	0
 * @geometry:	its shape
 */
struct krepis_setup {
	__u32 size;
	__u32 flags;
	struct krepis_geometry geometry;
};

/**
 * struct krepis_info_query - what the kernel knows of a channel
 * @size:	of this structure, bytes
 * @flags:	0
 * @geometry:	out: as it was set up
 * @channel_bytes: out: memory of the channel
 * @live:	out: bit i: consumer i is attached
 * @producer:	out: 1 if a producer is attached
 * @epoch:	out: comings and goings
 * @deaths:	out: endpoints that went without KREPIS_IOC_DETACH
 * @producer_deaths: out: those that were producers
 * @role:	out: of an endpoint, enum krepis_role; else 0
 * @slot:	out: of a consumer's endpoint: its number
 * @rights:	out: of an endpoint, KREPIS_RIGHT_*
 * @abi:	out: KREPIS_ABI_VERSION of the module
 * @reserved:	out: 0
 * @counters:	out: of the producer, then of each consumer; written by their owners
 */
struct krepis_info_query {
	__u32 size;
	__u32 flags;
	struct krepis_geometry geometry;
	__u64 channel_bytes;
	__u32 live;
	__u32 producer;
	__u32 epoch;
	__u32 deaths;
	__u32 producer_deaths;
	__u32 role;
	__u32 slot;
	__u32 rights;
	__u32 abi;
	__u32 reserved[3];
	struct krepis_counters counters[1 + KREPIS_MAX_CONSUMERS];
};

/**
 * struct krepis_attach_args - takes a side of a channel; returns its descriptor
 * @size:	of this structure, bytes
 * @flags:	0
 * @role:	enum krepis_role. A producer needs a file opened for writing, a consumer
 *		one opened for reading
 * @rights:	KREPIS_RIGHT_*, not 0
 */
struct krepis_attach_args {
	__u32 size;
	__u32 flags;
	__u32 role;
	__u32 rights;
};

/**
 * struct krepis_none - a command without arguments
 * @size:	of this structure, bytes
 * @flags:	0
 */
struct krepis_none {
	__u32 size;
	__u32 flags;
};

/**
 * struct krepis_rights - fewer rights, for this descriptor or for a new one
 * @size:	of this structure, bytes
 * @flags:	0
 * @rights:	a subset of the descriptor's; DERIVE: not 0
 * @reserved:	0
 */
struct krepis_rights {
	__u32 size;
	__u32 flags;
	__u32 rights;
	__u32 reserved;
};

/**
 * struct krepis_wait_args - sleeps while a word holds a value
 * @size:	of this structure, bytes
 * @flags:	0
 * @at:		place of the word in the channel, a multiple of 4 before the ring; as a
 *		rule the own one of krepis_info.event. It is read again after every
 *		event of this endpoint
 * @value:	what it holds
 * @reserved:	0
 * @deadline_ns: CLOCK_MONOTONIC; INT64_MAX for none, as io_uring requires
 */
struct krepis_wait_args {
	__u32 size;
	__u32 flags;
	__u64 at;
	__u32 value;
	__u32 reserved;
	__s64 deadline_ns;
};

/**
 * struct krepis_wake_args - makes an event for the other side
 * @size:	of this structure, bytes
 * @flags:	KREPIS_WAKE_SELF: for this endpoint instead; with it KREPIS_WAKE_STOP: and
 *		from now on a poll of it finds EPOLLIN | EPOLLRDHUP. Needs
 *		KREPIS_RIGHT_WRITE as well
 * @consumers:	a producer's: whom; bits of those who are not there are ignored. A
 *		consumer's: 0
 * @reserved:	0
 */
struct krepis_wake_args {
	__u32 size;
	__u32 flags;
	__u32 consumers;
	__u32 reserved;
};

#define KREPIS_WAKE_SELF	(1U << 0)
#define KREPIS_WAKE_STOP	(1U << 1)

/**
 * struct krepis_handoff - gives a buffer to the consumers
 * @size:	of this structure, bytes
 * @flags:	KREPIS_HANDOFF_WAKE: wakes the consumers as well; KREPIS_HANDOFF_PUBLISH:
 *		makes the record at @sequence, which is 16 bytes long, the last one, and
 *		wakes those consumers that sleep. Enforced rings that do not overwrite
 * @handle:	the buffer, in the producer's life of it. Of an enforced triple: the one
 *		that the producer has; its next one is the result
 * @len:	bytes of payload
 * @type:	the message's type
 * @msg_flags:	KREPIS_MSG_CRC32C or 0
 * @crc32c:	CRC32C of the payload if @msg_flags says so
 * @reserved:	0
 * @sequence:	position of the record that will carry the handle
 */
struct krepis_handoff {
	__u32 size;
	__u32 flags;
	struct krepis_handle handle;
	__u32 len;
	__u16 type;
	__u16 msg_flags;
	__u32 crc32c;
	__u32 reserved;
	__u64 sequence;
};

#define KREPIS_HANDOFF_WAKE	(1U << 0)
#define KREPIS_HANDOFF_PUBLISH	(1U << 1)

/**
 * struct krepis_release_args - names a buffer
 * @size:	of this structure, bytes
 * @flags:	0
 * @handle:	as it was received, or handed over
 *
 * RELEASE: a consumer lets go of it; of an enforced triple, a consumer gives the buffer
 * that it has for the fresh one, which is the result. In enforced channels that
 * overwrite, TAKE: a consumer keeps it although its record may go; EVICT: the
 * producer is about to overwrite the record, and who did not take it loses it.
 */
struct krepis_release_args {
	__u32 size;
	__u32 flags;
	struct krepis_handle handle;
};

/**
 * struct krepis_uring - the command area of an IORING_OP_URING_CMD
 * @args:	address of @count arguments in a row, each of the size that the first tells
 * @count:	1 to KREPIS_MAX_BATCH; 1 for what may sleep: SETUP, QUERY, ATTACH, DERIVE,
 *		WAIT; their result is what ioctl(2) would return. Of the others the
 *		arguments are executed in order up to the first that fails, and the
 *		result is how many succeeded, or the error if none did
 * @reserved:	0
 *
 * sqe->cmd_op is KREPIS_IOC_*. A WAIT (Linux 6.7 and newer; before, -EOPNOTSUPP) sleeps
 * nowhere and ends by an event, KREPIS_WAKE_SELF too, or with its ring.
 */
struct krepis_uring {
	__u64 args;
	__u32 count;
	__u32 reserved;
};

#define KREPIS_MAX_BATCH	1024

#ifndef __KREPIS_ASSERT
#ifdef __cplusplus
#define __KREPIS_ASSERT(x) static_assert(x, #x)
#else
#define __KREPIS_ASSERT(x) _Static_assert(x, #x)
#endif
#endif

__KREPIS_ASSERT(sizeof(struct krepis_handle) == 8);
__KREPIS_ASSERT(sizeof(struct krepis_desc) == 64);
__KREPIS_ASSERT(sizeof(struct krepis_exchange) == 128);
__KREPIS_ASSERT(sizeof(struct krepis_record) == 8);
__KREPIS_ASSERT(sizeof(struct krepis_link) == 8);
__KREPIS_ASSERT(sizeof(struct krepis_waiter) == 8);
__KREPIS_ASSERT(sizeof(struct krepis_counters) == 40);
__KREPIS_ASSERT(sizeof(struct krepis_geometry) == 48);
__KREPIS_ASSERT(sizeof(struct krepis_info) == 512);
__KREPIS_ASSERT(sizeof(struct krepis_producer) == 768);
__KREPIS_ASSERT(sizeof(struct krepis_consumer) == 384);
__KREPIS_ASSERT(sizeof(struct krepis_setup) == 56);
__KREPIS_ASSERT(sizeof(struct krepis_info_query) == 1432);
__KREPIS_ASSERT(sizeof(struct krepis_attach_args) == 16);
__KREPIS_ASSERT(sizeof(struct krepis_none) == 8);
__KREPIS_ASSERT(sizeof(struct krepis_rights) == 16);
__KREPIS_ASSERT(sizeof(struct krepis_wait_args) == 32);
__KREPIS_ASSERT(sizeof(struct krepis_wake_args) == 16);
__KREPIS_ASSERT(sizeof(struct krepis_handoff) == 40);
__KREPIS_ASSERT(sizeof(struct krepis_release_args) == 16);
__KREPIS_ASSERT(sizeof(struct krepis_uring) == 16);

#endif /* _UAPI_LINUX_KREPIS_H */
