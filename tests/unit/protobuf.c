// SPDX-License-Identifier: MIT
/*
 * Protobuf messages, packed into the ring or into a buffer and unpacked on the other side.
 */
#include <stdlib.h>
#include <string.h>
#include <krepis/protobuf.h>
#include "helpers.h"
#include "person.pb-c.h"

#define PORTRAIT_MAX	(2 << 20)

/* A person with all kinds of fields, and a portrait of @portrait bytes. */
struct someone {
	Unit__Person person;
	Unit__Person__PhoneNumber phones[2];
	Unit__Person__PhoneNumber *phone_list[2];
	int64_t visits[5];
};

static void introduce(struct someone *s, size_t portrait)
{
	s->person = (Unit__Person)UNIT__PERSON__INIT;
	s->phones[0] = (Unit__Person__PhoneNumber)UNIT__PERSON__PHONE_NUMBER__INIT;
	s->phones[1] = (Unit__Person__PhoneNumber)UNIT__PERSON__PHONE_NUMBER__INIT;
	s->phones[0].number = "+30 210 3214172";
	s->phones[1].number = "555-0100";
	s->phones[1].type = UNIT__PERSON__PHONE_TYPE__WORK;
	s->phone_list[0] = &s->phones[0];
	s->phone_list[1] = &s->phones[1];
	for (int i = 0; i < 5; i++)
		s->visits[i] = (i - 2) * 1000000007LL;
	s->person.name = "Iktinos";
	s->person.id = -447;
	s->person.email = "iktinos@parthenon.example";
	s->person.n_phones = 2;
	s->person.phones = s->phone_list;
	s->person.n_visits = 5;
	s->person.visits = s->visits;
	s->person.portrait.len = portrait;
	s->person.portrait.data = portrait ? malloc(portrait) : NULL;
	if (portrait) {
		must(s->person.portrait.data);
		fill(s->person.portrait.data, portrait, portrait);
	}
}

static void forget(struct someone *s)
{
	free(s->person.portrait.data);
}

static void assert_same(const Unit__Person *got, const Unit__Person *sent)
{
	assert_string_equal(got->name, sent->name);
	assert_int_equal(got->id, sent->id);
	assert_string_equal(got->email, sent->email);
	assert_int_equal(got->n_phones, sent->n_phones);
	for (size_t i = 0; i < sent->n_phones; i++) {
		assert_string_equal(got->phones[i]->number, sent->phones[i]->number);
		assert_int_equal(got->phones[i]->type, sent->phones[i]->type);
	}
	assert_int_equal(got->n_visits, sent->n_visits);
	for (size_t i = 0; i < sent->n_visits; i++)
		assert_true(got->visits[i] == sent->visits[i]);
	assert_int_equal(got->portrait.len, sent->portrait.len);
	if (sent->portrait.len)
		assert_memory_equal(got->portrait.data, sent->portrait.data, sent->portrait.len);
}

/* Sends a person with such a portrait, and compares what comes out. */
static void travels(struct pair *p, size_t portrait, uint32_t flags, bool in_buffer)
{
	ProtobufCMessage *out = NULL;
	struct someone someone;
	struct krepis_msg msg;

	introduce(&someone, portrait);
	assert_ok(krepis_protobuf_send(p->producer, 42, &someone.person.base, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p->consumer, &msg, KREPIS_NOWAIT));
	assert_int_equal(msg.type, 42);
	assert_int_equal(!!msg.buffer, in_buffer);
	assert_int_equal(msg.len, protobuf_c_message_get_packed_size(&someone.person.base));
	assert_ok(krepis_protobuf_unpack(&msg, &unit__person__descriptor, flags, &out));
	assert_ok(krepis_release(p->consumer, &msg));
	/* What was unpacked does not need the message any more. */
	assert_same((Unit__Person *)out, &someone.person);
	protobuf_c_message_free_unpacked(out, NULL);
	forget(&someone);
}

static void a_small_message_travels_in_the_ring(void **state)
{
	struct pair p = open_pair(NULL);

	(void)state;
	for (size_t portrait = 0; portrait < 3000; portrait += 97)
		travels(&p, portrait, 0, false);
	close_pair(&p);
}

