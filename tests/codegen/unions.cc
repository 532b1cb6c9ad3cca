// SPDX-License-Identifier: MIT
/* The unions of messages.h in C++. */
#include "messages.hpp"

using namespace messages;

int main()
{
	event event{};
	answer answer{};
	const std::uint8_t (*bytes)[12];

	if (as_key(event) || as_bytes(event) || !as_text(answer) || as_lines(answer))
		return 1;
	event.kind = EVENT_MOUSE;
	event.what.bytes[11] = 5;
	answer.tag = ~0ULL;
	bytes = as_bytes(event);
	return !bytes || (*bytes)[11] != 5 || as_key(event) || as_text(answer) || !as_lines(answer);
}
