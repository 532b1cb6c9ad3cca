// SPDX-License-Identifier: MIT
// The C++ peer: see ../README.md.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include "sample.hpp"

using namespace std::chrono_literals;
using sample_h::sample_packet;
using Sample = sample_packet::type;

namespace {

constexpr std::size_t tail_bytes = 4096;
constexpr auto patience = 60s;

struct Wrong : std::runtime_error {
	using std::runtime_error::runtime_error;
};

class Peer {
public:
	Peer(int kind, std::uint64_t count) : kind_(kind), count_(count) {}

	void produce(krepis::Channel &channel)
	{
		if (kind_ == SAMPLE_TRIPLE)
			return produce_values(channel);
		krepis::Producer producer(channel);

		producer.wait_peer(1, patience);
		for (; more(); done++) {
			if (kind_ == SAMPLE_RING) {
				producer.send<sample_packet>(expected(done));
				continue;
			}
			auto buffer = producer.acquire();
			auto len = fill(buffer.bytes().data(), done);

			producer.publish(std::move(buffer), sample_packet::id, len, KREPIS_MSG_CRC32C);
		}
		try {
			producer.drain(patience);
		} catch (const krepis::Error &e) {
			/* Who has all of it may leave. */
			if (e.code() != std::errc::broken_pipe)
				throw;
		}
	}

	void consume(krepis::Channel &channel)
	{
		if (kind_ == SAMPLE_TRIPLE)
			return consume_values(channel);
		krepis::Consumer consumer(channel);

		while (more()) {
			auto message = consumer.next();

			if (!message)
				throw krepis::Error(-KREPIS_PEER_GONE);
			check(message->bytes(), message->type());
			if (kind_ == SAMPLE_BUFFER && !message->verify())
				throw Wrong("the checksum is wrong");
		}
	}

	std::uint64_t done = 0;

private:
	bool more() const { return !count_ || done < count_; }

	Sample expected(std::uint64_t n) const
	{
		Sample s{};

		s.sequence = n;
		s.half = static_cast<double>(n) / 2;
		s.negative = -static_cast<std::int32_t>(n % 1000);
		s.kind = static_cast<sample_kind>(kind_);
		s.flags = static_cast<sample_flags>((n % 2 ? SAMPLE_ODD : 0) | (n % 3 ? 0 : SAMPLE_THIRD));
		for (unsigned int i = 0; i < 4; i++)
			s.small[i] = static_cast<std::uint16_t>(n * (i + 1));
		auto name = "s" + std::to_string(n % 10000000);
		std::copy(name.begin(), name.end(), s.name);
		s.crc = krepis_crc32c(0, &s, offsetof(Sample, crc));
		return s;
	}

	std::size_t fill(void *room, std::uint64_t n) const
	{
		auto s = expected(n);
		auto tail = static_cast<std::uint8_t *>(room) + sizeof(s);

		std::memcpy(room, &s, sizeof(s));
		for (std::size_t i = 0; i < tail_bytes; i++)
			tail[i] = static_cast<std::uint8_t>(n + i);
		return sizeof(s) + tail_bytes;
	}

	/* Notes what is to come next; of a triple, at the least. */
	void check(krepis::ConstBytes bytes, std::uint16_t type)
	{
		bool triple = kind_ == SAMPLE_TRIPLE;
		std::size_t behind = kind_ == SAMPLE_RING ? 0 : tail_bytes;
		Sample got, good;

		if (type != sample_packet::id || bytes.size() != sizeof(got) + behind)
			throw Wrong("a message of another type or length");
		std::memcpy(&got, bytes.data(), sizeof(got));
		good = expected(got.sequence);
		if (std::memcmp(&got, &good, sizeof(got)) ||
		    (triple ? got.sequence + 1 < done : got.sequence != done))
			throw Wrong("a wrong message instead of " + std::to_string(done));
		for (std::size_t i = 0; i < behind; i++)
			if (std::to_integer<std::uint8_t>(bytes[sizeof(got) + i]) !=
			    static_cast<std::uint8_t>(got.sequence + i))
				throw Wrong("wrong bytes behind " + std::to_string(done));
		done = got.sequence + 1;
	}

	void produce_values(krepis::Channel &channel)
	{
		krepis::TripleProducer producer(channel);

		producer.wait_peer(1, patience);
		for (; more(); done++)
			producer.commit(sample_packet::id, fill(producer.begin(), done));
		for (auto end = std::chrono::steady_clock::now() + patience; producer.query().live;) {
			if (std::chrono::steady_clock::now() > end)
				throw Wrong("the consumer does not leave");
			std::this_thread::sleep_for(1ms);
		}
	}

	void consume_values(krepis::Channel &channel)
	{
		krepis::TripleConsumer consumer(channel);

		while (more()) {
			consumer.wait();
			if (auto value = consumer.read())
				check(value->bytes, value->type);
		}
	}

	int kind_;
	std::uint64_t count_;
};

int run(std::string_view role, int kind, const char *path, std::uint64_t count)
{
	Peer peer(kind, count);

	try {
		auto channel = krepis::Channel::open(path, sample_h::layout_id);

		if (role == "produce")
			peer.produce(channel);
		else
			peer.consume(channel);
	} catch (const krepis::Error &e) {
		if (e.code() == std::errc::broken_pipe) {
			std::fprintf(stderr, "gone after %llu\n",
				     static_cast<unsigned long long>(peer.done));
			return 3;
		}
		std::fprintf(stderr, "%s\n", e.what());
		return e.code() == std::errc::protocol_error ? 4 : 1;
	} catch (const std::exception &e) {
		std::fprintf(stderr, "%s\n", e.what());
		return 1;
	}
	std::printf("ok %llu\n", static_cast<unsigned long long>(count));
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	constexpr std::string_view kinds[] = { "", "ring", "buffer", "triple" };

	if (argc == 5)
		for (int kind = 1; kind < 4; kind++)
			if (kinds[kind] == argv[2])
				return run(argv[1], kind, argv[3], std::strtoull(argv[4], nullptr, 10));
	std::fprintf(stderr, "usage: peer produce|consume ring|buffer|triple CHANNEL COUNT\n");
	return 1;
}
