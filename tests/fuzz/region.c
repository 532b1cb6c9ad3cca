// SPDX-License-Identifier: MIT
/*
 * Hostile memory: region [--race] [COUNT [SEED]] | region FILE...
 *
 * A peer of a cooperative channel can write any value to any word of it; on the module,
 * which is tested if $KREPIS_TEST_DIR stands there, to any that its role writes. With
 * $KREPIS_TEST_ENFORCED set the module's channels are enforced: then owners are none of
 * these words. Here the two or three endpoints of a channel make valid calls, and in between
 * somebody plays that peer (arena.h, forge.h), who also calls the module (kernel.h). Whatever
 * stands there:
 *
 *	- no crash, no report of a sanitizer, no call that takes some seconds;
 *	- every result is one that krepis.h allows;
 *	- every view lies whole in the right mapping of its endpoint, and can be touched;
 *	- no buffer is handed out twice, and what is held can be given back;
 *	- enforced, the kernel takes and gives pages as it must (enforced.h), and nothing
 *	  that a consumer holds changes;
 *	- detach works, and afterwards the same memory, formatted anew, is a good channel;
 *	- the module says only what is documented, and what it knows is true.
 *
 * An input is a program: HEADER bytes, then operations of one struct op each. A
 * session is the life of the endpoints of one channel. For libFuzzer (compiled with
 * -DKREPIS_LIBFUZZER, together with the library's sources) each input is a session, and
 * its -timeout watches over it. By itself the program draws inputs of OPS operations
 * from SEED, and appends up to INPUTS of them to one session, as attaching costs more
 * than all these calls. What it leaves behind when it fails is the whole session, to be
 * run again as FILE. --race also writes while calls run, by a second thread; then only
 * the operations follow from the seed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include "arena.h"
#include "calls.h"
#include "forge.h"
#include "kernel.h"

#define HEADER	8	/* shape, order of detaching, and for files: see file_make() */
#define OPS	16
#define INPUTS	8
#define MAX_FILE (1U << 20)	/* larger channels are opened, but not attached to */

static struct session shapes[5];
#define SHAPES	(sizeof(shapes) / sizeof(shapes[0]))

/* ------------------------------------------------------------------ operations */

#define ANYBODY 0
#define PEER	3	/* the hostile one, no endpoint */
#define WRONG	4	/* the call is for channels of the other kind */

/* What @weight of arena.weights operations do, with an endpoint of @role. */
struct action {
	void (*run)(struct session *s, struct end *e, const struct op *op);
	unsigned int role;
	unsigned int weight;
};

static const struct action ring_actions[] = {
	{ do_send, KREPIS_PRODUCER, 24 }, { do_begin, KREPIS_PRODUCER, 6 },
	{ do_commit, KREPIS_PRODUCER, 14 }, { do_flush, KREPIS_PRODUCER, 4 },
	{ do_acquire, KREPIS_PRODUCER, 18 }, { do_publish, KREPIS_PRODUCER, 28 },
	{ do_abandon, KREPIS_PRODUCER, 2 }, { do_drain, KREPIS_PRODUCER, 2 },
	{ do_recv, KREPIS_CONSUMER, 46 }, { do_batch, KREPIS_CONSUMER, 10 },
	{ do_release, KREPIS_CONSUMER, 14 }, { do_share, KREPIS_CONSUMER, 6 },
	{ do_wait, ANYBODY, 4 }, { do_wait_peer, ANYBODY, 2 }, { do_query, ANYBODY, 2 },
	{ do_reattach, ANYBODY, 3 }, { do_triple_read, WRONG, 1 },
	{ forge_word, PEER, 44 }, { forge_record, PEER, 14 }, { forge_desc, PEER, 7 },
	{ forge_link, PEER, 5 },
	{ call_kernel, PEER, IN_KERNEL }, { forge_payload, PEER, ON_BUFFERS },
};
static const struct action triple_actions[] = {
	{ do_triple_begin, KREPIS_PRODUCER, 50 }, { do_triple_commit, KREPIS_PRODUCER, 50 },
	{ do_triple_read, KREPIS_CONSUMER, 60 }, { do_wait, ANYBODY, 10 },
	{ do_wait_peer, ANYBODY, 4 }, { do_query, ANYBODY, 4 }, { do_reattach, ANYBODY, 2 },
	{ do_send, WRONG, 1 }, { do_recv, WRONG, 1 },
	{ do_acquire, WRONG, 1 }, { forge_word, PEER, 55 }, { forge_desc, PEER, 14 },
	{ forge_link, PEER, 4 },
	{ call_kernel, PEER, IN_KERNEL }, { forge_payload, PEER, ON_BUFFERS },
};

