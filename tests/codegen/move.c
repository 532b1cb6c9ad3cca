// SPDX-License-Identifier: MIT
/* What tests/codegen/versions.py compares, in C: write FILE, or read FILE... */
#include <stdio.h>
#include "move.layout.h"

static int send_one(FILE *to)
{
	struct move move = { .number = 7, .time_ns = 1ULL << 40 };
	struct krepis_endpoint *producer, *consumer;
	struct krepis_channel *channel;
	struct krepis_msg msg;

#ifdef ADDED
	move.speed = 1.5f;
	move.kind = MOVE_TO;
	move.what.place = (struct place){ -1, 2 };
#endif
	if (krepis_channel_create(NULL, NULL, &channel) || krepis_attach(channel, KREPIS_PRODUCER, 0, &producer) ||
	    krepis_attach(channel, KREPIS_CONSUMER, 0, &consumer) ||
	    krepis_encode_move(producer, &move, KREPIS_NOWAIT) || krepis_recv(consumer, &msg, KREPIS_NOWAIT))
		return 1;
	return fwrite(msg.data, msg.len, 1, to) != 1;
}

static void show(const struct krepis_msg *msg)
{
	struct move move;
	int err = krepis_decode_move(msg, &move);

	if (err) {
		puts(err == -EMSGSIZE ? "refused" : "another");
		return;
	}
	printf("%u %u %llu", move.size, move.number, (unsigned long long)move.time_ns);
#ifdef ADDED
	printf(" %d %u", (int)(move.speed * 2), move.kind);
	if (move.kind == MOVE_TO)
		printf(" place %d %d", move.what.place.x, move.what.place.y);
	if (move.kind == MOVE_NAME)
		printf(" name %.16s", move.what.name);
#endif
	putchar('\n');
}

int main(int argc, char **argv)
{
	_Alignas(8) static char bytes[64];
	struct krepis_msg msg = { .data = bytes, .type = 5 };
	FILE *file;

	for (int i = 2; i < argc; i++) {
		file = fopen(argv[i], argv[1][0] == 'w' ? "wb" : "rb");
		if (!file)
			return 1;
		if (argv[1][0] == 'w')
			return send_one(file) || fclose(file);
		msg.len = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		show(&msg);
	}
	msg.type = 6;
	return krepis_decode_move(&msg, &(struct move){ 0 }) != -ENOMSG;
}
