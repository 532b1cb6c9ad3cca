/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#ifdef LOADED
#include <dlfcn.h>
#endif

#define MAYBE_UNUSED	__attribute__((unused))
#define HELPER(name)	{ #name, NULL, js_##name, NULL, NULL, NULL, napi_enumerable, NULL }
#define SAFE_INTEGERS	9007199254740991.0	/* Number.MAX_SAFE_INTEGER */

struct napi_view {
	void *data;
	size_t len;
};

/* ------------------------------------------------------------------- what comes in */

typedef napi_status (*thrower)(napi_env env, const char *code, const char *text);

static bool refuse(napi_env env, thrower how, const char *code, const char *what, const char *why)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s", what, why);
	how(env, code, text);
	return false;
}

static bool wrong_type(napi_env env, const char *what, const char *why)
{
	return refuse(env, napi_throw_type_error, "ERR_INVALID_ARG_TYPE", what, why);
}

static bool wrong_range(napi_env env, const char *what, const char *why)
{
	return refuse(env, napi_throw_range_error, "ERR_OUT_OF_RANGE", what, why);
}

/* What is not there is undefined, which is no argument's type. */
static bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv)
{
	return napi_get_cb_info(env, info, &count, argv, NULL, NULL) == napi_ok;
}

static bool is_null(napi_env env, napi_value value)
{
	napi_valuetype type;

	return napi_typeof(env, value, &type) == napi_ok && type == napi_null;
}

MAYBE_UNUSED static bool get_double(napi_env env, napi_value value, const char *what, double *out)
{
	if (napi_get_value_double(env, value, out) != napi_ok)
		return wrong_type(env, what, "not a number");
	return true;
}

MAYBE_UNUSED static bool get_whole(napi_env env, napi_value value, const char *what, double least,
				   double most, double *out)
{
	char why[80];

	if (!get_double(env, value, what, out))
		return false;
	if (*out >= least && *out <= most && *out == (double)(int64_t)*out)
		return true;
	snprintf(why, sizeof(why), "not a whole number from %.0f to %.0f", least, most);
	return wrong_range(env, what, why);
}

/* What is too large for it, as Number.POSITIVE_INFINITY is, is the largest. */
MAYBE_UNUSED static bool get_int64(napi_env env, napi_value value, const char *what, int64_t *out)
{
	bool exact;
	double d;

	if (napi_get_value_double(env, value, &d) == napi_ok) {
		if (d != d)
			return wrong_range(env, what, "not a number");
		*out = d >= 9223372036854775808.0 ? INT64_MAX :
		       d < -9223372036854775808.0 ? INT64_MIN : (int64_t)d;
		return true;
	}
	if (napi_get_value_bigint_int64(env, value, out, &exact) != napi_ok)
		return wrong_type(env, what, "neither a number nor a bigint");
	return exact || wrong_range(env, what, "more than 64 bits");
}

MAYBE_UNUSED static bool get_bool(napi_env env, napi_value value, const char *what, bool *out)
{
	if (napi_get_value_bool(env, value, out) != napi_ok)
		return wrong_type(env, what, "not a boolean");
	return true;
}

MAYBE_UNUSED static bool get_address(napi_env env, napi_value value, const char *what, void **out)
{
	double d = 0;

	if (napi_get_value_double(env, value, &d) != napi_ok && !is_null(env, value))
		return wrong_type(env, what, "neither an address nor null");
	if (!(d >= 0 && d <= SAFE_INTEGERS && d == (double)(int64_t)d))
		return wrong_range(env, what, "not an address");
	*out = (void *)(uintptr_t)d;
	return true;
}

MAYBE_UNUSED static bool get_handle(napi_env env, napi_value value, const char *what, bool nullable,
				    void **out)
{
	if (!get_address(env, value, what, out))
		return false;
	return *out || nullable || wrong_type(env, what, "null");
}

