/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module's files share. One file a noun:
 *
 *	main.c		load and unload
 *	fs.c		the file system: names, limits, inodes
 *	channel.c	a channel's pages
 *	endpoint.c	who is attached: attach, derive, death
 *	map.c		which region an endpoint may map, and how; who has which pages
 *	wait.c		events, sleepers, poll
 *	handoff.c	change of owner on behalf of an endpoint
 *	abi.c		arguments: the commands of ioctl(2)
 *	uring.c		the same commands through io_uring
 *
 * An inode of a regular file may become a channel, once (SETUP). Its pages live in
 * the inode's page cache, because futex(2) names a shared word by inode and
 * offset; they are dirty and unevictable, so nothing takes them away. The kernel
 * sees the control regions, from info to the descriptors, through one vmap.
 *
 * An endpoint is a slot of a channel. Each of its descriptors is a file of the
 * channel's inode with its own rights (struct krepis_view), and a mapping holds a
 * file. So the last fput() of an endpoint's files is the moment when nobody can
 * touch the slot's pages any more: there it is swept, whether its processes
 * went in order or were killed. (But for what the kernel itself does on behalf of
 * a process with pages that it pinned before: registered io_uring buffers, a read
 * with O_DIRECT in flight. In a cooperative channel that is the peers' own risk.)
 *
 * What is in the pages was written by strangers: read once, checked, never trusted.
 *
 * Locks, outermost first:
 *	inode lock		SETUP against SETUP
 *	krepis_channel.lock	who is attached; attach, detach, sweep
 *	krepis_endpoint.pages	who has which buffer, against faults
 *	krepis_channel.owners	change of owner by command; a spinlock, nothing inside
 *	krepis_super.lock	what a mount may use; a spinlock, nothing inside
 *
 * A fault takes krepis_endpoint.pages inside the mmap lock, and while it is held
 * page tables are allocated: nobody takes the mmap lock, or waits, inside.
 */
#ifndef _KREPIS_INTERNAL_H
#define _KREPIS_INTERNAL_H

#include "compat.h"
#include <linux/poll.h>
#include <linux/wait.h>
#include <krepis/geometry.h>
#include <krepis/ownership.h>
#include <krepis/ring.h>
#include <krepis/triple.h>

/* Charged to the caller, and refused rather than that somebody is killed for it. */
#define KREPIS_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/**
 * struct krepis_super - a mount's limits; sb->s_fs_info
 * @lock:	protects the four numbers
 * @pages:	in use by channels
 * @inodes:	in use, the root among them
 * @uid:	of the root directory, with @gid and @mode; immutable
 */
struct krepis_super {
	spinlock_t lock;
	unsigned long max_pages;
	unsigned long pages;
	unsigned long max_inodes;
	unsigned long inodes;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
};

/**
 * struct krepis_slot - a place for an endpoint
 * @wait:	who sleeps for its events, and polls
 * @endpoint:	who has it, or NULL; under krepis_channel.lock, read without for a hint
 */
struct krepis_slot {
	wait_queue_head_t wait;
	struct krepis_endpoint *endpoint;
};

/**
 * struct krepis_channel - a channel; lives as long as its inode
 * @lock:	protects the endpoints and everything that tells of them
 * @owners:	RELEASE against RELEASE; enforced: whatever changes an owner by command, and
 *		who comes to be one
 * @geometry:	immutable, as all up to @slot but for @arrivals and @held
 * @control:	the regions before the ring
 * @pages:	of memory
 * @user:	whose locked memory they count as, or NULL
 * @arrivals:	producers that ever attached, then consumers; under @lock, read without
 * @held:	enforced triple: the buffers of the producer and of the consumer, or
 *		KREPIS_TRIPLE_BUFFERS while it changes
 * @slot:	slot[0] is the producer's, slot[1 + i] consumer i's
 */
struct krepis_channel {
	struct inode *inode;
	struct mutex lock;
	spinlock_t owners;
	struct krepis_geometry geometry;
	struct krepis_layout layout;
	void *control;
	struct krepis_info *info;
	struct krepis_producer *producer;
	struct krepis_exchange *exchange;
	struct krepis_desc *desc;
	unsigned long pages;
	struct user_struct *user;
	u32 slots;
	u32 arrivals[2];
	u32 held[2];
	struct krepis_slot slot[];
};

/**
 * struct krepis_inode - a file that may be a channel
 * @channel:	NULL until SETUP; set once, by a release store
 */
struct krepis_inode {
	struct krepis_channel *channel;
	struct inode vfs;
};

/**
 * struct krepis_endpoint - who is attached to a slot
 * @views:	its files
 * @number:	of the slot
 * @bit:	consumer: 1 << its number
 * @had_peer:	somebody was at the other side when this one came
 * @peers:	how many had ever been there
 * @orderly:	DETACH was called: it does not count as a death
 * @stopped:	its own side has shut down: who polls shall look
 * @pages:	held by a fault that looks who has a buffer and maps it, and by who takes one
 *		away. This and the next are only there if krepis_gives_pages()
 * @mapping:	where its mappings of buffers hang
 */
struct krepis_endpoint {
	struct krepis_channel *channel;
	refcount_t views;
	u32 role;
	u32 number;
	u32 bit;
	u32 peers;
	bool had_peer;
	bool orderly;
	bool stopped;
	struct mutex pages;
	struct address_space mapping;
};

/**
 * struct krepis_view - one descriptor of an endpoint; file->private_data
 * @rights:	KREPIS_RIGHT_*; only ever loses bits
 */
struct krepis_view {
	struct krepis_endpoint *endpoint;
	u32 rights;
};

static inline struct krepis_inode *krepis_inode(struct inode *inode)
{
	return container_of(inode, struct krepis_inode, vfs);
}

/*
 * Whether @dentry is that of an endpoint's file: below a dentry of the same inode. With it,
 * opened anew through /proc or linked to a name, an endpoint of few rights would become
 * the whole channel.
 */
static inline bool krepis_is_endpoint(const struct dentry *dentry)
{
	bool is;

	rcu_read_lock();	/* a rename may take the parent away meanwhile */
	is = d_inode_rcu(READ_ONCE(dentry->d_parent)) == d_inode(dentry);
	rcu_read_unlock();
	return is;
}

/* The channel of a file of either kind, or NULL. */
static inline struct krepis_channel *krepis_channel_of(struct inode *inode)
{
	/* Pairs with make_channel(): it is whole. */
	return smp_load_acquire(&krepis_inode(inode)->channel);
}

static inline struct krepis_consumer *krepis_consumer_page(const struct krepis_channel *ch,
							   unsigned int i)
{
	return krepis_consumer_at(ch->control + ch->layout.consumers, ch->geometry.page_size, i);
}

static inline bool krepis_is_producer(const struct krepis_endpoint *ep)
{
	return ep->role == KREPIS_PRODUCER;
}

static inline bool krepis_enforced(const struct krepis_channel *ch)
{
	return ch->geometry.flags & KREPIS_F_ENFORCED;
}

/* Whether the kernel takes pages away from @ep, and gives them back. */
static inline bool krepis_gives_pages(const struct krepis_endpoint *ep)
{
	return krepis_enforced(ep->channel) &&
	       (krepis_is_producer(ep) || (ep->channel->geometry.flags & KREPIS_F_EXCLUSIVE));
}

/* Enforced triple: which buffer @ep has, see krepis_channel.held. */
static inline u32 *krepis_held(const struct krepis_endpoint *ep)
{
	return &ep->channel->held[!krepis_is_producer(ep)];
}

static inline struct krepis_slot *krepis_slot_of(const struct krepis_endpoint *ep)
{
	return &ep->channel->slot[ep->number];
}

/* Whether a descriptor has all of @rights. */
static inline bool krepis_may(const struct krepis_view *view, u32 rights)
{
	return (READ_ONCE(view->rights) & rights) == rights;
}

/* fs.c */
int krepis_fs_init(void);
void krepis_fs_exit(void);
int krepis_super_charge(struct super_block *sb, unsigned long pages);
void krepis_super_uncharge(struct super_block *sb, unsigned long pages);

/* channel.c */
extern const struct address_space_operations krepis_aops;
int krepis_channel_setup(struct inode *inode, const struct krepis_geometry *geometry);
void krepis_channel_destroy(struct inode *inode);

/* endpoint.c */
extern const struct file_operations krepis_channel_fops;
extern const struct file_operations krepis_endpoint_fops;
int krepis_attach(struct file *file, u32 role, u32 rights);
int krepis_derive(struct file *file, u32 rights);
void krepis_query(struct file *file, struct krepis_info_query *query);
struct file *krepis_buffers_file(struct file *file);

/* map.c */
int krepis_mmap(struct file *file, struct vm_area_struct *vma);
void krepis_take_pages(struct krepis_endpoint *ep, u32 index);

/* wait.c */
void krepis_event(struct krepis_channel *ch, unsigned int slot);
void krepis_event_all(struct krepis_channel *ch);
int krepis_wake(struct krepis_endpoint *ep, u32 consumers);
u32 krepis_sleepers(struct krepis_channel *ch);
int krepis_wait(struct krepis_endpoint *ep, u32 *word, u32 value, s64 deadline_ns);
u32 *krepis_word(struct krepis_channel *ch, u64 at);
__poll_t krepis_poll(struct file *file, struct poll_table_struct *pt);

/* handoff.c */
int krepis_handoff(struct krepis_endpoint *ep, const struct krepis_handoff *what);
int krepis_release(struct krepis_endpoint *ep, struct krepis_handle handle);
int krepis_take(struct krepis_endpoint *ep, struct krepis_handle handle);
int krepis_evict(struct krepis_endpoint *ep, struct krepis_handle handle);

/* abi.c */
long krepis_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long krepis_command(struct file *file, unsigned int cmd, void __user *arg);
long krepis_commands(struct file *file, unsigned int cmd, void __user *arg, u32 count);
bool krepis_command_blocks(unsigned int cmd);
u32 *krepis_wait_args(struct file *file, const void __user *arg, struct krepis_wait_args *args);

/* uring.c */
int krepis_uring(struct io_uring_cmd *cmd, unsigned int flags);

#endif /* _KREPIS_INTERNAL_H */
