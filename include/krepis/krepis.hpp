/* SPDX-License-Identifier: MIT */
/*
 * C++20 over krepis.h: who owns what, in types. Nothing but this header and libkrepis.
 *
 *	auto channel = krepis::Channel::create(nullptr);
 *	krepis::Producer producer(channel);
 *	auto buffer = producer.acquire();		// move-only: abandoned if it is not published
 *	producer.publish(std::move(buffer), type, len);
 *
 *	krepis::Consumer consumer(channel);
 *	while (auto message = consumer.next())		// until the producer has left
 *		use(message->bytes());			// released at the end of its scope
 *
 * What fails throws krepis::Error, whose code() compares with std::errc: KREPIS_PEER_GONE is
 * std::errc::broken_pipe. What is only "not now" is told by the result of try_... . Objects are as
 * thread-safe as what they hold in C.
 */
#ifndef KREPIS_HPP
#define KREPIS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <krepis/krepis.h>

namespace krepis {

namespace detail {

class Category final : public std::error_category {
public:
	const char *name() const noexcept override { return "krepis"; }
	std::string message(int code) const override { return krepis_strerror(-code); }
	std::error_condition default_error_condition(int code) const noexcept override
	{
		return { code, std::generic_category() };
	}
};

} // namespace detail

inline const std::error_category &category() noexcept
{
	static const detail::Category instance;
	return instance;
}

class Error : public std::system_error {
public:
	explicit Error(int err) : std::system_error(-err, category()) {}
	Error(int err, const std::string &what) : std::system_error(-err, category(), what) {}
};

/* The channel's messages are not those that this program knows. */
class LayoutError : public Error {
public:
	LayoutError(std::uint32_t theirs, std::uint32_t ours)
		: Error(-EPROTO, "the channel has layout " + hex(theirs) + ", and we have " + hex(ours)),
		  theirs(theirs), ours(ours) {}
	const std::uint32_t theirs, ours;

private:
	static std::string hex(std::uint32_t id)
	{
		char text[11];

		std::snprintf(text, sizeof(text), "0x%08x", static_cast<unsigned int>(id));
		return text;
	}
};

/* This program was compiled with headers of another version than the library has. */
class VersionError : public std::runtime_error {
public:
	explicit VersionError(const char *library)
		: std::runtime_error(std::string("libkrepis is ") + library +
				     ", and this program was made with " KREPIS_VERSION ": the " +
				     (strverscmp(library, KREPIS_VERSION) < 0 ?
				      "library is older. Install libkrepis " KREPIS_VERSION :
				      "program is older. Compile it anew")) {}
};

/* Return: @result, if it is no error. */
inline int check(int result)
{
	if (result < 0)
		throw Error(result);
	return result;
}

namespace detail {

inline void must_be_ours(const char *library)
{
	if (std::strcmp(library, KREPIS_VERSION))
		throw VersionError(library);
}

} // namespace detail

/* Absolute: made of how long from now, for ever if nothing is said. */
class Deadline {
public:
	constexpr Deadline() noexcept : ns_(KREPIS_FOREVER) {}
	template <class Rep, class Period>
	Deadline(std::chrono::duration<Rep, Period> from_now) noexcept
		: ns_(krepis_deadline_ns(std::chrono::duration_cast<std::chrono::nanoseconds>(from_now).count())) {}
	static constexpr Deadline now() noexcept { return Deadline(KREPIS_NOWAIT); }
	std::int64_t ns() const noexcept { return ns_; }

private:
	explicit constexpr Deadline(std::int64_t ns) noexcept : ns_(ns) {}
	std::int64_t ns_;
};

/* A message of one type: its number, and a struct without pointers. */
template <std::uint16_t Id, class T>
struct Packet {
	static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>);
	static_assert(alignof(T) <= 8);
	static constexpr std::uint16_t id = Id;
	using type = T;
};

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

