// SPDX-License-Identifier: MIT
// Tests of krepis.hpp and of what krepis-codegen makes for C++. TAP.
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include "messages.hpp"

using namespace std::chrono_literals;
using messages::position_packet;

static int count, failed;

static void check(bool good, const char *name)
{
	count++;
	failed += !good;
	std::printf("%s %d %s\n", good ? "ok" : "not ok", count, name);
}

template <class F>
static bool throws(std::errc expected, F &&f)
{
	try {
		std::forward<F>(f)();
	} catch (const krepis::Error &e) {
		return e.code() == expected && std::strlen(e.what());
	}
	return false;
}

static krepis_channel_options small()
{
	krepis_channel_options o{};

	o.size = sizeof(o);
	o.ring_size = 4096;
	o.buffer_size = 4096;
	o.buffer_count = 2;
	o.layout_id = messages::layout_id;
	return o;
}

static krepis::Channel make(krepis_channel_options o = small())
{
	return krepis::Channel::create(nullptr, &o);
}

static const std::byte *text(const char *s)
{
	return reinterpret_cast<const std::byte *>(s);
}

/* --------------------------------------------------------------------- ownership */

static_assert(!std::is_copy_constructible_v<krepis::Buffer> && !std::is_copy_assignable_v<krepis::Buffer>);
static_assert(!std::is_copy_constructible_v<krepis::Message> && !std::is_copy_assignable_v<krepis::Message>);
static_assert(!std::is_copy_constructible_v<krepis::Channel> && !std::is_copy_constructible_v<krepis::Producer>);
static_assert(std::is_nothrow_move_constructible_v<krepis::Buffer> &&
	      std::is_nothrow_move_constructible_v<krepis::Message>);
static_assert(std::is_copy_constructible_v<krepis::SharedMessage>);
/* A buffer is given away by name only, and a message shared. */
template <class B>
concept publishable = requires(krepis::Producer p, B b) { p.publish(static_cast<B>(b), 1, 1); };
static_assert(publishable<krepis::Buffer &&> && !publishable<krepis::Buffer &>);
template <class M>
concept shareable = requires(M m) { static_cast<M>(m).share(); };
static_assert(shareable<krepis::Message &&> && !shareable<krepis::Message &>);

static void a_buffer_that_is_not_published_goes_back()
{
	auto channel = make();
	krepis::Producer p(channel);

	for (int i = 0; i < 100; i++) {
		auto a = p.acquire(), b = p.acquire();

		if (p.try_acquire())
			return check(false, "a_buffer_that_is_not_published_goes_back");
	}
	check(p.try_acquire().has_value(), "a_buffer_that_is_not_published_goes_back");
}

static void a_published_buffer_is_empty()
{
	auto channel = make();
	krepis::Producer p(channel);
	krepis::Consumer c(channel);
	auto b = p.acquire();

	std::memcpy(b.bytes().data(), "hello", 6);
	p.publish(std::move(b), 5, 6);
	check(b.bytes().empty() && !b.get(), "a_published_buffer_is_empty");
	check(throws(std::errc::operation_not_permitted, [&] { p.publish(std::move(b), 5, 6); }),
	      "a_buffer_is_published_once");
	{
		auto m = c.recv(1s);

		check(m.type() == 5 && m.in_buffer() && !std::memcmp(m.bytes().data(), "hello", 6),
		      "what_was_written_is_read_in_place");
		auto other = p.acquire();
		check(!p.try_acquire(), "a_message_holds_its_buffer");
	}
	auto one = p.acquire(1s), two = p.acquire(1s);
	check(true, "the_end_of_a_message_releases_its_buffer");
}

static void a_buffer_that_could_not_be_published_stays()
{
	auto channel = make();
	krepis::Producer p(channel);
	auto b = p.acquire();

	check(throws(std::errc::not_connected, [&] { p.publish(std::move(b), 1, 1); }) && b.get() &&
	      b.bytes().size() == 4096, "a_buffer_that_could_not_be_published_stays");
}

static void the_last_who_shares_a_message_releases_it()
{
	auto options = small();
	options.buffer_count = 1;
	auto channel = make(options);
	krepis::Producer p(channel);
	krepis::Consumer c(channel);

	p.publish(p.acquire(), 1, 8);
	auto m = c.recv(1s);
	auto a = std::move(m).share();
	{
		auto b = a;
		auto moved = std::move(a);
		check(m.bytes().empty() && b.bytes().size() == 8 && !p.try_acquire(), "a_shared_message_is_held");
	}
	check(p.try_acquire().has_value(), "the_last_who_shares_a_message_releases_it");
	p.send(1, { text("x"), 1 });
	auto in_ring = c.recv(1s);
	check(throws(std::errc::invalid_argument, [&] { std::move(in_ring).share(); }),
	      "a_message_in_the_ring_is_not_shared");
}

/* ---------------------------------------------------------------------- messages */

