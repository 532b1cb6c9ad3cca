// SPDX-License-Identifier: MIT
/*
 * S15: what an idle channel costs the kernel beside its pages, and an attached
 * endpoint, at so many possible consumers. Both are counted over many of them:
 *
 *	charged	   what the kernel counts as its memory for the process's control
 *		   group, so that the group's limit holds for it
 *	used	   growth of Slab, VmallocUsed and PageTables of the machine
 *
 * "endpoint" is a descriptor alone, "mapped" one of krepis_attach(), with its views of
 * the channel. An endpoint without its mapping exists only with the module.
 */
#include <errno.h>
#include <fcntl.h>
#include <krepis/krepis.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend.h"

#define CHANNELS	1000
#define FIRST_BATCH	50	/* made before: what is made once for all */
#define FLUSH_BYTES	(16UL << 20)
#define DESCRIPTORS	16384	/* descriptors that the table has room for */
#define GROUP		"/sys/fs/cgroup/krepis-bench"

enum {
	S15_CHANNEL_CHARGED, S15_ENDPOINT_CHARGED, S15_MAPPED_CHARGED,
	S15_CHANNEL_USED, S15_ENDPOINT_USED, S15_MAPPED_USED,
};

/* Bytes; NAN where the kernel does not tell. */
struct usage {
	double charged;
	double used;
};

struct holdings {
	struct krepis_channel *channel[FIRST_BATCH + CHANNELS];
	struct krepis_endpoint *mapped[FIRST_BATCH + CHANNELS];
	int fd[FIRST_BATCH + CHANNELS];
};

/* The sum of the numbers that stand behind the @names, times @unit, or NAN. */
static double sum_of(const char *path, const char *const *names, double unit)
{
	FILE *f = fopen(path, "re");
	double sum = NAN, value;
	char line[256], name[64];

	while (f && fgets(line, sizeof(line), f)) {
		const char *const *n;

		if (sscanf(line, "%63s %lf", name, &value) != 2)
			continue;
		for (n = names; *n; n++)
			if (!strcmp(*n, name))
				sum = (isnan(sum) ? 0 : sum) + value * unit;
	}
	if (f)
		fclose(f);
	return sum;
}

/*
 * Both accounts lag behind, by some pages for each processor. The machine's is brought
 * up to date on request; the group's whenever it is read after much has changed.
 */
static void look(struct usage *usage)
{
	static const char *const charged[] = { "kernel", NULL };
	static const char *const used[] = { "Slab:", "VmallocUsed:", "PageTables:", NULL };
	void *memory = mmap(NULL, FLUSH_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (memory != MAP_FAILED)
		munmap(memory, FLUSH_BYTES);
	if (fd >= 0) {
		if (write(fd, "1", 1) < 0)
			fd = -fd;
		close(abs(fd));
	}
	usage->charged = sum_of(GROUP "/memory.stat", charged, 1);
	usage->used = sum_of("/proc/meminfo", used, 1024);
}

/* In a group of its own, and with room for all descriptors. */
static void prepare(void)
{
	struct rlimit files;
	FILE *f = fopen(GROUP "/cgroup.procs", "we");
	int fd;

	if (f) {
		fprintf(f, "0\n");
		fclose(f);
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	fd = dup2(STDERR_FILENO, DESCRIPTORS - 1);
	if (fd >= 0)
		close(fd);
}

static int make_channels(struct bench_run *run, struct holdings *h, unsigned int from,
			 unsigned int to)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_NO_BUFFERS,
		.ring_size = KREPIS_MIN_RING_SIZE,
		.max_consumers = (uint32_t)run->what->param,
	};

	for (; from < to; from++)
		if (backend_create(run, &options, &h->channel[from]))
			return -1;
	return 0;
}

