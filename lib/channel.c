// SPDX-License-Identifier: MIT
/*
 * Channels: names, files and descriptors. What is read from a file here is
 * checked once and kept; nobody looks at it again.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static int channel_new(const struct krepis_backend *backend, int fd,
		       const struct krepis_geometry *g, struct krepis_channel **out)
{
	struct krepis_channel *channel;

	/* Every region is mapped whole. */
	if (krepis_layout(g).size > SIZE_MAX / 2)
		return -E2BIG;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->backend = backend;
	channel->fd = fd;
	channel->geometry = *g;
	channel->layout = krepis_layout(g);
	*out = channel;
	return 0;
}

/* Who makes the channels of the file system that @fd stands on, or NULL. */
static const struct krepis_backend *backend_of(int fd)
{
	static const struct krepis_backend *const backends[] = {
		&krepis_backend_kmod, &krepis_backend_shm,
	};
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		if ((unsigned long)fs.f_type == backends[i]->magic)
			return backends[i];
	}
	return NULL;
}

/* Whether its channels can be what @g asks for. */
static bool offers(const struct krepis_backend *backend, const struct krepis_geometry *g)
{
	return backend->handoff || !(g->flags & KREPIS_F_ENFORCED);
}

/* A file without a name in the directory @dir. */
static int open_tmpfile(const char *dir, uint32_t mode)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

	if (fd < 0)
		return errno == EISDIR ? -EOPNOTSUPP : -errno;
	return fd;
}

/* Of the module, where it is at hand. Return: the descriptor; -EOPNOTSUPP; or why not. */
static int anonymous_kmod(const struct krepis_geometry *g)
{
	char dir[PATH_MAX];
	int fd, err;

	if (krepis_directory(dir, sizeof(dir)))
		return -EOPNOTSUPP;
	fd = open_tmpfile(dir, 0600);
	if (fd < 0)
		return -EOPNOTSUPP;
	err = backend_of(fd) == &krepis_backend_kmod ? krepis_backend_kmod.format(fd, g) :
						       -EOPNOTSUPP;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int create_anonymous(const struct krepis_geometry *g, struct krepis_channel **out)
{
	const struct krepis_backend *backend = &krepis_backend_kmod;
	int fd = anonymous_kmod(g), err;

	/* Also where the module's limits do not allow it; but not with less than was asked for. */
	if (fd < 0 && offers(&krepis_backend_shm, g)) {
		backend = &krepis_backend_shm;
		err = krepis_shm_memfd(g, &fd);
		if (err)
			return err;
	}
	if (fd < 0)
		return fd;
	err = channel_new(backend, fd, g, out);
	if (err)
		close(fd);
	return err;
}

/* The name appears last: who opens it finds a complete channel. */
static int create_named(const char *path, uint32_t mode, const struct krepis_geometry *g,
			struct krepis_channel **out)
{
	const char *slash = strrchr(path, '/');
	const struct krepis_backend *backend;
	struct krepis_channel *channel;
	char dir[PATH_MAX], self[32];
	int fd, err;

	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = open_tmpfile(dir, mode);
	if (fd < 0)
		return fd;
	backend = backend_of(fd);
	err = backend && offers(backend, g) ? 0 : -EOPNOTSUPP;
	if (!err && !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
		err = -EEXIST;	/* before the memory is taken */
	if (!err)
		err = backend->format(fd, g);
	if (!err)
		err = channel_new(backend, fd, g, &channel);
	if (err)
		goto err_close;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW)) {
		err = -errno;
		free(channel);
		goto err_close;
	}
	*out = channel;
	return 0;

err_close:
	close(fd);
	return err;
}

KREPIS_API int krepis_channel_create(const char *path,
				     const struct krepis_channel_options *options,
				     struct krepis_channel **out)
{
	struct krepis_channel_options o;
	struct krepis_geometry g;
	char resolved[PATH_MAX];
	int err;

	err = options_of(options, &o);
	if (!err)
		err = geometry_of(&o, &g);
	if (!err && path)
		err = krepis_resolve(path, true, resolved);
	if (err)
		return err;
	return path ? create_named(resolved, pick(o.mode, 0600), &g, out) :
		      create_anonymous(&g, out);
}

/* Makes a channel of @fd, which it then keeps, after a look at what it is. */
static int channel_of(int fd, uint32_t layout_id, struct krepis_channel **out)
{
	const struct krepis_backend *backend = backend_of(fd);
	struct krepis_geometry g;
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || !backend)
		return -EMEDIUMTYPE;
	err = backend->probe(fd, &g);
	if (err)
		return err;
	if (krepis_geometry_check(&g) || !offers(backend, &g) ||
	    krepis_layout(&g).size != (uint64_t)st.st_size)
		return -EMEDIUMTYPE;
	if (g.page_size % (uint32_t)sysconf(_SC_PAGESIZE))
		return -EPROTONOSUPPORT;
	if (layout_id && g.layout_id && layout_id != g.layout_id)
		return -EPROTO;
	return channel_new(backend, fd, &g, out);
}

