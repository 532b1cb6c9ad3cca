// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments of the commands: copied once, checked here, and only the copy is used.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "internal.h"
#include "trace.h"

union args {
	struct krepis_setup setup;
	struct krepis_attach_args attach;
	struct krepis_none none;
	struct krepis_rights rights;
	struct krepis_wait_args wait;
	struct krepis_wake_args wake;
	struct krepis_handoff handoff;
	struct krepis_release_args release;
};

/* Of a command: flags that exist beside @size. */
static bool unknown(u32 flags, u32 known)
{
	return flags & ~known;
}

static long do_setup(struct file *file, const union args *a)
{
	if (unknown(a->setup.flags, 0))
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE))
		return -EACCES;
	return krepis_channel_setup(file_inode(file), &a->setup.geometry);
}

static long do_attach(struct file *file, const union args *a)
{
	u32 role = a->attach.role, rights = a->attach.rights;

	if (unknown(a->attach.flags, 0) || !rights || unknown(rights, KREPIS_RIGHT_ALL) ||
	    (role != KREPIS_PRODUCER && role != KREPIS_CONSUMER))
		return -EINVAL;
	if (!(file->f_mode & (role == KREPIS_PRODUCER ? FMODE_WRITE : FMODE_READ)))
		return -EACCES;
	return krepis_attach(file, role, rights);
}

/* The endpoint of @file if it may do what needs @rights, or an error. */
static struct krepis_endpoint *endpoint(struct file *file, u32 rights)
{
	struct krepis_view *view = file->private_data;

	return krepis_may(view, rights) ? view->endpoint : ERR_PTR(-EACCES);
}

static long do_detach(struct file *file, const union args *a)
{
	struct krepis_endpoint *ep = endpoint(file, KREPIS_RIGHT_WRITE);

	if (unknown(a->none.flags, 0))
		return -EINVAL;
	if (IS_ERR(ep))
		return PTR_ERR(ep);
	WRITE_ONCE(ep->orderly, true);
	return 0;
}

/* Another thread may shrink them as well: each takes away, nobody gives back. */
static long do_restrict(struct file *file, const union args *a)
{
	struct krepis_view *view = file->private_data;
	u32 old = READ_ONCE(view->rights);

	if (unknown(a->rights.flags, 0) || a->rights.reserved ||
	    unknown(a->rights.rights, KREPIS_RIGHT_ALL))
		return -EINVAL;
	do {
		if (unknown(a->rights.rights, old))
			return -EPERM;
	} while (!try_cmpxchg(&view->rights, &old, a->rights.rights));
	return 0;
}

static long do_derive(struct file *file, const union args *a)
{
	struct krepis_view *view = file->private_data;
	u32 rights = a->rights.rights;

	if (unknown(a->rights.flags, 0) || a->rights.reserved || !rights ||
	    unknown(rights, KREPIS_RIGHT_ALL))
		return -EINVAL;
	if (!krepis_may(view, KREPIS_RIGHT_DERIVE))
		return -EACCES;
	if (!krepis_may(view, rights))
		return -EPERM;
	return krepis_derive(file, rights);
}

/* The word that the endpoint may wait for, or -EINVAL, -EACCES. */
static u32 *word_of(struct file *file, const struct krepis_wait_args *w)
{
	struct krepis_endpoint *ep = endpoint(file, KREPIS_RIGHT_WAIT);
	u32 *word;

	if (unknown(w->flags, 0) || w->reserved)
		return ERR_PTR(-EINVAL);
	if (IS_ERR(ep))
		return ERR_CAST(ep);
	word = krepis_word(ep->channel, w->at);
	if (!word)
		return ERR_PTR(-EINVAL);
	/* Waiting for a word is a way of reading it. */
	if (word != &ep->channel->info->event[ep->number] &&
	    !krepis_may(file->private_data, KREPIS_RIGHT_READ))
		return ERR_PTR(-EACCES);
	return word;
}

static long do_wait(struct file *file, const union args *a)
{
	const struct krepis_wait_args *w = &a->wait;
	u32 *word = word_of(file, w);

	return IS_ERR(word) ? PTR_ERR(word) :
	       krepis_wait(endpoint(file, 0), word, w->value, w->deadline_ns);
}