class Channel {
public:
	static Channel create(const char *path, const krepis_channel_options *options = nullptr)
	{
		Channel c;
		check(krepis_channel_create(path, options, &c.handle_));
		return c;
	}
	static Channel open(const char *path, std::uint32_t layout_id = 0)
	{
		Channel c;
		check(krepis_channel_open(path, 0, &c.handle_));
		c.must_have(layout_id);
		return c;
	}
	/* @fd stays the caller's. */
	static Channel open(int fd, std::uint32_t layout_id = 0)
	{
		Channel c;
		check(krepis_channel_open_fd(fd, 0, &c.handle_));
		c.must_have(layout_id);
		return c;
	}
	static Channel receive(int socket, std::uint32_t layout_id = 0)
	{
		Channel c;
		check(krepis_channel_receive(socket, 0, &c.handle_));
		c.must_have(layout_id);
		return c;
	}
	Channel(Channel &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
	Channel &operator=(Channel &&other) noexcept
	{
		std::swap(handle_, other.handle_);
		return *this;
	}
	~Channel() { krepis_channel_close(handle_); }

	void pass(int socket) const { check(krepis_channel_pass(handle_, socket)); }
	int fd() const noexcept { return krepis_channel_fd(handle_); }
	krepis_status query() const
	{
		krepis_status status{};
		status.size = sizeof(status);
		check(krepis_query(handle_, &status));
		return status;
	}
	krepis_channel *get() const noexcept { return handle_; }

private:
	Channel() { detail::must_be_ours(krepis_version()); }
	/* The library looks as well; but who it refuses has no channel to ask for its layout. */
	void must_have(std::uint32_t ours) const
	{
		std::uint32_t theirs = ours ? query().geometry.layout_id : 0;

		if (theirs && theirs != ours)
			throw LayoutError(theirs, ours);
	}
	krepis_channel *handle_ = nullptr;
};

/* What all sides of a channel can do. Its buffers and messages must not outlive it. */
class Endpoint {
public:
	Endpoint(Endpoint &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
	Endpoint &operator=(Endpoint &&other) noexcept
	{
		std::swap(handle_, other.handle_);
		return *this;
	}
	~Endpoint() { krepis_detach(handle_); }

	/* From any thread, and from a signal handler. */
	void shutdown() noexcept { krepis_shutdown(handle_); }
	void wait_peer(unsigned int count = 1, Deadline deadline = {})
	{
		check(krepis_wait_peer(handle_, count, deadline.ns()));
	}
	void wait(Deadline deadline = {}) { check(krepis_wait(handle_, deadline.ns())); }
	int fd() { return check(krepis_fd(handle_)); }
	krepis_status query() const
	{
		krepis_status status{};
		status.size = sizeof(status);
		check(krepis_endpoint_query(handle_, &status));
		return status;
	}
	krepis_endpoint *get() const noexcept { return handle_; }

protected:
	Endpoint(const Channel &channel, krepis_role role, std::uint32_t flags)
	{
		check(krepis_attach(channel.get(), role, flags, &handle_));
	}
	krepis_endpoint *handle_ = nullptr;
};

/* The producer's, until it is published; if it is not, it goes back to the pool. Any thread. */
class Buffer {
public:
	Buffer(Buffer &&other) noexcept
		: endpoint_(other.endpoint_), handle_(std::exchange(other.handle_, nullptr)) {}
	Buffer &operator=(Buffer &&other) noexcept
	{
		std::swap(endpoint_, other.endpoint_);
		std::swap(handle_, other.handle_);
		return *this;
	}
	~Buffer()
	{
		if (handle_)
			krepis_abandon(endpoint_, handle_);
	}
	/* Empty once it was published. */
	Bytes bytes() const noexcept
	{
		return handle_ ? Bytes(static_cast<std::byte *>(krepis_buffer_data(handle_)),
				       krepis_buffer_size(handle_)) : Bytes();
	}
	template <class T>
	T *as() const noexcept
	{
		static_assert(std::is_trivially_copyable_v<T>);
		return bytes().size() >= sizeof(T) ? reinterpret_cast<T *>(bytes().data()) : nullptr;
	}
	krepis_buffer *get() const noexcept { return handle_; }

private:
	friend class Producer;
	Buffer(krepis_endpoint *endpoint, krepis_buffer *handle) noexcept
		: endpoint_(endpoint), handle_(handle) {}
	krepis_endpoint *endpoint_;
	krepis_buffer *handle_;
};

class Producer : public Endpoint {
public:
	explicit Producer(const Channel &channel, std::uint32_t flags = 0)
		: Endpoint(channel, KREPIS_PRODUCER, flags) {}