/* Only seals keep a file from shrinking under us, whoever made it. */
bool krepis_sealed(int fd)
{
	const int needed = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & needed) == needed;
}

/* Whether the channel in @fd has a size that nobody can change. */
static bool lasting(int fd)
{
	return backend_of(fd) == &krepis_backend_kmod || krepis_sealed(fd);
}

static int reopen(int fd, int flags)
{
	char self[32];
	int own;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	own = open(self, flags | O_CLOEXEC);
	return own < 0 ? -errno : own;
}

/* An open file description of our own: locks belong to those. */
int krepis_reopen(int fd)
{
	return reopen(fd, O_RDWR);
}

/* Who may only read or write may still be on one side, if the kernel keeps the rest. */
static int reopen_for_some_role(int fd)
{
	int own = krepis_reopen(fd);

	if (own != -EACCES || backend_of(fd) != &krepis_backend_kmod)
		return own;
	own = reopen(fd, O_RDONLY);
	return own == -EACCES ? reopen(fd, O_WRONLY) : own;
}

KREPIS_API int krepis_channel_open(const char *path, uint32_t layout_id,
				   struct krepis_channel **out)
{
	char resolved[PATH_MAX];
	struct stat st;
	int look, fd, err;

	err = krepis_resolve(path, false, resolved);
	if (err)
		return err;
	/* Look before opening: what is not a file may do anything when opened. */
	look = open(resolved, O_PATH | O_CLOEXEC);
	if (look < 0)
		return -errno;
	err = fstat(look, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EMEDIUMTYPE;
	fd = err ? err : reopen_for_some_role(look);
	close(look);
	if (fd < 0)
		return fd;
	err = channel_of(fd, layout_id, out);
	if (err)
		close(fd);
	return err;
}

KREPIS_API int krepis_channel_open_fd(int fd, uint32_t layout_id, struct krepis_channel **out)
{
	struct stat st;
	int own, err;

	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	err = fstat(own, &st) ? -errno : 0;
	/* Without a name and without seals: a memfd that somebody can shrink. */
	if (!err && S_ISREG(st.st_mode) && !st.st_nlink && !lasting(own))
		err = -EPERM;
	if (!err)
		err = channel_of(own, layout_id, out);
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
		err = lasting(fds[0]) ? krepis_channel_open_fd(fds[0], layout_id, out) : -EPERM;
	while (count--)
		close(fds[count]);
	return err;
}

KREPIS_API int krepis_unlink(const char *path)
{
	char resolved[PATH_MAX];
	int err = krepis_resolve(path, false, resolved);

	if (err)
		return err;
	return unlink(resolved) ? -errno : 0;
}

/* Makes @status, of a size that is checked, say all that is not counted. */
int krepis_status_init(struct krepis_status *status, const struct krepis_backend *backend,
		       const struct krepis_geometry *g)
{
	if (status->size != sizeof(*status))
		return -EINVAL;
	memset(status, 0, sizeof(*status));
	status->size = sizeof(*status);
	status->guarantee = g->flags & KREPIS_F_ENFORCED ? KREPIS_ENFORCED : KREPIS_COOPERATIVE;
	snprintf(status->backend, sizeof(status->backend), "%s", backend->name);
	status->geometry = *g;
	status->channel_bytes = krepis_layout(g).size;
	return 0;
}

static void copy_counters(struct krepis_counters *to, const struct krepis_counters *from)
{
	to->messages = krepis_read(&from->messages);
	to->bytes = krepis_read(&from->bytes);
	to->drops = krepis_read(&from->drops);
	to->waits = krepis_read(&from->waits);
	to->wakes = krepis_read(&from->wakes);
}

/* The rest, from the regions at @control. */
void krepis_status_count(struct krepis_status *status, const void *control, bool producer)
{
	const struct krepis_geometry *g = &status->geometry;
	struct krepis_layout l = krepis_layout(g);
	const struct krepis_info *info = control;
	char *base = (char *)control;
	uint32_t i;

	status->live = krepis_read(&info->live) & (uint32_t)((1ULL << g->max_consumers) - 1);
	status->producer = producer;
	status->deaths = krepis_read(&info->deaths);
	status->producer_deaths = krepis_read(&info->producer_deaths);
	copy_counters(&status->counters, &((struct krepis_producer *)(base + l.producer))->counters);
	for (i = 0; i < g->max_consumers; i++) {
		struct krepis_consumer *c = krepis_consumer_at(base + l.consumers, g->page_size, i);

		copy_counters(&status->consumers[i], &c->counters);
	}
}

KREPIS_API int krepis_query(struct krepis_channel *channel, struct krepis_status *status)
{
	int err = krepis_status_init(status, channel->backend, &channel->geometry);

	return err ? err : channel->backend->query(channel, status);
}