static long do_wake(struct file *file, const union args *a)
{
	bool self = a->wake.flags & KREPIS_WAKE_SELF, stop = a->wake.flags & KREPIS_WAKE_STOP;
	struct krepis_endpoint *ep =
		endpoint(file, KREPIS_RIGHT_WAKE | (stop ? KREPIS_RIGHT_WRITE : 0));

	if (unknown(a->wake.flags, KREPIS_WAKE_SELF | KREPIS_WAKE_STOP) || a->wake.reserved ||
	    (stop && !self))
		return -EINVAL;
	if (IS_ERR(ep))
		return PTR_ERR(ep);
	/* Whom: a producer says so, unless it is itself. */
	if ((krepis_is_producer(ep) && !self) != !!a->wake.consumers)
		return -EINVAL;
	if (!self)
		return krepis_wake(ep, a->wake.consumers);
	if (stop)
		WRITE_ONCE(ep->stopped, true);
	krepis_event(ep->channel, ep->number);
	return 0;
}

static long do_handoff(struct file *file, const union args *a)
{
	struct krepis_endpoint *ep = endpoint(file, KREPIS_RIGHT_WRITE);

	if (unknown(a->handoff.flags, KREPIS_HANDOFF_WAKE | KREPIS_HANDOFF_PUBLISH) ||
	    a->handoff.reserved ||
	    unknown(a->handoff.msg_flags, KREPIS_MSG_CRC32C))
		return -EINVAL;
	return IS_ERR(ep) ? PTR_ERR(ep) : krepis_handoff(ep, &a->handoff);
}

static long change_owner(struct file *file, const union args *a,
			 int (*change)(struct krepis_endpoint *ep, struct krepis_handle handle))
{
	struct krepis_endpoint *ep = endpoint(file, KREPIS_RIGHT_WRITE);

	if (unknown(a->release.flags, 0))
		return -EINVAL;
	return IS_ERR(ep) ? PTR_ERR(ep) : change(ep, a->release.handle);
}

static long do_release(struct file *file, const union args *a)
{
	return change_owner(file, a, krepis_release);
}

static long do_take(struct file *file, const union args *a)
{
	return change_owner(file, a, krepis_take);
}

static long do_evict(struct file *file, const union args *a)
{
	return change_owner(file, a, krepis_evict);
}

/**
 * struct command - one command
 * @size:	of its argument in the first version of the ABI: the least that is taken
 * @channel:	for files of a mount, or for endpoints
 * @blocks:	may sleep
 */
static const struct command {
	unsigned int cmd;
	u32 size;
	bool channel;
	bool blocks;
	long (*run)(struct file *file, const union args *args);
} commands[] = {
	{ KREPIS_IOC_SETUP, sizeof(struct krepis_setup), true, true, do_setup },
	{ KREPIS_IOC_ATTACH, sizeof(struct krepis_attach_args), true, true, do_attach },
	{ KREPIS_IOC_DETACH, sizeof(struct krepis_none), false, false, do_detach },
	{ KREPIS_IOC_RESTRICT, sizeof(struct krepis_rights), false, false, do_restrict },
	{ KREPIS_IOC_DERIVE, sizeof(struct krepis_rights), false, true, do_derive },
	{ KREPIS_IOC_WAIT, sizeof(struct krepis_wait_args), false, true, do_wait },
	{ KREPIS_IOC_WAKE, sizeof(struct krepis_wake_args), false, false, do_wake },
	{ KREPIS_IOC_HANDOFF, sizeof(struct krepis_handoff), false, false, do_handoff },
	{ KREPIS_IOC_RELEASE, sizeof(struct krepis_release_args), false, false, do_release },
	{ KREPIS_IOC_TAKE, sizeof(struct krepis_release_args), false, false, do_take },
	{ KREPIS_IOC_EVICT, sizeof(struct krepis_release_args), false, false, do_evict },
};

/* Copies an argument whose first word is its size. */
static int copy_args(void *to, u32 least, const void __user *arg)
{
	u32 size;

	if (get_user(size, (const u32 __user *)arg))
		return -EFAULT;
	if (size < least)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(to, least, arg, size);
}

