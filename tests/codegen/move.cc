// SPDX-License-Identifier: MIT
/* What tests/codegen/versions.py compares, in C++: write FILE, or read FILE... */
#include "move.hpp"
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

static void write(const char *path)
{
	auto channel = krepis::Channel::create(nullptr);
	krepis::Producer producer(channel);
	krepis::Consumer consumer(channel);
	move_h::move move{};

	move.number = 7;
	move.time_ns = 1ULL << 40;
#ifdef ADDED
	move.speed = 1.5f;
	move.kind = MOVE_TO;
	move.what.place = { -1, 2 };
#endif
	producer.send<move_h::move_packet>(move_h::encode(move));
	auto message = consumer.next();
	auto bytes = message->bytes();
	std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

static void read(const char *path)
{
	std::ifstream file(path, std::ios::binary);
	std::vector<char> bytes{ std::istreambuf_iterator<char>(file), {} };
	auto move = move_h::decode<move_h::move_packet>(std::as_bytes(std::span(bytes)));

	if (!move) {
		std::puts("refused");
		return;
	}
	std::printf("%u %u %llu", move->size, move->number, static_cast<unsigned long long>(move->time_ns));
#ifdef ADDED
	std::printf(" %d %u", static_cast<int>(move->speed * 2), move->kind);
	if (auto *place = move_h::as_place(*move))
		std::printf(" place %d %d", place->x, place->y);
	if (auto *name = move_h::as_name(*move))
		std::printf(" name %.16s", *name);
#endif
	std::putchar('\n');
}

int main(int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		argv[1][0] == 'w' ? write(argv[i]) : read(argv[i]);
}