static void packets_have_their_types()
{
	auto channel = make();
	krepis::Producer p(channel);
	krepis::Consumer c(channel);

	p.send<position_packet>({ 7, 1.5f, -2 });
	p.emplace<messages::everything_packet>([](everything &e) {
		std::memset(&e, 0, sizeof(e));
		e.ratio = 0.25;
	});
	check(c.recv(1s).as<position_packet>()->x == 1.5f, "a_packet_arrives_as_what_it_is");
	check(!c.try_recv(), "what_is_not_flushed_is_not_there");
	p.flush();
	auto m = c.recv(1s);
	check(!m.as<position_packet>() && m.as<messages::everything_packet>()->ratio == 0.25,
	      "another_packet_is_not_taken_for_it");
}

static void what_is_not_now_is_no_error()
{
	auto options = small();
	options.backpressure = KREPIS_FAIL;
	auto channel = make(options);
	krepis::Producer p(channel);
	krepis::Consumer c(channel);
	int n = 0;

	check(!c.try_recv(), "there_is_no_message_now");
	while (p.try_send<position_packet>({}))
		n++;
	check(n > 100, "there_is_no_room_now");
	check(throws(std::errc::timed_out, [&] {
		while (true)
			c.recv(1ms);
	}), "a_deadline_is_kept");
}

static void the_end_is_told()
{
	auto channel = make();
	krepis::Consumer c(channel);
	int n = 0;
	{
		krepis::Producer p(channel);

		for (int i = 0; i < 3; i++)
			p.send<position_packet>({});
	}
	while (auto m = c.next(1s))
		n++;
	check(n == 3, "next_ends_when_the_producer_has_left");
	check(throws(std::errc::broken_pipe, [&] { c.recv(1s); }), "recv_says_that_it_has");
	krepis::Producer p(channel);
	std::thread t([&] {
		std::this_thread::sleep_for(20ms);
		c.shutdown();
	});
	check(!c.next(), "next_ends_by_a_shutdown");
	t.join();
}

static std::string of_version(const char *library)
{
	try {
		krepis::detail::must_be_ours(library);
		return "";
	} catch (const krepis::VersionError &e) {
		return e.what();
	}
}

static void another_version_is_refused()
{
	check(of_version(krepis_version()).empty(), "the_same_version_is_not_refused");
	check(of_version("0.0.9").find("libkrepis is 0.0.9") == 0 &&
	      of_version("0.0.9").find("library is older") != std::string::npos, "an_older_library_is_refused");
	check(of_version("0.10.0").find("program is older") != std::string::npos, "a_newer_library_is_refused");
}

static void another_layout_is_refused()
{
	auto channel = make();
	int s[2];

	check(throws(std::errc::protocol_error, [&] { krepis::Channel::open(channel.fd(), messages::layout_id ^ 1); }),
	      "another_layout_is_refused");
	krepis::check(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	channel.pass(s[0]);
	channel.pass(s[0]);
	auto same = krepis::Channel::receive(s[1], messages::layout_id);
	check(same.query().geometry.layout_id == messages::layout_id, "the_same_layout_is_not");
	try {
		krepis::Channel::receive(s[1], messages::layout_id ^ 1);
		check(false, "both_layouts_are_named");
	} catch (const krepis::LayoutError &e) {
		check(e.theirs == messages::layout_id && e.ours == (messages::layout_id ^ 1), "both_layouts_are_named");
	}
	close(s[0]);
	close(s[1]);
}

static void the_latest_value_is_read()
{
	auto options = small();
	options.kind = KREPIS_TRIPLE;
	options.ring_size = options.buffer_count = 0;
	auto channel = make(options);
	krepis::TripleProducer p(channel);
	krepis::TripleConsumer c(channel);

	check(!c.read(), "nothing_was_published");
	p.write<position_packet>({ 1, 0, 0 });
	p.write<position_packet>({ 2, 0, 0 });
	auto v = c.read();
	check(v && v->fresh && reinterpret_cast<const position *>(v->bytes.data())->time_ns == 2,
	      "the_latest_value_is_read");
	check(!c.read()->fresh, "and_is_known_then");
}

/* Checksums of 100,000 packets, from another process, which then dies. */
static void between_processes()
{
	auto channel = make();
	pid_t pid = fork();

	if (!pid) {
		krepis::Producer p(channel);

		p.wait_peer();
		for (std::uint64_t i = 0; i < 100000; i++)
			p.send<position_packet>({ i, float(i % 1000), 0 });
		p.drain();
		kill(getpid(), SIGKILL);
	}
	krepis::Consumer c(channel);
	std::uint64_t n = 0;
	bool right = true;

	while (auto m = c.next(20s)) {
		auto at = m->as<position_packet>();

		right &= at && at->time_ns == n && at->x == float(n % 1000);
		n++;
	}
	waitpid(pid, nullptr, 0);
	check(right && n == 100000, "all_comes_in_order_from_another_process");
	check(c.query().producer_deaths == 1, "its_death_is_noticed");
}

int main()
{
	a_buffer_that_is_not_published_goes_back();
	a_published_buffer_is_empty();
	a_buffer_that_could_not_be_published_stays();
	the_last_who_shares_a_message_releases_it();
	packets_have_their_types();
	what_is_not_now_is_no_error();
	the_end_is_told();
	another_version_is_refused();
	another_layout_is_refused();
	the_latest_value_is_read();
	between_processes();
	std::printf("1..%d\n", count);
	return failed ? 1 : 0;
}
