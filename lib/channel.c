// SPDX-License-Identifier: MIT
/*
 * Channels: names, files and descriptors. What is read from a file here is
 * checked once and kept; nobody looks at it again.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "internal.h"

#define DEFAULT_CONSUMERS	8
#define DEFAULT_INLINE		4096
#define DEFAULT_RING		(256 << 10)
#define DEFAULT_BUFFERS		16
#define DEFAULT_BUFFER_SIZE	(1 << 20)

static bool on_tmpfs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == TMPFS_MAGIC;
}

KREPIS_API int krepis_directory(char *path, size_t size)
{
	const char *env = secure_getenv("KREPIS_DIR");
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	int n;

	if (env && *env)
		n = snprintf(path, size, "%s", env);
	else if (run && *run && on_tmpfs(run))
		n = snprintf(path, size, "%s/krepis", run);
	else
		n = snprintf(path, size, "/dev/shm/krepis-%u", (unsigned int)getuid());
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* /dev/shm is everybody's: a directory there that is another user's is not ours. */
static int own_directory(const char *dir, bool create)
{
	struct stat st;

	if (create && mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(dir, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() || !geteuid() ? 0 : -EACCES;
}

/* The path behind @name, in @path of PATH_MAX bytes. */
static int resolve(const char *name, bool create, char *path)
{
	size_t len;
	int err;

	if (!name || !*name)
		return -EINVAL;
	if (strchr(name, '/'))
		return (size_t)snprintf(path, PATH_MAX, "%s", name) < PATH_MAX ? 0 : -ENAMETOOLONG;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	err = krepis_directory(path, PATH_MAX);
	if (!err)
		err = own_directory(path, create);
	if (err)
		return err;
	len = strlen(path);
	if (len + 1 + strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(path + len, PATH_MAX - len, "/%s", name);
	return 0;
}

static uint32_t pick(uint64_t value, uint64_t otherwise)
{
	return (uint32_t)(value ? value : otherwise);
}

static void ring_defaults(struct krepis_geometry *g, uint32_t page)
{
	uint64_t quarter;

	g->max_consumers = pick(g->max_consumers, DEFAULT_CONSUMERS);
	if (!g->ring_size)
		g->ring_size = DEFAULT_RING;
	/* Where pages are large the smallest ring is. */
	if (g->ring_size >= KREPIS_MIN_RING_SIZE && g->ring_size < page)
		g->ring_size = page;
	quarter = g->ring_size / 4 - sizeof(struct krepis_record);
	if (!g->inline_max)
		g->inline_max = quarter < DEFAULT_INLINE ? (uint32_t)quarter : DEFAULT_INLINE;
	if (g->flags & KREPIS_F_NO_BUFFERS)
		return;
	g->buffer_count = pick(g->buffer_count, DEFAULT_BUFFERS);
	if (!g->buffer_size)
		g->buffer_size = DEFAULT_BUFFER_SIZE;
}

static int geometry_of(const struct krepis_channel_options *o, struct krepis_geometry *g)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);

	*g = (struct krepis_geometry){
		.kind = pick(o->kind, KREPIS_RING),
		.flags = o->flags,
		.backpressure = o->backpressure,
		.max_consumers = o->max_consumers,
		.inline_max = o->inline_max,
		.buffer_count = o->buffer_count,
		.page_size = page,
		.layout_id = o->layout_id,
		.ring_size = o->ring_size,
		.buffer_size = o->buffer_size,
	};
	if (o->reserved || (o->mode & ~0777U))
		return -EINVAL;
	if (g->kind == KREPIS_RING) {
		ring_defaults(g, page);
	} else {
		g->max_consumers = pick(g->max_consumers, 1);
		g->buffer_count = pick(g->buffer_count, KREPIS_TRIPLE_BUFFERS);
		if (!g->buffer_size)
			g->buffer_size = DEFAULT_BUFFER_SIZE;
	}
	return krepis_geometry_check(g);
}

/* Copies what the caller passed; what we do not know must be zero. */
static int options_of(const struct krepis_channel_options *o, struct krepis_channel_options *own)
{
	const uint8_t *tail = (const uint8_t *)o;
	size_t i;

	memset(own, 0, sizeof(*own));
	if (!o)
		return 0;
	if (o->size < sizeof(o->size))
		return -EINVAL;
	for (i = sizeof(*own); i < o->size; i++) {
		if (tail[i])
			return -E2BIG;
	}
	memcpy(own, o, o->size < sizeof(*own) ? o->size : sizeof(*own));
	return 0;
}

static int channel_new(int fd, const struct krepis_geometry *g, struct krepis_channel **out)
{
	struct krepis_channel *channel;

	/* Every region is mapped whole. */
	if (krepis_layout(g).size > SIZE_MAX / 2)
		return -E2BIG;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->backend = &krepis_backend_shm;
	channel->fd = fd;
	channel->geometry = *g;
	channel->layout = krepis_layout(g);
	*out = channel;
	return 0;
}

KREPIS_API int krepis_channel_create(const char *path,
				     const struct krepis_channel_options *options,
				     struct krepis_channel **out)
{
	struct krepis_channel_options o;
	struct krepis_geometry g;
	char resolved[PATH_MAX];
	int fd = -1, err;

	err = options_of(options, &o);
	if (!err)
		err = geometry_of(&o, &g);
	if (!err && path)
		err = resolve(path, true, resolved);
	if (!err)
		err = krepis_backend_shm.create(path ? resolved : NULL, &g, pick(o.mode, 0600), &fd);
	if (err)
		return err;
	err = channel_new(fd, &g, out);
	if (err) {
		close(fd);
		if (path)
			unlink(resolved);
	}
	return err;
}

/*
 * Takes the geometry of the file @fd, by read(2): a file that shrinks under us
 * gives a short read, and not a signal.
 */
static int probe(int fd, uint32_t layout_id, struct krepis_geometry *g)
{
	struct krepis_info info;
	struct statfs fs;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return -errno;
	if (!S_ISREG(st.st_mode) || (unsigned long)fs.f_type != TMPFS_MAGIC)
		return -EMEDIUMTYPE;
	do {
		n = pread(fd, &info, sizeof(info), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(info) || info.magic != KREPIS_MAGIC)
		return -EMEDIUMTYPE;
	if (info.abi != KREPIS_ABI_VERSION || info.size != sizeof(info))
		return -EPROTONOSUPPORT;
	if (krepis_geometry_check(&info.geometry) ||
	    krepis_layout(&info.geometry).size != (uint64_t)st.st_size)
		return -EMEDIUMTYPE;
	if (info.geometry.page_size % (uint32_t)sysconf(_SC_PAGESIZE))
		return -EPROTONOSUPPORT;
	if (layout_id && info.geometry.layout_id && layout_id != info.geometry.layout_id)
		return -EPROTO;
	*g = info.geometry;
	return 0;
}

/* Only seals keep a file from shrinking under us, whoever made it. */
bool krepis_sealed(int fd)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & needed) == needed;
}

