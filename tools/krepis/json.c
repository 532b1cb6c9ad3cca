// SPDX-License-Identifier: MIT
/* Text that may hold anything, written as JSON or for a terminal. */
#include <string.h>
#include "tool.h"

/* Bytes of the well-formed UTF-8 character at @text, or 0 (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *text, size_t len)
{
	unsigned char lead = text[0], low = 0x80, high = 0xbf;
	size_t n, i;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (n > len)
		return 0;
	if (lead == 0xe0)
		low = 0xa0;	/* overlong */
	else if (lead == 0xed)
		high = 0x9f;	/* surrogates */
	else if (lead == 0xf0)
		low = 0x90;	/* overlong */
	else if (lead == 0xf4)
		high = 0x8f;	/* above U+10FFFF */
	if (text[1] < low || text[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool utf8_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	while (len) {
		size_t n = utf8_length(at, len);

		if (!n)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* U+0080 to U+009F, of which terminals obey some. */
static bool is_c1(const unsigned char *at, size_t n)
{
	return n == 2 && at[0] == 0xc2 && at[1] < 0xa0;
}

/* A JSON string. What is not UTF-8 becomes U+FFFD. */
void json_string(FILE *out, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	fputc('"', out);
	while (len) {
		size_t n = utf8_length(at, len);

		if (!n)
			fputs("\\ufffd", out);
		else if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at == '\n')
			fputs("\\n", out);
		else if (*at == '\t')
			fputs("\\t", out);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(out, "\\u%04x", *at);
		else if (is_c1(at, n))
			fprintf(out, "\\u%04x", at[1]);
		else
			fwrite(at, 1, n, out);
		at += n ? n : 1;
		len -= n ? n : 1;
	}
	fputc('"', out);
}

void json_text(FILE *out, const char *text)
{
	json_string(out, text, strlen(text));
}

void json_base64(FILE *out, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *at = data;

	fputc('"', out);
	for (; len; at += len < 3 ? len : 3, len -= len < 3 ? len : 3) {
		uint32_t bits = (uint32_t)at[0] << 16 | (len > 1 ? at[1] << 8 : 0) |
				(len > 2 ? at[2] : 0);

		fputc(digits[bits >> 18], out);
		fputc(digits[bits >> 12 & 63], out);
		fputc(len > 1 ? digits[bits >> 6 & 63] : '=', out);
		fputc(len > 2 ? digits[bits & 63] : '=', out);
	}
	fputc('"', out);
}

/* For people: nothing that a terminal would obey, and nothing that ends the line. */
void print_escaped(FILE *out, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	while (len) {
		size_t n = utf8_length(at, len);
		bool control = n == 1 ? (*at < 0x20 && *at != '\t') || *at == 0x7f : is_c1(at, n);
		size_t i;

		if (n && !control) {
			fwrite(at, 1, n, out);
		} else {
			for (i = 0; i < (n ? n : 1); i++)
				fprintf(out, "\\x%02x", at[i]);
		}
		at += n ? n : 1;
		len -= n ? n : 1;
	}
}

static void json_counters(FILE *out, const struct krepis_counters *c)
{
	fprintf(out, "{\"messages\":%llu,\"bytes\":%llu,\"drops\":%llu,\"waits\":%llu,\"wakes\":%llu}",
		(unsigned long long)c->messages, (unsigned long long)c->bytes,
		(unsigned long long)c->drops, (unsigned long long)c->waits,
		(unsigned long long)c->wakes);
}

void json_channel(FILE *out, const char *name, const char *path,
		  const struct krepis_status *status)
{
	const struct krepis_geometry *g = &status->geometry;
	const char *comma = "";
	unsigned int i;

	fputs("{\"name\":", out);
	json_text(out, name);
	fputs(",\"path\":", out);
	json_text(out, path);
	fprintf(out, ",\"guarantee\":\"%s\"",
		status->guarantee == KREPIS_ENFORCED ? "enforced" : "cooperative");
	fprintf(out, ",\"backend\":\"%.8s\",\"kind\":\"%s\",\"backpressure\":\"%s\"",
		status->backend, kind_name(g->kind), backpressure_name(g->backpressure));
	fprintf(out, ",\"max_consumers\":%u,\"inline_max\":%u,\"ring_size\":%llu", g->max_consumers,
		g->inline_max, (unsigned long long)g->ring_size);
	fprintf(out, ",\"buffer_count\":%u,\"buffer_size\":%llu,\"layout_id\":%u,\"memory\":%llu",
		g->buffer_count, (unsigned long long)g->buffer_size, g->layout_id,
		(unsigned long long)status->channel_bytes);
	fprintf(out, ",\"producer\":%s,\"consumers\":%d,\"deaths\":%u,\"sent\":",
		status->producer ? "true" : "false", __builtin_popcount(status->live),
		status->deaths);
	json_counters(out, &status->counters);
	fputs(",\"received\":[", out);
	for (i = 0; i < KREPIS_MAX_CONSUMERS; i++) {
		if (!(status->live >> i & 1))
			continue;
		fprintf(out, "%s{\"slot\":%u,\"counters\":", comma, i);
		json_counters(out, &status->consumers[i]);
		fputc('}', out);
		comma = ",";
	}
	fputs("]}", out);
}
