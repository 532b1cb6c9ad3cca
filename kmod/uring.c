// SPDX-License-Identifier: GPL-2.0-only
/*
 * The commands through io_uring: one, or an array of arguments in one go. What may
 * sleep is refused once and comes again from a worker, except WAIT:
 * that sleeps nowhere. It stands in the endpoint's queue until its word changes or it
 * is cancelled, and needs a kernel that can cancel (6.7).
 */
#include <linux/slab.h>
#include "internal.h"
#include "trace.h"

/*
 * A pending WAIT. Whoever sees the entry in the queue may take it out, under the
 * queue's lock; who took it out completes the command.
 */
struct pending {
	struct wait_queue_entry entry;
	struct io_uring_cmd *cmd;
	wait_queue_head_t *queue;
	u32 *word;
	u32 value;
	int result;
};

/* What the command carries until it is completed. */
static struct pending **pending_of(struct io_uring_cmd *cmd)
{
	BUILD_BUG_ON(sizeof(struct pending *) > sizeof(cmd->pdu));
	return (struct pending **)cmd->pdu;
}

static void finish(struct io_uring_cmd *cmd, unsigned int flags)
{
	struct pending *p = *pending_of(cmd);
	int result = p->result;

	trace_krepis_wait(((struct krepis_view *)cmd->file->private_data)->endpoint, result);
	kfree(p);
	io_uring_cmd_done(cmd, result, 0, flags);
}

/* An event: queue lock held, any context. */
static int wake(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct pending *p = container_of(entry, struct pending, entry);

	if (READ_ONCE(*p->word) == p->value)
		return 0;
	list_del_init(&entry->entry);
	io_uring_cmd_complete_in_task(p->cmd, finish);
	return 1;
}

/* Takes @p out of the queue. Return: whether this call did it. */
static bool take(struct pending *p)
{
	bool ours;

	spin_lock_irq(&p->queue->lock);
	ours = !list_empty(&p->entry.entry);
	list_del_init(&p->entry.entry);
	spin_unlock_irq(&p->queue->lock);
	return ours;
}

static int cancel(struct io_uring_cmd *cmd, unsigned int flags)
{
	struct pending *p = *pending_of(cmd);

	if (take(p)) {
		p->result = -ECANCELED;
		finish(cmd, flags);
	}
	return 0;
}

static int wait(struct io_uring_cmd *cmd, void __user *arg, unsigned int flags)
{
	struct krepis_wait_args args;
	struct krepis_endpoint *ep;
	struct pending *p;
	int err;

	if (cmd->file->f_op != &krepis_endpoint_fops)
		return -ENOTTY;
	err = krepis_wait_args(cmd->file, arg, &args);
	if (err)
		return err;
	if (args.deadline_ns != S64_MAX)
		return -EINVAL;
	if (!KREPIS_URING_CANCELS)
		return -EOPNOTSUPP;
	ep = ((struct krepis_view *)cmd->file->private_data)->endpoint;
	p = kmalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	*pending_of(cmd) = p;
	p->cmd = cmd;
	p->queue = &krepis_slot_of(ep)->wait;
	p->word = krepis_word(ep->channel, args.at);
	p->value = args.value;
	p->result = 0;
	init_waitqueue_func_entry(&p->entry, wake);
	io_uring_cmd_mark_cancelable(cmd, flags);
	add_wait_queue(p->queue, &p->entry);
	/* Pairs with krepis_event(): its word is seen here, or the entry there. */
	smp_mb();
	if (READ_ONCE(*p->word) == args.value)
		return -EIOCBQUEUED;
	if (take(p))
		finish(cmd, flags);
	return -EIOCBQUEUED;
}

/* Executes the arguments in order. Return: as struct krepis_uring says. */
static long batch(struct io_uring_cmd *cmd, void __user *arg, u32 count)
{
	u32 done, size, stride = 0;
	long err;

	for (done = 0; done < count; done++) {
		err = krepis_command(cmd->file, cmd->cmd_op, arg + (size_t)done * stride, &size);
		if (count == 1)
			return err;
		if (!err && done && size != stride)
			err = -EINVAL;
		if (err < 0)
			return done ? done : err;
		stride = size;
		cond_resched();
	}
	return done;
}

int krepis_uring(struct io_uring_cmd *cmd, unsigned int flags)
{
	const struct krepis_uring *area = krepis_uring_area(cmd);
	void __user *arg = u64_to_user_ptr(READ_ONCE(area->args));
	u32 count = READ_ONCE(area->count);

	if (flags & IO_URING_F_CANCEL)
		return cancel(cmd, flags);
	if (READ_ONCE(area->reserved) || !count || count > KREPIS_MAX_BATCH)
		return -EINVAL;
	if (cmd->cmd_op == KREPIS_IOC_WAIT)
		return count == 1 ? wait(cmd, arg, flags) : -EINVAL;
	if ((flags & IO_URING_F_NONBLOCK) && krepis_command_blocks(cmd->cmd_op))
		return -EAGAIN;
	return (int)batch(cmd, arg, count);
}
