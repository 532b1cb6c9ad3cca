/* SPDX-License-Identifier: MIT */
/*
 * Many small messages at a time: room in the ring for all of them, and one publication; and
 * on the other side all that is there, and one return of the room. What is done for each
 * message is in this header, and a few instructions.
 *
 *	krepis_batch_begin(producer, &batch, KREPIS_BATCH_BYTES(32, sizeof(*p)), deadline);
 *	while ((p = krepis_batch_put(&batch, TYPE, sizeof(*p))))
 *		...
 *	krepis_batch_commit(producer, &batch);
 *
 *	krepis_batch_recv(consumer, &batch, deadline);
 *	while ((p = krepis_batch_next(&batch, &type, &len)))
 *		...
 *	krepis_batch_done(consumer, &batch);
 *
 * A batch is of the endpoint's thread.
 */
#ifndef _KREPIS_BATCH_H
#define _KREPIS_BATCH_H

#include <krepis/krepis.h>
#include <krepis/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What @count messages of @len bytes take in the ring. */
#define KREPIS_BATCH_BYTES(count, len)	((size_t)(count) * krepis_record_bytes(len))

/**
 * struct krepis_batch - records side by side
 * @at:		the next one
 * @end:	behind the last one, or the room for it
 * @inline_max:	of the channel
 * @count:	messages put in, or taken out
 * @bytes:	of payload in them
 * @broken:	a record was none: see krepis_batch_done()
 */
struct krepis_batch {
	uint8_t *at;
	uint8_t *end;
	uint32_t inline_max;
	uint32_t count;
	uint64_t bytes;
	bool broken;
};

/**
 * krepis_batch_begin - room for several messages
 * @endpoint: producer of a ring
 * @batch:    the room, until krepis_batch_commit(). Nothing else is sent in between
 * @bytes:    at least so much, of records: KREPIS_BATCH_BYTES(). There may be more room
 * @deadline: how long to wait for it; what is committed and not flushed is flushed before
 *
 * Errors: as krepis_send(); -EMSGSIZE @bytes is 0 or more than the ring.
 */
KREPIS_API int krepis_batch_begin(struct krepis_endpoint *endpoint,
				  KREPIS_OWNED(krepis_batch_commit) struct krepis_batch *batch,
				  size_t bytes, int64_t deadline);

/**
 * krepis_batch_put - room for one message, to be filled in place
 * @batch: after krepis_batch_begin()
 * @type:  any number
 * @len:   of the payload, at most inline_max of the channel
 *
 * Return: the room, 8-byte aligned; NULL: no more fits, or @len is too large.
 */
static inline void *krepis_batch_put(struct krepis_batch *batch, uint16_t type, uint32_t len)
{
	uint8_t *record = batch->at;
	uint64_t bytes = krepis_record_bytes(len);

	if (__builtin_expect(len > batch->inline_max ||
			     bytes > (uint64_t)(batch->end - record), 0))
		return NULL;
	krepis_ring_describe(record, len, type, 0);
	batch->at = record + bytes;
	batch->count++;
	batch->bytes += len;
	return record + sizeof(struct krepis_record);
}

/**
 * krepis_batch_commit - publishes what was put into the batch, and ends it
 * @endpoint: after krepis_batch_begin()
 * @batch:    the same. Nothing in it: nothing is sent
 *
 * Errors: -EINVAL nothing was begun, or @batch is not it.
 */
KREPIS_API int krepis_batch_commit(struct krepis_endpoint *endpoint,
				   KREPIS_CONSUMES struct krepis_batch *batch);

/**
 * krepis_batch_recv - all messages in the ring that are there
 * @endpoint: consumer of a ring that is not KREPIS_OVERWRITE
 * @batch:    them, until krepis_batch_done()
 * @deadline: how long to wait for the first
 *
 * Views that earlier calls gave out end here. A message in a buffer ends a batch: if it is
 * the first, krepis_recv() is to take it.
 *
 * Errors: as krepis_recv(); -ENOMSG the next message is in a buffer; -EINVAL also for a
 * KREPIS_OVERWRITE channel.
 */
KREPIS_API int krepis_batch_recv(struct krepis_endpoint *endpoint,
				 KREPIS_OWNED(krepis_batch_done) struct krepis_batch *batch,
				 int64_t deadline);

/**
 * krepis_batch_next - the next message
 * @batch: after krepis_batch_recv()
 * @type:  as it was sent
 * @len:   bytes of payload
 *
 * Return: the payload, a view until krepis_batch_done(); NULL: there is no more.
 */
static inline const void *krepis_batch_next(struct krepis_batch *batch, uint16_t *type,
					    uint32_t *len)
{
	uint8_t *at = batch->at;
	struct krepis_record record;

	if (at == batch->end)
		return NULL;
	batch->broken = krepis_ring_record(at, (uint64_t)(batch->end - at), batch->inline_max,
					   &record);
	if (__builtin_expect(batch->broken || (record.flags & KREPIS_MSG_BUFFER), 0)) {
		batch->end = at;
		return NULL;
	}
	batch->at = at + krepis_record_bytes(record.len);
	batch->count++;
	batch->bytes += record.len;
	*type = record.type;
	*len = record.len;
	return at + sizeof(record);
}

/**
 * krepis_batch_done - gives back the room of the messages that were taken out
 * @endpoint: after krepis_batch_recv()
 * @batch:    the same. What was not taken out comes again
 *
 * Errors: -EPROTO what is behind the last message cannot be one; -EINVAL @batch is not of
 * @endpoint.
 */
KREPIS_API int krepis_batch_done(struct krepis_endpoint *endpoint,
				 KREPIS_CONSUMES struct krepis_batch *batch);

#ifdef __cplusplus
}
#endif

#endif /* _KREPIS_BATCH_H */