static const struct action *action_for(const struct session *s, uint8_t drawn)
{
	unsigned int code = drawn * arena->weights / 256;
	bool triple = s->g.kind == KREPIS_TRIPLE;
	const struct action *a = triple ? triple_actions : ring_actions;
	const struct action *end = a + (triple ? ARRAY_SIZE(triple_actions) :
						 ARRAY_SIZE(ring_actions));

	for (; a + 1 < end && code >= a->weight; a++)
		code -= a->weight;
	return a;
}

/* Mostly one whom @role fits; sometimes anybody. NULL: it cannot attach at present. */
static struct end *end_for(struct session *s, const struct op *op, uint32_t role)
{
	bool one = role == KREPIS_PRODUCER || role == KREPIS_CONSUMER;
	unsigned int i = op->who % s->ends;
	struct end *e;

	if (one && op->who < 0xfa)
		i = role == KREPIS_PRODUCER ? 0 : 1 + op->who % (s->ends - 1);
	e = &s->end[i];
	if ((!e->ep || e->ep->broken) && !may_attach(s, e, op))
		return NULL;
	/* Who found the channel broken often comes back, to what he left. */
	if (e->ep && e->ep->broken && op->count % 4)
		detach(e);
	if (!e->ep)
		attach(s, e);
	s->wrong = role == WRONG || (one && e->role != role);
	return e->ep ? e : NULL;
}

/* Whatever the tails say, a producer never has more room than the ring. */
static void check_room(const struct session *s)
{
	const struct krepis_endpoint *ep = s->end[0].ep;

	if (ep && s->g.kind == KREPIS_RING)
		MUST((int64_t)(ep->sender.w.limit - ep->sender.w.published) <=
		     (int64_t)s->g.ring_size);
}

static void run(struct session *s, const uint8_t *data, size_t size)
{
	for (; size >= sizeof(struct op); data += sizeof(struct op), size -= sizeof(struct op)) {
		const struct action *a;
		struct end *e = NULL;
		struct op op;

		memcpy(&op, data, sizeof(op));
		a = action_for(s, op.code);
		if (a->role != PEER)
			e = end_for(s, &op, a->role);
		s->caller = e;
		if (a->role == PEER || e)
			a->run(s, e, &op);
		mend(s);
		check_room(s);
		now.call = NULL;
		figures.ops++;
	}
}

/* Whether more operations make sense: somebody is there who believes the channel. */
static bool whole(const struct session *s)
{
	unsigned int i, good = 0;

	for (i = 0; i < s->ends; i++)
		good += s->end[i].ep && !s->end[i].ep->broken;
	return good > 1;
}

static void detach_all(struct session *s, unsigned int order)
{
	unsigned int i;

	for (i = 0; i < s->ends; i++)
		detach(&s->end[(i + order) % s->ends]);
}

/* -------------------------------------------------------------------- channels */