static bool get_view(napi_env env, napi_value value, const char *what, bool nullable, struct napi_view *out)
{
	/* Of what has no bytes: no pointer to it, but it is not null. */
	static _Alignas(16) char nowhere[16];
	static const size_t sizes[] = {
		[napi_int8_array] = 1, [napi_uint8_array] = 1, [napi_uint8_clamped_array] = 1,
		[napi_int16_array] = 2, [napi_uint16_array] = 2, [napi_int32_array] = 4,
		[napi_uint32_array] = 4, [napi_float32_array] = 4, [napi_float64_array] = 8,
		[napi_bigint64_array] = 8, [napi_biguint64_array] = 8,
	};
	napi_typedarray_type type;
	size_t count;

	out->data = NULL;
	out->len = 0;
	if (napi_get_typedarray_info(env, value, &type, &count, &out->data, NULL, NULL) == napi_ok)
		/* A kind of later: as if its elements were bytes, so that it may only seem too short. */
		out->len = count * ((size_t)type < sizeof(sizes) / sizeof(sizes[0]) ? sizes[type] : 1);
	else if (napi_get_dataview_info(env, value, &out->len, &out->data, NULL, NULL) != napi_ok)
		return (nullable && is_null(env, value)) ||
		       wrong_type(env, what, nullable ? "neither an ArrayBufferView nor null" :
							"not an ArrayBufferView");
	if (!out->data)
		out->data = nowhere;
	return true;
}

MAYBE_UNUSED static bool get_text(napi_env env, napi_value value, const char *what, bool nullable,
				  struct napi_view *out)
{
	if (!get_view(env, value, what, nullable, out))
		return false;
	if (out->data && !(out->len && memchr(out->data, 0, out->len)))
		return wrong_range(env, what, "a text without a 0 at its end");
	return true;
}

/* A struct by value: its bytes, in a bigint. */
MAYBE_UNUSED static bool get_value(napi_env env, napi_value value, const char *what, void *out, size_t size)
{
	uint64_t bits;
	bool exact;

	if (napi_get_value_bigint_uint64(env, value, &bits, &exact) != napi_ok)
		return wrong_type(env, what, "not a bigint");
	if (!exact || (size < 8 && bits >> 8 * size))
		return wrong_range(env, what, "too large");
	memcpy(out, &bits, size);
	return true;
}

/* Whether the view has room for so many. */
MAYBE_UNUSED static bool fits(napi_env env, const struct napi_view *view, const char *what, double count,
			      size_t size, size_t align)
{
	char why[80];

	if (!(count >= 0 && count <= (double)(view->len / size))) {
		snprintf(why, sizeof(why), "%zu bytes, and not %.0f", view->len, count * (double)size);
		return wrong_range(env, what, why);
	}
	if ((uintptr_t)view->data % align) {
		snprintf(why, sizeof(why), "does not begin at a multiple of %zu", align);
		return wrong_range(env, what, why);
	}
	return true;
}

/* -------------------------------------------------------------------- what goes out */

MAYBE_UNUSED static napi_value nothing(napi_env env)
{
	napi_value out = NULL;

	napi_get_undefined(env, &out);
	return out;
}

MAYBE_UNUSED static napi_value from_number(napi_env env, double number)
{
	napi_value out = NULL;

	napi_create_double(env, number, &out);
	return out;
}

MAYBE_UNUSED static napi_value from_bool(napi_env env, bool value)
{
	napi_value out = NULL;

	napi_get_boolean(env, value, &out);
	return out;
}

MAYBE_UNUSED static napi_value from_pointer(napi_env env, const void *pointer)
{
	napi_value out = NULL;

	if (!pointer) {
		napi_get_null(env, &out);
		return out;
	}
	return from_number(env, (double)(uintptr_t)pointer);
}

MAYBE_UNUSED static napi_value from_value(napi_env env, const void *value, size_t size)
{
	napi_value out = NULL;
	uint64_t bits = 0;

	memcpy(&bits, value, size);
	napi_create_bigint_uint64(env, bits, &out);
	return out;
}

