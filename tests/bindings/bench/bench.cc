// SPDX-License-Identifier: MIT
// What a call costs, beside the same in C (bench.c): two lines of nanoseconds.
#include <array>
#include <cstdio>
#include <krepis/krepis.hpp>

constexpr int rounds = 1000000;
constexpr std::size_t size = 4096;

template <class One>
static void timed(const char *name, One one)
{
	auto began = krepis_deadline_ns(0);

	for (int i = 0; i < rounds; i++)
		one(static_cast<std::byte>(i));
	std::printf("%s %.2f\n", name, static_cast<double>(krepis_deadline_ns(0) - began) / rounds);
}

static void look(const krepis::Message &message)
{
	(void)*const_cast<const volatile std::byte *>(message.bytes().data());
}

int main()
{
	krepis_channel_options options{};

	options.size = sizeof(options);
	options.buffer_size = size;

	auto channel = krepis::Channel::create(nullptr, &options);
	krepis::Producer producer(channel);
	krepis::Consumer consumer(channel);
	std::array<std::byte, 64> data{};

	timed("inline", [&](std::byte i) {
		data[0] = i;
		producer.send(1, data);
		look(consumer.recv());
	});
	timed("buffer", [&](std::byte i) {
		auto buffer = producer.acquire();

		buffer.bytes()[0] = i;
		producer.publish(std::move(buffer), 1, size);
		look(consumer.recv());
	});
}
