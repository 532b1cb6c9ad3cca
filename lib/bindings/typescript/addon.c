/* SPDX-License-Identifier: MIT */
/*
 * The addon of @krepis/krepis: krepis_node.c, and calls that wait in a thread of their own, so that the event
 * loop goes on. Not in the loop's pool: four calls that wait would be the end of its files and names. Linked to
 * nothing: the library is where load() is told.
 */
#define LOADED
#define MORE		HELPER(later),
#define NAPI_VERSION	8
#include <node_api.h>

static napi_value js_later(napi_env env, napi_callback_info info);

#include "krepis_node.c"
#include <pthread.h>
#include <stdlib.h>

enum what { READY, PEER, DRAINED, ACQUIRED, MEMBERS, WHATS };

#define READY_MAX	64	/* as in interface.ts */
#define BACK_MAX	(2 * READY_MAX)

struct later {
	napi_threadsafe_function done;
	void *handle;
	int64_t deadline;
	enum what what;
	unsigned int count;
	int result;
	union {
		struct krepis_buffer *buffer;
		struct krepis_ready ready[READY_MAX];
	};
};

static int wait_for(struct later *l)
{
	switch (l->what) {
	case PEER:
		return krepis_wait_peer(l->handle, l->count, l->deadline);
	case DRAINED:
		return krepis_drain(l->handle, l->deadline);
	case ACQUIRED:
		return krepis_acquire(l->handle, &l->buffer, l->deadline);
	case MEMBERS:
		return krepis_waitset_wait(l->handle, l->ready, READY_MAX, l->deadline);
	default:
		return krepis_wait(l->handle, l->deadline);
	}
}

static void *later_main(void *arg)
{
	struct later *l = arg;
	napi_threadsafe_function done = l->done;

	l->result = wait_for(l);
	/* In a worker that has ended nobody wants it any more. */
	if (napi_call_threadsafe_function(done, l, napi_tsfn_nonblocking) != napi_closing)
		napi_release_threadsafe_function(done, napi_tsfn_release);
	else
		free(l);
	return NULL;
}

/* What came back, as the package's interface.ts has it. */
static size_t what_came_back(napi_env env, const struct later *l, napi_value *back)
{
	int i;

	if (l->what == ACQUIRED) {
		back[0] = from_number(env, (double)(uintptr_t)l->buffer);
		return 1;
	}
	if (l->what != MEMBERS || l->result < 0)
		return 0;
	for (i = 0; i < l->result; i++) {
		back[2 * i] = from_number(env, (double)(uintptr_t)l->ready[i].data);
		back[2 * i + 1] = from_number(env, l->ready[i].err);
	}
	return 2 * (size_t)l->result;
}

/* In the loop. @env is NULL while it is torn down. */
static void tell(napi_env env, napi_value callback, void *context, void *data)
{
	struct later *l = data;
	napi_value argv[1 + BACK_MAX], self;

	(void)context;
	if (env && napi_get_undefined(env, &self) == napi_ok) {
		argv[0] = from_number(env, l->result);
		napi_call_function(env, self, callback, 1 + what_came_back(env, l, argv + 1), argv, NULL);
	}
	free(l);
}

static int start(struct later *l)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	err = pthread_create(&thread, &attr, later_main, l);
	pthread_attr_destroy(&attr);
	return err;
}

/* later(what, handle, count, deadline, done): done(result, ...back) in the loop. */
static napi_value js_later(napi_env env, napi_callback_info info)
{
	napi_value argv[5], name;
	double what, count;
	int64_t deadline;
	struct later *l;
	void *handle;

	if (!get_arguments(env, info, 5, argv) ||
	    !get_whole(env, argv[0], "later: what", 0, WHATS - 1, &what) ||
	    !get_handle(env, argv[1], "later: handle", false, &handle) ||
	    !get_whole(env, argv[2], "later: count", 0, 4294967295.0, &count) ||
	    !get_int64(env, argv[3], "later: deadline", &deadline))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l || napi_create_string_utf8(env, "krepis", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_threadsafe_function(env, argv[4], NULL, name, 0, 1, NULL, NULL, NULL, tell,
					    &l->done) != napi_ok) {
		free(l);
		napi_throw_error(env, NULL, "later: done: not a function, or there is no memory");
		return NULL;
	}
	l->handle = handle;
	l->deadline = deadline;
	l->what = (enum what)what;
	l->count = (unsigned int)count;
	if (start(l)) {
		napi_release_threadsafe_function(l->done, napi_tsfn_release);
		free(l);
		napi_throw_error(env, NULL, "later: no thread can be made");
		return NULL;
	}
	return nothing(env);
}