static int make_endpoints(struct bench_run *run, struct holdings *h, unsigned int from,
			  unsigned int to)
{
	struct krepis_attach_args args = {
		.size = sizeof(args), .role = KREPIS_PRODUCER, .rights = KREPIS_RIGHT_ALL,
	};

	for (; from < to; from++) {
		h->fd[from] = ioctl(krepis_channel_fd(h->channel[from]), KREPIS_IOC_ATTACH, &args);
		if (h->fd[from] < 0)
			return bench_error(run, 0, "KREPIS_IOC_ATTACH: %s", strerror(errno));
	}
	return 0;
}

static int make_mapped(struct bench_run *run, struct holdings *h, unsigned int from,
		       unsigned int to)
{
	int err;

	for (; from < to; from++) {
		err = krepis_attach(h->channel[from], KREPIS_CONSUMER, 0, &h->mapped[from]);
		if (err)
			return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	}
	return 0;
}

/* One of what @make makes: over many of them, after some. */
static int weigh(struct bench_run *run, struct holdings *h, int charged, int used,
		 int (*make)(struct bench_run *run, struct holdings *h, unsigned int from,
			     unsigned int to))
{
	struct usage before, after;

	if (make(run, h, 0, FIRST_BATCH))
		return -1;
	look(&before);
	if (make(run, h, FIRST_BATCH, FIRST_BATCH + CHANNELS))
		return -1;
	look(&after);
	run->value[charged] = (after.charged - before.charged) / CHANNELS;
	run->value[used] = (after.used - before.used) / CHANNELS;
	return 0;
}

static int side_memory(struct bench_run *run)
{
	struct holdings *h = run->data;
	bool module = !strcmp(run->what->impl, "krepis-kmod");
	unsigned int i;
	int err;

	prepare();
	bench_ready(run, 0);
	err = weigh(run, h, S15_CHANNEL_CHARGED, S15_CHANNEL_USED, make_channels);
	if (!err && module)
		err = weigh(run, h, S15_ENDPOINT_CHARGED, S15_ENDPOINT_USED, make_endpoints);
	if (!err)
		err = weigh(run, h, S15_MAPPED_CHARGED, S15_MAPPED_USED, make_mapped);
	bench_done(run, 0);
	for (i = 0; i < ARRAY_SIZE(h->mapped); i++)
		krepis_detach(h->mapped[i]);
	return err;
}

static int memory_setup(struct bench_run *run)
{
	/* Without the controller only the other account is kept. */
	mkdir(GROUP, 0700);
	run->data = run_shared_alloc(sizeof(struct holdings));
	return run->data ? 0 : bench_error(run, 0, "no memory");
}

static void memory_teardown(struct bench_run *run)
{
	run_shared_free(run->data, sizeof(struct holdings));
	rmdir(GROUP);
}

static void s15_list(struct bench_suite *suite)
{
	static const uint64_t consumers[] = { 1, 8, 32 };
	const char *const *impl;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(consumers); i++) {
		for (impl = backend_impls; *impl; impl++) {
			struct bench_case what = {
				.impl = *impl,
				.param = consumers[i],
				.flags = BENCH_ALONE | BENCH_CROWDED,
				.max_rounds = 2,
				.missing = backend_missing(*impl),
				.setup = memory_setup,
				.side = { side_memory },
				.teardown = memory_teardown,
			};

			case_ours(&what, BENCH_GROUP(0));
			suite_add(suite, &what);
		}
	}
}

#define BYTES(text, title) { text, "bytes", title, 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD }

const struct bench_scenario s15_memory = {
	.name = "S15",
	.title = "the kernel's memory for an idle channel and for an endpoint, bytes each:\n"
		 "     charged to the control group | used by the machine",
	.param_unit = "consumers",
	.metric = {
		[S15_CHANNEL_CHARGED] = BYTES("channel_charged", "channel"),
		[S15_ENDPOINT_CHARGED] = BYTES("endpoint_charged", "endpoint"),
		[S15_MAPPED_CHARGED] = BYTES("mapped_charged", "mapped"),
		[S15_CHANNEL_USED] = BYTES("channel_used", "| channel"),
		[S15_ENDPOINT_USED] = BYTES("endpoint_used", "endpoint"),
		[S15_MAPPED_USED] = BYTES("mapped_used", "mapped"),
	},
	.list = s15_list,
};