/* An open file description of our own: locks belong to those. */
int krepis_reopen(int fd)
{
	char self[32];
	int own;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	own = open(self, O_RDWR | O_CLOEXEC);
	return own < 0 ? -errno : own;
}

KREPIS_API int krepis_channel_open(const char *path, uint32_t layout_id,
				   struct krepis_channel **out)
{
	char resolved[PATH_MAX];
	struct krepis_geometry g;
	struct stat st;
	int look, fd, err;

	err = resolve(path, false, resolved);
	if (err)
		return err;
	/* Look before opening: what is not a file may do anything when opened. */
	look = open(resolved, O_PATH | O_CLOEXEC);
	if (look < 0)
		return -errno;
	err = fstat(look, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EMEDIUMTYPE;
	fd = err ? err : krepis_reopen(look);
	close(look);
	if (fd < 0)
		return fd;
	err = probe(fd, layout_id, &g);
	if (!err)
		err = channel_new(fd, &g, out);
	if (err)
		close(fd);
	return err;
}

KREPIS_API int krepis_channel_open_fd(int fd, uint32_t layout_id, struct krepis_channel **out)
{
	struct krepis_geometry g;
	struct stat st;
	int own, err;

	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	err = fstat(own, &st) ? -errno : 0;
	/* Without a name and without seals: a memfd that somebody can shrink. */
	if (!err && S_ISREG(st.st_mode) && !st.st_nlink && !krepis_sealed(own))
		err = -EPERM;
	if (!err)
		err = probe(own, layout_id, &g);
	if (!err)
		err = channel_new(own, &g, out);
	if (err)
		close(own);
	return err;
}

KREPIS_API void krepis_channel_close(struct krepis_channel *channel)
{
	if (!channel)
		return;
	close(channel->fd);
	free(channel);
}

KREPIS_API int krepis_channel_fd(const struct krepis_channel *channel)
{
	return channel->fd;
}

union fd_message {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

KREPIS_API int krepis_channel_pass(const struct krepis_channel *channel, int socket)
{
	char byte = 'k';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union fd_message control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &channel->fd, sizeof(int));
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

KREPIS_API int krepis_channel_receive(int socket, uint32_t layout_id, struct krepis_channel **out)
{
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union fd_message control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control, .msg_controllen = sizeof(control) };
	int fds[sizeof(control) / sizeof(int)], err;
	struct cmsghdr *c;
	size_t count;
	ssize_t n;

	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	/* A descriptor that came and could not be put anywhere: the limit is reached. */
	if (!c && (msg.msg_flags & MSG_CTRUNC))
		return -EMFILE;
	if (!c)
		return n ? -EBADMSG : -KREPIS_PEER_GONE;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -EBADMSG;
	/* The control buffer has room for two by its alignment: none may leak. */
	count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	if (count != 1)
		err = -EBADMSG;
	else
		err = krepis_sealed(fds[0]) ? krepis_channel_open_fd(fds[0], layout_id, out) : -EPERM;
	while (count--)
		close(fds[count]);
	return err;
}

KREPIS_API int krepis_unlink(const char *path)
{
	char resolved[PATH_MAX];
	int err = resolve(path, false, resolved);

	if (err)
		return err;
	return unlink(resolved) ? -errno : 0;
}

static void copy_counters(struct krepis_counters *to, const struct krepis_counters *from)
{
	to->messages = krepis_read(&from->messages);
	to->bytes = krepis_read(&from->bytes);
	to->drops = krepis_read(&from->drops);
	to->waits = krepis_read(&from->waits);
	to->wakes = krepis_read(&from->wakes);
}

int krepis_status_fill(struct krepis_status *status, const struct krepis_backend *backend,
		       const struct krepis_geometry *g, const void *control, bool producer)
{
	struct krepis_layout l = krepis_layout(g);
	const struct krepis_info *info = control;
	char *base = (char *)control;
	uint32_t i;

	if (status->size != sizeof(*status))
		return -EINVAL;
	memset(status, 0, sizeof(*status));
	status->size = sizeof(*status);
	status->guarantee = backend->guarantee;
	snprintf(status->backend, sizeof(status->backend), "%s", backend->name);
	status->geometry = *g;
	status->channel_bytes = l.size;
	status->live = krepis_read(&info->live) & (uint32_t)((1ULL << g->max_consumers) - 1);
	status->producer = producer;
	status->deaths = krepis_read(&info->deaths);
	status->producer_deaths = krepis_read(&info->producer_deaths);
	copy_counters(&status->counters, &((struct krepis_producer *)(base + l.producer))->counters);
	for (i = 0; i < g->max_consumers; i++) {
		struct krepis_consumer *c = krepis_consumer_at(base + l.consumers, g->page_size, i);

		copy_counters(&status->consumers[i], &c->counters);
	}
	return 0;
}

KREPIS_API int krepis_query(struct krepis_channel *channel, struct krepis_status *status)
{
	struct stat st;
	size_t size = channel->layout.descriptors;
	void *control;
	int err;

	if (fstat(channel->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size != channel->layout.size)
		return -EMEDIUMTYPE;
	control = mmap(NULL, size, PROT_READ, MAP_SHARED, channel->fd, 0);
	if (control == MAP_FAILED)
		return -errno;
	err = krepis_status_fill(status, channel->backend, &channel->geometry, control,
				 channel->backend->producer(channel->fd));
	munmap(control, size);
	return err;
}