	/* Copied into the ring, or, if it is large, into a buffer. */
	void send(std::uint16_t type, ConstBytes data, Deadline deadline = {})
	{
		check(krepis_send(handle_, type, data.data(), data.size(), deadline.ns()));
	}
	template <class P>
	void send(const typename P::type &packet, Deadline deadline = {})
	{
		check(krepis_send(handle_, P::id, &packet, sizeof(packet), deadline.ns()));
	}
	/* Return: false if there is no room. */
	template <class P>
	bool try_send(const typename P::type &packet)
	{
		return done(krepis_send(handle_, P::id, &packet, sizeof(packet), KREPIS_NOWAIT));
	}
	bool try_send(std::uint16_t type, ConstBytes data)
	{
		return done(krepis_send(handle_, type, data.data(), data.size(), KREPIS_NOWAIT));
	}
	/* @fill gets the room in the ring; what it returns goes out with the next flush(). */
	template <class P, class Fill>
	void emplace(Fill &&fill, Deadline deadline = {})
	{
		void *room = nullptr;

		check(krepis_send_begin(handle_, sizeof(typename P::type), &room, deadline.ns()));
		try {
			std::forward<Fill>(fill)(*static_cast<typename P::type *>(room));
		} catch (...) {
			krepis_send_cancel(handle_);
			throw;
		}
		check(krepis_send_commit(handle_, P::id, sizeof(typename P::type)));
	}
	void flush() { check(krepis_flush(handle_)); }

	Buffer acquire(Deadline deadline = {})
	{
		krepis_buffer *buffer = nullptr;

		check(krepis_acquire(handle_, &buffer, deadline.ns()));
		return Buffer(handle_, buffer);
	}
	std::optional<Buffer> try_acquire()
	{
		krepis_buffer *buffer = nullptr;

		if (!done(krepis_acquire(handle_, &buffer, KREPIS_NOWAIT)))
			return std::nullopt;
		return Buffer(handle_, buffer);
	}
	/* If it throws, @buffer is still the caller's. */
	void publish(Buffer &&buffer, std::uint16_t type, std::size_t len, std::uint32_t flags = 0,
		     Deadline deadline = {})
	{
		if (!buffer.handle_)
			throw Error(-EPERM);
		check(krepis_publish(handle_, buffer.handle_, type, len, flags & ~KREPIS_PUBLISH_RETURN,
				     deadline.ns()));
		buffer.handle_ = nullptr;
	}
	void drain(Deadline deadline = {}) { check(krepis_drain(handle_, deadline.ns())); }

private:
	static bool done(int err)
	{
		return err != -EAGAIN && !check(err);
	}
};

/* What a message in a buffer becomes for several who read it: the last one releases it. Any thread. */
class SharedMessage {
public:
	SharedMessage(const SharedMessage &other) : msg_(other.msg_) { check(krepis_msg_get(&msg_)); }
	SharedMessage(SharedMessage &&other) noexcept : msg_(std::exchange(other.msg_, krepis_msg{})) {}
	SharedMessage &operator=(SharedMessage other) noexcept
	{
		std::swap(msg_, other.msg_);
		return *this;
	}
	~SharedMessage()
	{
		if (msg_.buffer)
			krepis_msg_put(&msg_);
	}
	ConstBytes bytes() const noexcept { return { static_cast<const std::byte *>(msg_.data), msg_.len }; }
	std::uint16_t type() const noexcept { return msg_.type; }

private:
	friend class Message;
	explicit SharedMessage(const krepis_msg &msg) noexcept : msg_(msg) {}
	krepis_msg msg_;
};

/* A view, released at its end. One that came inline ends with the next call that receives, too. */
class Message {
public:
	/* Only a consumer has one. */
	class Key {
		friend class Consumer;
		Key() noexcept {}
	};
	/* Received into its place: a copy of what C has just written waits for those stores. */
	Message(Key, krepis_endpoint *endpoint, std::int64_t deadline, int &err) noexcept : endpoint_(endpoint)
	{
		err = krepis_recv(endpoint, &msg_, deadline);
		if (err)
			endpoint_ = nullptr;
	}
	Message(Message &&other) noexcept
		: endpoint_(std::exchange(other.endpoint_, nullptr)), msg_(other.msg_) {}
	Message &operator=(Message &&other) noexcept
	{
		std::swap(endpoint_, other.endpoint_);
		std::swap(msg_, other.msg_);
		return *this;
	}
	~Message()
	{
		if (endpoint_)
			krepis_release(endpoint_, &msg_);
	}
	ConstBytes bytes() const noexcept
	{
		return endpoint_ ? ConstBytes(static_cast<const std::byte *>(msg_.data), msg_.len) : ConstBytes();
	}
	std::uint16_t type() const noexcept { return msg_.type; }
	bool in_buffer() const noexcept { return msg_.buffer; }
	/* NULL: it is no such packet, or of another size. */
	template <class P>
	const typename P::type *as() const noexcept
	{
		return endpoint_ && msg_.type == P::id && msg_.len == sizeof(typename P::type) ?
			static_cast<const typename P::type *>(msg_.data) : nullptr;
	}
	/* Return: false: the payload is not what was checksummed. */
	bool verify() const
	{
		int err = krepis_msg_verify(&msg_);

		return err != -EBADMSG && !check(err);
	}
	/* KREPIS_F_EXCLUSIVE: to be changed in place. */
	Bytes edit()
	{
		void *data = nullptr;

		check(krepis_msg_edit(&msg_, &data));
		return { static_cast<std::byte *>(data), msg_.len };
	}
	/* Of a message in a buffer. This one is empty afterwards. */
	SharedMessage share() &&
	{
		if (!endpoint_ || !msg_.buffer)
			throw Error(-EINVAL);
		endpoint_ = nullptr;
		return SharedMessage(msg_);
	}
	const krepis_msg &get() const noexcept { return msg_; }

private:
	krepis_endpoint *endpoint_;
	krepis_msg msg_;
};

class Consumer : public Endpoint {
public:
	explicit Consumer(const Channel &channel, std::uint32_t flags = 0)
		: Endpoint(channel, KREPIS_CONSUMER, flags) {}

