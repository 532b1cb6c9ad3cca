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
	const u32 *word;
	u32 value;
	int result;
};

/* What the command carries until it is completed. */
static struct pending **pending_of(struct io_uring_cmd *cmd)
{
	BUILD_BUG_ON(sizeof(struct pending *) > sizeof(cmd->pdu));
	return (struct pending **)cmd->pdu;
}

static struct krepis_endpoint *endpoint_of(const struct io_uring_cmd *cmd)
{
	return ((struct krepis_view *)cmd->file->private_data)->endpoint;
}

/* Until it is done a cancel may still look at the command, and so at @p. */
static void finish(struct io_uring_cmd *cmd, unsigned int flags)
{
	struct pending *p = *pending_of(cmd);

	trace_krepis_wait(endpoint_of(cmd), p->result);
	io_uring_cmd_done(cmd, p->result, 0, flags);
	kfree(p);
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

/*
 * The ring goes, or its owner. If the command is not in the queue somebody else
 * completes it, or it is only about to go there and this is called again. Not
 * completed here: this may be a worker, and a ring may have chosen that only its
 * own task completes.
 */
static int cancel(struct io_uring_cmd *cmd)
{
	wait_queue_head_t *queue = &krepis_slot_of(endpoint_of(cmd))->wait;
	struct pending *p = *pending_of(cmd);
	bool ours;

	spin_lock_irq(&queue->lock);
	ours = !list_empty(&p->entry.entry);
	list_del_init(&p->entry.entry);
	spin_unlock_irq(&queue->lock);
	if (ours) {
		p->result = -ECANCELED;
		io_uring_cmd_complete_in_task(cmd, finish);
	}
	return 0;
}

static int wait(struct io_uring_cmd *cmd, void __user *arg, unsigned int flags)
{
	struct krepis_wait_args args;
	wait_queue_head_t *queue;
	struct pending *p;
	bool over;
	u32 *word;

	if (cmd->file->f_op != &krepis_endpoint_fops)
		return -ENOTTY;
	word = krepis_wait_args(cmd->file, arg, &args);
	if (IS_ERR(word))
		return (int)PTR_ERR(word);
	if (args.deadline_ns != S64_MAX)
		return -EINVAL;
	if (!KREPIS_URING_CANCELS)
		return -EOPNOTSUPP;
	p = kzalloc(sizeof(*p), KREPIS_GFP);
	if (!p)
		return -ENOMEM;
	*pending_of(cmd) = p;
	p->cmd = cmd;
	p->word = word;
	p->value = args.value;
	init_waitqueue_func_entry(&p->entry, wake);
	INIT_LIST_HEAD(&p->entry.entry);
	queue = &krepis_slot_of(endpoint_of(cmd))->wait;
	io_uring_cmd_mark_cancelable(cmd, flags);
	/* Once it is in the queue and the lock is free, @p belongs to whom it meets first. */
	spin_lock_irq(&queue->lock);
	__add_wait_queue(queue, &p->entry);
	/* Pairs with krepis_event(): its word is seen here, or the entry there. */
	smp_mb();
	over = READ_ONCE(*word) != args.value;
	if (over)
		list_del_init(&p->entry.entry);
	spin_unlock_irq(&queue->lock);
	if (over)
		finish(cmd, flags);
	return -EIOCBQUEUED;
}

int krepis_uring(struct io_uring_cmd *cmd, unsigned int flags)
{
	const struct krepis_uring *area;
	void __user *arg;
	u32 count;
	long ret;

	/* Before all else: the submission may be gone. */
	if (flags & IO_URING_F_CANCEL)
		return cancel(cmd);
	area = krepis_uring_area(cmd);
	arg = u64_to_user_ptr(READ_ONCE(area->args));
	count = READ_ONCE(area->count);
	if (READ_ONCE(area->reserved) || !count || count > KREPIS_MAX_BATCH)
		return -EINVAL;
	/* Of many descriptors only a number would be told. */
	if (count > 1 && krepis_command_blocks(cmd->cmd_op))
		return -EINVAL;
	if (cmd->cmd_op == KREPIS_IOC_WAIT)
		return wait(cmd, arg, flags);
	if ((flags & IO_URING_F_NONBLOCK) && krepis_command_blocks(cmd->cmd_op))
		return -EAGAIN;
	if (krepis_command_blocks(cmd->cmd_op))
		ret = krepis_command(cmd->file, cmd->cmd_op, arg);
	else
		ret = krepis_commands(cmd->file, cmd->cmd_op, arg, count);
	if (ret <= 0)
		return (int)ret;
	/* By ourselves: before Linux 6.11 a worker would lose a result above 0. */
	io_uring_cmd_done(cmd, ret, 0, flags);
	return -EIOCBQUEUED;
}