/* All that the caller says here is which size it knows. */
static long do_query(struct file *file, void __user *arg)
{
	struct krepis_info_query *q;
	u32 flags;
	int err;

	q = kzalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		return -ENOMEM;
	err = copy_args(q, sizeof(*q), arg);
	flags = q->flags;
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	if (!err && flags)
		err = -EINVAL;
	if (!err && file->f_op == &krepis_endpoint_fops &&
	    !krepis_may(file->private_data, KREPIS_RIGHT_READ))
		err = -EACCES;
	if (!err && !krepis_channel_of(file_inode(file)))
		err = -EBADFD;
	if (!err) {
		krepis_query(file, q);
		err = copy_to_user(arg, q, sizeof(*q)) ? -EFAULT : 0;
	}
	kfree(q);
	return err;
}

static const struct command *find(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].cmd == cmd)
			return &commands[i];
	}
	return NULL;
}

bool krepis_command_blocks(unsigned int cmd)
{
	const struct command *c = find(cmd);

	return !c || c->blocks;
}

/* Takes a wait's argument for who will wait in another way. Return: the word, or an error. */
u32 *krepis_wait_args(struct file *file, const void __user *arg, struct krepis_wait_args *args)
{
	int err = copy_args(args, sizeof(*args), arg);

	return err ? ERR_PTR(err) : word_of(file, args);
}

/* Executes one command. Return: what ioctl(2) returns. */
long krepis_command(struct file *file, unsigned int cmd, void __user *arg)
{
	bool on_channel = file->f_op == &krepis_channel_fops;
	const struct command *c = find(cmd);
	union args args;
	long err;

	if (cmd == KREPIS_IOC_QUERY)
		return do_query(file, arg);
	if (!c || c->channel != on_channel)
		return -ENOTTY;
	err = copy_args(&args, c->size, arg);
	if (!err)
		err = c->run(file, &args);
	/* A wait that ended is no refusal. */
	if (err < 0 && err != -ETIMEDOUT && err != -EINTR)
		trace_krepis_refuse(file_inode(file), cmd, (int)err);
	return err;
}

#define CHUNK	512	/* bytes of arguments that are copied at once */

/*
 * Runs @n commands whose arguments are at @args, copied already, each of the size that
 * the command has. Return: how many succeeded; the first error in @err.
 */
static u32 run_copied(struct file *file, const struct command *c, const u8 *args, u32 n,
		      long *err)
{
	u32 i;

	for (i = 0; i < n; i++, args += c->size) {
		*err = *(const u32 *)args == c->size ? c->run(file, (const union args *)args) :
						       -EINVAL;
		if (*err < 0) {
			trace_krepis_refuse(file_inode(file), c->cmd, (int)*err);
			break;
		}
	}
	return i;
}

/**
 * krepis_commands - executes @count commands, up to the first that fails
 * @arg: as many arguments in a row, each of the size that the first tells
 *
 * Return: how many succeeded, or the first one's error.
 */
long krepis_commands(struct file *file, unsigned int cmd, void __user *arg, u32 count)
{
	bool on_channel = file->f_op == &krepis_channel_fops;
	const struct command *c = find(cmd);
	u8 args[CHUNK] __aligned(8);
	u32 stride, done = 0, n;
	long err = 0;

	if (!c || c->channel != on_channel)
		return -ENOTTY;
	if (get_user(stride, (const u32 __user *)arg))
		return -EFAULT;
	while (done < count && !err) {
		n = stride == c->size ? min_t(u32, count - done, CHUNK / stride) : 0;
		if (n && !copy_from_user(args, arg + (size_t)done * stride, n * stride)) {
			done += run_copied(file, c, args, n, &err);
		} else {
			/* A newer caller's, or one of them is not there. */
			err = krepis_command(file, cmd, arg + (size_t)done * stride);
			done += err >= 0;
		}
		if (err > 0)
			err = 0;
		cond_resched();
	}
	return done ? done : err;
}

long krepis_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return krepis_command(file, cmd, (void __user *)arg);
}