	Message recv(Deadline deadline = {})
	{
		int err;
		Message message(Message::Key(), handle_, deadline.ns(), err);

		check(err);
		return message;
	}
	/* Nothing: there is none now. */
	std::optional<Message> try_recv()
	{
		return received(Deadline::now(), [](int err) { return err == -EAGAIN; });
	}
	/* Nothing: the producer has left and all is read, or shutdown() was called. */
	std::optional<Message> next(Deadline deadline = {})
	{
		return received(deadline, [](int err) { return err == -KREPIS_PEER_GONE || err == -ESHUTDOWN; });
	}

private:
	template <class Nothing>
	std::optional<Message> received(Deadline deadline, Nothing nothing)
	{
		int err;
		std::optional<Message> message(std::in_place, Message::Key(), handle_, deadline.ns(), err);

		if (err) {
			if (!nothing(err))
				check(err);
			message.reset();
		}
		return message;
	}
};

/* The latest value: its producer. */
class TripleProducer : public Endpoint {
public:
	explicit TripleProducer(const Channel &channel, std::uint32_t flags = 0)
		: Endpoint(channel, KREPIS_PRODUCER, flags) {}
	template <class P>
	void write(const typename P::type &value)
	{
		void *room = nullptr;

		check(krepis_triple_begin(handle_, &room));
		*static_cast<typename P::type *>(room) = value;
		check(krepis_triple_commit(handle_, P::id, sizeof(value)));
	}
	/* Room of the channel's buffer_size, until commit(). */
	void *begin()
	{
		void *room = nullptr;

		check(krepis_triple_begin(handle_, &room));
		return room;
	}
	void commit(std::uint16_t type, std::size_t len) { check(krepis_triple_commit(handle_, type, len)); }
};

/* ... and its consumer. A value is a view until the next read(). */
class TripleConsumer : public Endpoint {
public:
	struct Value {
		ConstBytes bytes;
		std::uint16_t type;
		bool fresh;	/* not seen before */
	};
	explicit TripleConsumer(const Channel &channel, std::uint32_t flags = 0)
		: Endpoint(channel, KREPIS_CONSUMER, flags) {}
	/* Nothing: nothing was published yet. */
	std::optional<Value> read()
	{
		krepis_msg msg;
		int err = krepis_triple_read(handle_, &msg);

		if (err == -ENODATA)
			return std::nullopt;
		check(err);
		return Value{ { static_cast<const std::byte *>(msg.data), msg.len }, msg.type,
			      !!(msg.flags & KREPIS_MSG_FRESH) };
	}
};

} // namespace krepis

#endif /* KREPIS_HPP */