static struct krepis_channel_options options_of(unsigned int shape)
{
	const struct krepis_channel_options options[SHAPES] = {
		{ .backpressure = KREPIS_BLOCK, .inline_max = 1016, .buffer_size = 4096 },
		{ .backpressure = KREPIS_FAIL, .inline_max = 500, .buffer_size = 1000 },
		{ .backpressure = KREPIS_OVERWRITE, .inline_max = 1016, .buffer_size = 5000 },
		{ .backpressure = KREPIS_OVERWRITE, .inline_max = 256,
		  .flags = KREPIS_F_NO_BUFFERS },
		{ .kind = KREPIS_TRIPLE, .buffer_size = 4096 },
	};
	struct krepis_channel_options o = options[shape];

	o.size = sizeof(o);
	if (o.kind != KREPIS_TRIPLE) {
		o.max_consumers = 2;
		o.ring_size = 4096;
		o.buffer_count = o.buffer_size ? 4 : 0;
	}
	if (arena->enforced)
		o.flags |= KREPIS_F_ENFORCED;
	if (arena->enforced && o.backpressure == KREPIS_FAIL) {
		o.flags |= KREPIS_F_EXCLUSIVE;
		o.max_consumers = 1;
		o.buffer_size = 5000;
	}
	return o;
}

/* The anchor keeps the keeper's thread alive from session to session. */
static struct {
	struct krepis_channel *channel;
	struct krepis_endpoint *ep;
} anchor;

static void set_up(void)
{
	unsigned int i;

	arena_choose();
	for (i = 0; i < SHAPES; i++) {
		shapes[i].options = options_of(i);
		session_make(&shapes[i]);
	}
	MUST(!krepis_channel_create(NULL, &shapes[0].options, &anchor.channel));
	MUST(!krepis_attach(anchor.channel, KREPIS_CONSUMER, 0, &anchor.ep));
}

/* ------------------------------------------------------------------- whole files */

#define FILE_OPS 4	/* the first operations change the file, before it is opened */

/*
 * What an opener must find wrong with the file, or 0. In the order in which the
 * library looks, as only that decides between two errors.
 */
static int verdict(const struct krepis_info *info, uint64_t size, bool sealed, uint32_t layout_id)
{
	if (!sealed)
		return -EPERM;
	if (size < sizeof(*info) || info->magic != KREPIS_MAGIC)
		return -EMEDIUMTYPE;
	if (info->abi != KREPIS_ABI_VERSION || info->size != sizeof(*info))
		return -EPROTONOSUPPORT;
	if (krepis_geometry_check(&info->geometry) || krepis_layout(&info->geometry).size != size)
		return -EMEDIUMTYPE;
	/* No file keeps anybody from anything. */
	if (info->geometry.flags & KREPIS_F_ENFORCED)
		return -EMEDIUMTYPE;
	if (info->geometry.page_size % (uint32_t)sysconf(_SC_PAGESIZE))
		return -EPROTONOSUPPORT;
	return layout_id && info->geometry.layout_id && info->geometry.layout_id != layout_id ?
	       -EPROTO : 0;
}

