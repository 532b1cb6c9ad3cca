// SPDX-License-Identifier: MIT
/*
 * The keeper: a thread that does nothing but die with its process.
 *
 * The kernel walks a dying thread's robust futex list (set_robust_list(2)): each
 * listed word that holds the thread's id gets FUTEX_OWNER_DIED, and one sleeper on
 * it is woken. That delivers a process's death to its peers at once, whatever
 * instruction it died at, across PID namespaces, and without anybody polling.
 *
 * The C library has such a list for each thread, but its nodes lie inside the
 * mutexes: in shared memory a peer could forge the pointers. So the keeper has a
 * list of its own. The nodes are private; the kernel finds the word of a node at
 * one constant distance for the whole list, which is why every page of links is
 * mapped right behind a private page (backend_shm.c):
 *
 *	| private page: nodes | shared page: links |
 *	      node i  ----- page_size ---->  link[i].word
 *
 * A link is written by the keeper itself, not by the thread that attaches: when
 * a process is killed its threads stop in any order, and a thread that outlived
 * the keeper by an instant would leave a link that nobody marks.
 *
 * The kernel looks at 2048 nodes at most (ROBUST_LIST_LIMIT), so there is one
 * keeper for every NODES_MAX links. It stops at a word that it cannot read: a
 * file that somebody truncates must not silence others, so what is not sealed has a
 * keeper of its own.
 */
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

#define NODES_MAX 1984

struct keeper {
	struct robust_list_head head;
	struct keeper *next;
	pthread_t thread;
	pthread_cond_t changed;
	unsigned int nodes;
	bool shared;
	uint32_t word;			/* what an armed link holds; 0: not started */
	bool stop;
	struct krepis_link *links;	/* request: arm @count links from here */
	unsigned int count;
};

static pthread_mutex_t keeper_lock = PTHREAD_MUTEX_INITIALIZER;
static struct keeper *keepers;

static struct robust_list *node_of(struct krepis_link *link, size_t page_size)
{
	return (struct robust_list *)((char *)link - page_size);
}

static void *keeper_main(void *arg)
{
	struct keeper *k = arg;
	unsigned int i;

	if (syscall(SYS_set_robust_list, &k->head, sizeof(k->head)))
		k->stop = true;
	pthread_mutex_lock(&keeper_lock);
	k->word = (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS;
	pthread_cond_broadcast(&k->changed);
	while (!k->stop) {
		for (i = 0; i < k->count; i++)
			krepis_store_release(&k->links[i].word, k->word);
		if (k->count) {
			k->count = 0;
			pthread_cond_broadcast(&k->changed);
		}
		pthread_cond_wait(&k->changed, &keeper_lock);
	}
	pthread_mutex_unlock(&keeper_lock);
	return NULL;
}

/* In a forked child there is no keeper, and its parent's are none of its business. */
static void keeper_forked(void)
{
	while (keepers) {
		struct keeper *k = keepers;

		keepers = k->next;
		free(k);
	}
	pthread_mutex_unlock(&keeper_lock);
}

static void keeper_prepare(void)
{
	pthread_mutex_lock(&keeper_lock);
}

static void keeper_parent(void)
{
	pthread_mutex_unlock(&keeper_lock);
}

static void keeper_once(void)
{
	pthread_atfork(keeper_prepare, keeper_parent, keeper_forked);
}

/* Starts a keeper. Called with keeper_lock, which is dropped while it starts. */
static int keeper_start(size_t page_size, bool shared, struct keeper **out)
{
	struct keeper *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->shared = shared;
	k->head.list.next = &k->head.list;
	k->head.futex_offset = (long)page_size;
	pthread_cond_init(&k->changed, NULL);
	err = krepis_thread_start(&k->thread, keeper_main, k);
	if (err)
		goto err_free;
	while (!k->word)
		pthread_cond_wait(&k->changed, &keeper_lock);
	if (k->stop) {
		pthread_mutex_unlock(&keeper_lock);
		pthread_join(k->thread, NULL);
		pthread_mutex_lock(&keeper_lock);
		err = -ENOSYS;
		goto err_free;
	}
	k->next = keepers;
	keepers = k;
	*out = k;
	return 0;

err_free:
	pthread_cond_destroy(&k->changed);
	free(k);
	return err;
}

/* Whether @k can serve @count more links. */
static bool keeper_fits(const struct keeper *k, unsigned int count, size_t page_size, bool shared)
{
	return k->shared && shared && k->nodes + count <= NODES_MAX &&
	       k->head.futex_offset == (long)page_size;
}

int krepis_keeper_arm(struct krepis_link *links, unsigned int count, size_t page_size,
		      bool shared, struct keeper **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct keeper *k;
	unsigned int i;
	int err = 0;

	pthread_once(&once, keeper_once);
	pthread_mutex_lock(&keeper_lock);
	for (k = keepers; k && !keeper_fits(k, count, page_size, shared); k = k->next)
		;
	if (!k)
		err = keeper_start(page_size, shared, &k);
	if (err)
		goto out_unlock;
	/* Each store leaves a list that the kernel can walk: the process may die here. */
	for (i = 0; i < count; i++) {
		struct robust_list *node = node_of(&links[i], page_size);

		node->next = k->head.list.next;
		krepis_store_release(&k->head.list.next, node);
	}
	k->nodes += count;
	while (k->count)	/* another thread's request */
		pthread_cond_wait(&k->changed, &keeper_lock);
	k->links = links;
	k->count = count;
	pthread_cond_broadcast(&k->changed);
	while (k->links == links && k->count)
		pthread_cond_wait(&k->changed, &keeper_lock);
	*out = k;
out_unlock:
	pthread_mutex_unlock(&keeper_lock);
	return err;
}

static void keeper_stop(struct keeper *k)
{
	struct keeper **p;

	for (p = &keepers; *p != k; p = &(*p)->next)
		;
	*p = k->next;
	k->stop = true;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&keeper_lock);
	pthread_join(k->thread, NULL);
	pthread_mutex_lock(&keeper_lock);
	pthread_cond_destroy(&k->changed);
	free(k);
}

void krepis_keeper_disarm(struct keeper *k, struct krepis_link *links, unsigned int count,
			  size_t page_size)
{
	struct robust_list **p;
	unsigned int i;

	pthread_mutex_lock(&keeper_lock);
	/*
	 * First the words. Killed between a word and its wake-up, the process leaves
	 * a pending node with a word of 0, and then the kernel wakes for us.
	 */
	for (i = 0; i < count; i++) {
		krepis_store_release(&k->head.list_op_pending, node_of(&links[i], page_size));
		krepis_barrier();
		krepis_store_release(&links[i].word, 0);
		krepis_futex_wake(&links[i].word);
	}
	krepis_store_release(&k->head.list_op_pending, NULL);
	/* The nodes of one endpoint stand together, in reverse. */
	for (p = &k->head.list.next; *p != node_of(&links[count - 1], page_size); p = &(*p)->next)
		;
	krepis_store_release(p, node_of(&links[0], page_size)->next);
	k->nodes -= count;
	if (!k->nodes)
		keeper_stop(k);
	pthread_mutex_unlock(&keeper_lock);
}