static void a_large_message_travels_in_a_buffer(void **state)
{
	struct pair p = open_pair(NULL);

	(void)state;
	for (size_t portrait = 5000; portrait < 1000000; portrait += 99991)
		travels(&p, portrait, 0, true);
	close_pair(&p);
}

static void a_message_beyond_a_mebibyte_travels_too(void **state)
{
	struct pair p = open_pair(OPTIONS(.buffer_size = PORTRAIT_MAX + 4096, .buffer_count = 2));

	(void)state;
	travels(&p, PORTRAIT_MAX, 0, true);
	close_pair(&p);
}

static void a_trusted_peers_message_is_parsed_in_place(void **state)
{
	struct pair p = open_pair(NULL);

	(void)state;
	travels(&p, 100, KREPIS_PROTOBUF_TRUST_PEER, false);
	travels(&p, 100000, KREPIS_PROTOBUF_TRUST_PEER, true);
	close_pair(&p);
}

static void an_empty_message_travels(void **state)
{
	Unit__AddressBook book = UNIT__ADDRESS_BOOK__INIT;
	struct pair p = open_pair(NULL);
	ProtobufCMessage *out = NULL;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_protobuf_send(p.producer, 1, &book.base, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_int_equal(msg.len, 0);
	assert_ok(krepis_protobuf_unpack(&msg, &unit__address_book__descriptor, 0, &out));
	assert_int_equal(((Unit__AddressBook *)out)->n_people, 0);
	protobuf_c_message_free_unpacked(out, NULL);
	close_pair(&p);
}

static void a_message_of_messages_travels(void **state)
{
	Unit__AddressBook book = UNIT__ADDRESS_BOOK__INIT;
	struct someone people[10];
	Unit__Person *list[10];
	struct pair p = open_pair(NULL);
	ProtobufCMessage *out = NULL;
	struct krepis_msg msg;

	(void)state;
	for (size_t i = 0; i < 10; i++) {
		introduce(&people[i], i * 300);
		list[i] = &people[i].person;
	}
	book.n_people = 10;
	book.people = list;
	assert_ok(krepis_protobuf_send(p.producer, 1, &book.base, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_ok(krepis_protobuf_unpack(&msg, &unit__address_book__descriptor, 0, &out));
	assert_int_equal(((Unit__AddressBook *)out)->n_people, 10);
	for (size_t i = 0; i < 10; i++) {
		assert_same(((Unit__AddressBook *)out)->people[i], list[i]);
		forget(&people[i]);
	}
	protobuf_c_message_free_unpacked(out, NULL);
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

static void more_than_a_buffer_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffers[4];
	struct someone someone;
	struct krepis_msg msg;

	(void)state;
	introduce(&someone, 4096);
	assert_error(krepis_protobuf_send(p.producer, 1, &someone.person.base, KREPIS_NOWAIT),
		     EMSGSIZE);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	/* No buffer stayed behind. */
	for (int i = 0; i < 4; i++)
		assert_ok(krepis_acquire(p.producer, &buffers[i], KREPIS_NOWAIT));
	forget(&someone);
	close_pair(&p);
}

static void more_than_inline_max_without_buffers_is_refused(void **state)
{
	struct pair p = open_pair(OPTIONS(.flags = KREPIS_F_NO_BUFFERS));
	struct someone someone;

	(void)state;
	introduce(&someone, 5000);
	assert_error(krepis_protobuf_send(p.producer, 1, &someone.person.base, KREPIS_NOWAIT),
		     EMSGSIZE);
	forget(&someone);
	close_pair(&p);
}

static int send_to(struct krepis_endpoint *endpoint, struct someone *someone, int64_t deadline)
{
	return krepis_protobuf_send(endpoint, 1, &someone->person.base, deadline);
}

static void errors_of_sending_are_passed_on(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct pair p = { .channel = channel, .producer = attach(channel, KREPIS_PRODUCER, 0) };
	struct someone small, large;

	(void)state;
	introduce(&small, 0);
	introduce(&large, 2000);
	assert_error(send_to(p.producer, &small, KREPIS_NOWAIT), ENOTCONN);
	assert_error(send_to(p.producer, &large, KREPIS_NOWAIT), ENOTCONN);
	p.consumer = attach(channel, KREPIS_CONSUMER, 0);
	assert_error(send_to(p.consumer, &small, KREPIS_NOWAIT), EINVAL);
	for (int i = 0; i < 4; i++)
		assert_ok(send_to(p.producer, &large, KREPIS_NOWAIT));
	assert_error(send_to(p.producer, &large, KREPIS_NOWAIT), EAGAIN);
	assert_error(send_to(p.producer, &large, SHORTLY), ETIMEDOUT);
	send_until_full(p.producer, 1, 0);
	assert_error(send_to(p.producer, &small, KREPIS_NOWAIT), EAGAIN);
	forget(&small);
	forget(&large);
	close_pair(&p);
}

static void garbage_is_no_message(void **state)
{
	static const uint8_t garbage[][4] = {
		{ 0xff, 0xff, 0xff, 0xff },	/* an endless number */
		{ 0x0a, 0x7f, 'x', 'y' },	/* a string beyond the end */
		{ 0x0b, 0x00, 0x00, 0x00 },	/* a wire type that nobody writes */
		{ 0x00, 0x01, 0x02, 0x03 },	/* field 0 */
	};
	struct pair p = open_pair(NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		ProtobufCMessage *out = NULL;
		struct krepis_msg msg;

		assert_ok(krepis_send(p.producer, 1, garbage[i], sizeof(garbage[i]),
				      KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_error(krepis_protobuf_unpack(&msg, &unit__person__descriptor, 0, &out),
			     EBADMSG);
		assert_error(krepis_protobuf_unpack(&msg, &unit__person__descriptor,
						    KREPIS_PROTOBUF_TRUST_PEER, &out), EBADMSG);
	}
	close_pair(&p);
}

static void a_message_cut_anywhere_does_no_harm(void **state)
{
	struct pair p = open_pair(NULL);
	struct someone someone;
	uint8_t packed[1000];
	size_t len;

	(void)state;
	introduce(&someone, 200);
	len = protobuf_c_message_pack(&someone.person.base, packed);
	assert_true(len < sizeof(packed));
	for (size_t cut = 0; cut < len; cut++) {
		ProtobufCMessage *out = NULL;
		struct krepis_msg msg;
		int err;

		assert_ok(krepis_send(p.producer, 1, packed, cut, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		err = krepis_protobuf_unpack(&msg, &unit__person__descriptor, 0, &out);
		assert_true(!err || err == -EBADMSG);
		if (!err)
			protobuf_c_message_free_unpacked(out, NULL);
	}
	forget(&someone);
	close_pair(&p);
}

static void unknown_flags_are_refused(void **state)
{
	struct pair p = open_pair(NULL);
	ProtobufCMessage *out = (void *)&out;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send(p.producer, 1, NULL, 0, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	for (uint32_t flag = 2; flag; flag <<= 1)
		assert_error(krepis_protobuf_unpack(&msg, &unit__person__descriptor, flag, &out),
			     EINVAL);
	assert_ptr_equal(out, (void *)&out);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_small_message_travels_in_the_ring),
		CLAIM(a_large_message_travels_in_a_buffer),
		CLAIM(a_message_beyond_a_mebibyte_travels_too),
		CLAIM(a_trusted_peers_message_is_parsed_in_place),
		CLAIM(an_empty_message_travels),
		CLAIM(a_message_of_messages_travels),
		CLAIM(more_than_a_buffer_is_refused),
		CLAIM(more_than_inline_max_without_buffers_is_refused),
		CLAIM(errors_of_sending_are_passed_on),
		CLAIM(garbage_is_no_message),
		CLAIM(a_message_cut_anywhere_does_no_harm),
		CLAIM(unknown_flags_are_refused),
	};

	return RUN("protobuf", tests);
}