/* --------------------------------------------- what Deno and Bun have by themselves */

/* memory(address, length): an ArrayBuffer, and no copy. Whoever asks knows how long it is there. */
static napi_value js_memory(napi_env env, napi_callback_info info)
{
	napi_value argv[2], out = NULL;
	double length;
	void *data;

	if (!get_arguments(env, info, 2, argv) ||
	    !get_handle(env, argv[0], "memory: address", false, &data) ||
	    !get_whole(env, argv[1], "memory: length", 0, SAFE_INTEGERS, &length))
		return NULL;
	if (napi_create_external_arraybuffer(env, data, (size_t)length, NULL, NULL, &out) != napi_ok)
		napi_throw_error(env, NULL, "memory: this runtime has no ArrayBuffer of foreign memory");
	return out;
}

/*
 * read(address, view), write(address, view): copies as many bytes as the view has. For few of
 * them it is quicker than memory().
 */
static bool copy_arguments(napi_env env, napi_callback_info info, void **data, struct napi_view *view)
{
	napi_value argv[2];

	return get_arguments(env, info, 2, argv) &&
	       get_handle(env, argv[0], "copy: address", false, data) &&
	       get_view(env, argv[1], "copy: view", false, view);
}

static napi_value js_read(napi_env env, napi_callback_info info)
{
	struct napi_view view;
	void *data;

	if (!copy_arguments(env, info, &data, &view))
		return NULL;
	memmove(view.data, data, view.len);
	return nothing(env);
}

static napi_value js_write(napi_env env, napi_callback_info info)
{
	struct napi_view view;
	void *data;

	if (!copy_arguments(env, info, &data, &view))
		return NULL;
	memmove(data, view.data, view.len);
	return nothing(env);
}

/* text(address): a copy, up to the 0. */
static napi_value js_text(napi_env env, napi_callback_info info)
{
	napi_value argv[1], out = NULL;
	void *data;

	if (!get_arguments(env, info, 1, argv) ||
	    !get_handle(env, argv[0], "text: address", false, &data))
		return NULL;
	napi_create_string_utf8(env, data, NAPI_AUTO_LENGTH, &out);
	return out;
}

/* address(view): where it is. */
static napi_value js_address(napi_env env, napi_callback_info info)
{
	napi_value argv[1];
	struct napi_view view;

	if (!get_arguments(env, info, 1, argv) || !get_view(env, argv[0], "address: view", false, &view))
		return NULL;
	return from_pointer(env, view.data);
}

/* detach(buffer): an ArrayBuffer of memory() has no bytes from now on, nor has a view of it. */
static napi_value js_detach(napi_env env, napi_callback_info info)
{
	napi_value argv[1];

	if (!get_arguments(env, info, 1, argv))
		return NULL;
	if (napi_detach_arraybuffer(env, argv[0]) != napi_ok) {
		wrong_type(env, "detach: buffer", "not an ArrayBuffer that can be detached");
		return NULL;
	}
	return nothing(env);
}

#ifdef LOADED
/* load(path): opens the library. What it has not is not added: whoever asks compares versions. */
static napi_value load(napi_env env, napi_callback_info info, const napi_property_descriptor *functions,
		       void **const *slots, size_t count)
{
	struct napi_view path;
	napi_value argv[1], self;
	size_t one = 1, i;
	void *library;

	if (napi_get_cb_info(env, info, &one, argv, &self, NULL) != napi_ok ||
	    !get_text(env, argv[0], "load: path", false, &path))
		return NULL;
	library = dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		napi_throw_error(env, "ERR_DLOPEN_FAILED", dlerror());
		return NULL;
	}
	for (i = 0; i < count; i++) {
		*slots[i] = dlsym(library, functions[i].utf8name);
		if (*slots[i])
			napi_define_properties(env, self, 1, &functions[i]);
	}
	return nothing(env);
}
#endif

/* --------------------------------------------------------------- the library's own */