/* Writes a file that could be a channel's, but for what the operations change in it. */
static int file_make(const uint8_t *data, const struct op *op, struct krepis_info *info,
		     uint64_t *size)
{
	int fd = memfd_create("krepis-fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct session *model = &shapes[data[2] % SHAPES];
	static _Alignas(8) uint8_t control[8 << 16];
	unsigned int i;

	MUST(fd >= 0 && model->l.ring <= sizeof(control));
	memset(control, 0, model->l.ring);
	krepis_format(control, &model->g, &model->l);
	for (i = 0; i < FILE_OPS; i++) {
		uint8_t *at = control + op[i].at % model->l.ring / 8 * 8;
		size_t word = 8;

		if (op[i].who % 2)
			at = control + one_of(&op[i], 0, info_words, ARRAY_SIZE(info_words), &word);
		if (op[i].who % 4)
			overwrite(&op[i], at, word);
	}
	memcpy(info, control, sizeof(*info));
	*size = krepis_geometry_check(&info->geometry) ? model->l.size :
							 krepis_layout(&info->geometry).size;
	if (data[3] % 8 == 1)
		*size = forge(&op[0], *size) % (1ULL << 41);
	MUST(!ftruncate(fd, (off_t)*size));
	MUST(pwrite(fd, control, *size < model->l.ring ? *size : model->l.ring, 0) >= 0);
	if (data[4] % 16)
		MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	if (data[4] % 16 == 1)
		MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	return fd;
}

/* A whole channel by somebody else. Returns whether it was good enough for @s. */
static bool session_file(struct session *s, const uint8_t *data)
{
	struct krepis_info info = { 0 };
	struct op op[FILE_OPS];
	bool writable = data[4] % 16 != 1;
	uint32_t layout_id = data[5] % 2;
	struct krepis_endpoint *ep;
	uint64_t size;
	int fd, err;

	memcpy(op, data + HEADER, sizeof(op));
	fd = file_make(data, op, &info, &size);
	err = TRY(s, krepis_channel_open_fd(fd, layout_id, &s->channel), EPERM, EMEDIUMTYPE,
		  EPROTONOSUPPORT);
	close(fd);
	MUST(err == verdict(&info, size, data[4] % 16, layout_id));
	if (err) {
		figures.unopened++;
		return false;
	}
	figures.opened++;
	if (size <= MAX_FILE && writable) {
		session_open(s);
		MUST(!memcmp(&s->g, &info.geometry, sizeof(s->g)) && s->l.size == size);
		return true;
	}
	if (!writable)
		MUST(krepis_attach(s->channel, KREPIS_PRODUCER, 0, &ep) == -EACCES);
	krepis_channel_close(s->channel);
	return false;
}

/* --------------------------------------------------------------------- programs */

static struct session *program_begin(const uint8_t *data)
{
	static struct session file;
	unsigned int shape = data[0] % (SHAPES + arena->files);

	if (shape == SHAPES) {
		file = (struct session){ 0 };
		return session_file(&file, data) ? &file : NULL;
	}
	session_begin(&shapes[shape]);
	return &shapes[shape];
}

static void program_end(struct session *s, const uint8_t *data)
{
	figures.broken += !whole(s);
	detach_all(s, data[1]);
}

/* The channel of a shape stays for the next one. */
static void program_free(struct session *s)
{
	if (s < shapes || s >= shapes + SHAPES)
		session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session *s;

	if (size < HEADER + FILE_OPS * sizeof(struct op))
		return 0;
	if (!shapes[0].channel)
		set_up();
	now.data = data;
	now.size = size;
	s = program_begin(data);
	if (s) {
		run(s, data + HEADER, size - HEADER);
		program_end(s, data);
		program_free(s);
	}
	now.data = NULL;
	return 0;
}

#ifndef KREPIS_LIBFUZZER

/* ---------------------------------------------------------------- the second thread */

/* @s is protected by the lock for writing: as long as it is held, what is mapped stays so. */
static struct {
	pthread_t thread;
	struct session *s;
	uint64_t rng;
	bool stop;
} race;

/* splitmix64, by S. Vigna */
static uint64_t draw(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void draw_bytes(uint64_t *rng, uint8_t *data, size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		uint64_t word = draw(rng);

		memcpy(data, &word, 8);
	}
}

/* Lies for an instant, and takes it back: who reads a word twice sees two. */
static void lie(struct session *s, const struct op *op)
{
	volatile unsigned int pause;
	size_t size;
	uint8_t *at = arena->at(s, word_at(s, op, &size));
	uint64_t old;

	if (!at)
		return;
	strike_begins(s, at);
	old = load(at, size);
	overwrite(op, at, size);
	for (pause = op->code; pause; pause--)
		;
	if (op->count % 8)
		store(at, size, old);
	strike_ends(s, at);
}

/* Writes to what it has until that is taken away, or for long. */
static void besiege(struct session *s, const struct op *op)
{
	struct end *e = &s->end[0];
	uint32_t index;
	unsigned int i;

	if (!e->ep || !s->g.buffer_count)
		return;
	index = op->count % s->g.buffer_count;
	struck = !has(e, index);
	for (i = 0; i < 10U * op->mode && !struck && !krepis_read(&writing.wanted); i++)
		scribble(s, e, index, op->at, op->value);
}

/* What of call_kernel() can be done while the first thread calls the library or the kernel. */
static void call_kernel_beside(struct session *s, const struct op *op)
{
	struct end *e = &s->end[op->who % s->ends];
	struct derived own = { .rights = KREPIS_RIGHT_ALL };
	union args args;

	if (!e->ep)
		return;
	own.fd = own_fd(e);
	ask(some_command(op, BY_BOTH_THREADS), s, e, &own, op, &args);
}

static void *race_main(void *arg)
{
	volatile unsigned int pause;
	struct op op;

	(void)arg;
	while (!krepis_read(&race.stop)) {
		/* Or it would take the lock again before who waits for it is awake. */
		while (krepis_read(&writing.wanted))
			sched_yield();
		pthread_mutex_lock(&writing.lock);
		draw_bytes(&race.rng, (uint8_t *)&op, sizeof(op));
		if (race.s && op.code >= EVERYWHERE * 256 / arena->weights)
			call_kernel_beside(race.s, &op);
		else if (race.s && arena->enforced && op.code < 32)
			besiege(race.s, &op);
		else if (race.s)
			lie(race.s, &op);
		pthread_mutex_unlock(&writing.lock);
		for (pause = op.code * 4U; pause; pause--)
			;
	}
	return NULL;
}

static void race_for(struct session *s)
{
	writing_stops();
	race.s = now.raced ? s : NULL;
	writing_goes_on();
}

/* ---------------------------------------------------------------- random programs */

/* One session of at most @inputs. Returns how many it was. */
static uint64_t random_session(uint64_t *rng, uint64_t inputs)
{
	static uint8_t data[HEADER + INPUTS * OPS * sizeof(struct op)];
	const size_t step = OPS * sizeof(struct op);
	struct session *s = NULL;
	uint64_t n;

	now.data = data;
	now.size = HEADER;
	draw_bytes(rng, data, HEADER);
	for (n = 0; n < INPUTS && n < inputs && (!n || whole(s)); n++) {
		draw_bytes(rng, data + now.size, step);
		now.size += step;
		now.number++;
		if (!n)
			s = program_begin(data);
		if (!s)
			return 1;
		race_for(s);
		run(s, data + now.size - step, step);
	}
	program_end(s, data);
	race_for(NULL);
	program_free(s);
	return n;
}

/*
 * Each second. The first tick in a call counts for nothing. Ticks and not the clock,
 * as a whole machine may stand still; then it does not tick either.
 */
static void on_tick(int sig)
{
	static uint64_t last;
	static unsigned int ticks;

	(void)sig;
	ticks = now.call && now.calls == last ? ticks + 1 : 0;
	last = now.calls;
	if (ticks && ticks >= arena->slow_s) {
		(void)!write(STDOUT_FILENO, "# hangs\n", 8);
		report();
		_exit(1);
	}
}

static void on_death(int sig)
{
	signal(sig, SIG_DFL);
	report();
	raise(sig);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* Called by UBSan, which may have a runtime of its own. */
void __ubsan_on_report(void);
void __ubsan_on_report(void)
{
	report();
}

static void watch(void)
{
	const struct itimerval every = { { 1, 0 }, { 1, 0 } };
	const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	unsigned int i;

	signal(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &every, NULL);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(report);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(deadly); i++)
		signal(deadly[i], on_death);
}

static unsigned int entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	MUST(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Mappings of channels. */
static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	MUST(maps);
	while (fgets(line, sizeof(line), maps))
		n += !!strstr(line, arena->name);
	fclose(maps);
	return n;
}

/* New channels work as ever, and then nothing of all is left. */
static void finish(unsigned int fds, unsigned int threads)
{
	unsigned int i, tries;

	for (i = 0; i < SHAPES; i++) {
		session_close(&shapes[i]);
		shapes[i] = (struct session){ .options = options_of(i) };
		session_make(&shapes[i]);
		session_begin(&shapes[i]);
		detach_all(&shapes[i], i);
		session_close(&shapes[i]);
	}
	printf("ok 3 - afterwards a new channel of each shape works\n");
	krepis_detach(anchor.ep);
	krepis_channel_close(anchor.channel);
	MUST(entries("/proc/self/fd") == fds && !mappings());
	/* A joined thread's entry may take a moment to go. */
	for (tries = 0; tries < 1000 && entries("/proc/self/task") != threads; tries++)
		usleep(1000);
	MUST(entries("/proc/self/task") == threads);
	printf("ok 4 - no descriptor, mapping or thread is left\n1..4\n");
}

static void print_figures(uint64_t inputs, int64_t took_ns)
{
	printf("ok 1 - %llu inputs, %llu operations in %.1f s (%.0f/s)%s: no crash, no stray view\n",
	       (unsigned long long)inputs, (unsigned long long)figures.ops,
	       (double)took_ns / 1e9, (double)figures.ops * 1e9 / (double)took_ns,
	       now.raced ? ", raced" : "");
	printf("# seed %llu; %llu sessions, %llu of them ended broken; attached %llu, refused %llu\n",
	       (unsigned long long)now.seed, (unsigned long long)figures.sessions,
	       (unsigned long long)figures.broken, (unsigned long long)figures.attached,
	       (unsigned long long)figures.refused);
	printf("# messages received: %llu, of them in buffers %llu; files opened %llu, refused %llu\n",
	       (unsigned long long)figures.received, (unsigned long long)figures.buffers,
	       (unsigned long long)figures.opened, (unsigned long long)figures.unopened);
	if (figures.asked)
		printf("# commands of the module: %llu; buffers handed over or released: %llu\n",
		       (unsigned long long)figures.asked, (unsigned long long)figures.moved);
	if (arena->enforced)
		printf("# faults of who did not have the buffer: %llu; what was held had not changed: %llu\n",
		       (unsigned long long)figures.faults, (unsigned long long)figures.kept);
	printf("ok 2 - no call ran for longer than %u s; the longest by the clock %.1f ms: %s\n",
	       arena->slow_s, (double)figures.longest_ns / 1e6, figures.longest);
}

static int run_files(char **paths)
{
	static uint8_t data[1U << 20];
	ssize_t n;
	int fd;

	for (; *paths; paths++) {
		fd = open(*paths, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, data, sizeof(data));
		if (n < 0) {
			perror(*paths);
			return 1;
		}
		close(fd);
		LLVMFuzzerTestOneInput(data, (size_t)n);
		printf("ok 1 - %s\n", *paths);
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
	uint64_t count = 100000, done = 0, rng;
	int64_t begin;

	now.raced = argc > 1 && !strcmp(argv[1], "--race");
	argv += now.raced ? 2 : 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	watch();
	if (*argv && strspn(*argv, "0123456789") != strlen(*argv))
		return run_files(argv);
	if (*argv)
		count = strtoull(*argv++, NULL, 10);
	now.seed = *argv ? strtoull(*argv, NULL, 10) : 1;
	rng = now.seed;
	race.rng = ~now.seed;
	set_up();
	if (now.raced)
		MUST(!pthread_create(&race.thread, NULL, race_main, NULL));
	begin = krepis_deadline_ns(0);
	while (done < count)
		done += random_session(&rng, count - done);
	now.data = NULL;
	now.call = NULL;
	krepis_write(&race.stop, true);
	if (now.raced)
		pthread_join(race.thread, NULL);
	print_figures(done, krepis_deadline_ns(0) - begin);
	finish(fds, threads);
	return 0;
}

#endif /* !KREPIS_LIBFUZZER */
