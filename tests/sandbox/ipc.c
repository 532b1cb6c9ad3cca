// SPDX-License-Identifier: MIT
/*
 * System V IPC and POSIX message queues, which are found by keys and names: "sys ipc". To use
 * one that is there, the kernel refuses with EACCES; to make or control it, with EPERM.
 */
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include "fixture.h"

#define KEY	0x6b726570
#define QUEUE	"/krepis-sandbox"

FIXTURE(ipc)
{
	struct krepis_domain *all, *none;
	int shm, sem, msg;
	mqd_t queue;
};

FIXTURE_SETUP(ipc)
{
	ASSERT_EQ(0, tree_make("tmpfs"));
	mq_unlink(QUEUE);
	self->shm = shmget(KEY, PAGE, IPC_CREAT | 0600);
	self->sem = semget(KEY, 1, IPC_CREAT | 0600);
	self->msg = msgget(KEY, IPC_CREAT | 0600);
	self->queue = mq_open(QUEUE, O_RDWR | O_CREAT | O_NONBLOCK, 0600, NULL);
	ASSERT_LE(0, self->shm);
	ASSERT_LE(0, self->sem);
	ASSERT_LE(0, self->msg);
	ASSERT_LE(0, self->queue);
	self->none = domain("read", "write", "exec");
	self->all = domain("read", "write", "sys ipc");
}

FIXTURE_TEARDOWN(ipc)
{
	shmctl(self->shm, IPC_RMID, NULL);
	semctl(self->sem, 0, IPC_RMID);
	msgctl(self->msg, IPC_RMID, NULL);
	mq_unlink(QUEUE);
	tree_end();
}

#define needs_ipc(...) do {					\
	refused(EACCES, self->none, __VA_ARGS__);		\
	allowed(self->all, __VA_ARGS__);			\
} while (0)

static int attach_memory(int id, int flags)
{
	void *p = shmat(id, NULL, flags);

	return p == (void *)-1 ? -errno : 0;
}

TEST_F(ipc, shared_memory_needs_it)
{
	struct shmid_ds ds;

	needs_ipc(sys(shmget(KEY, PAGE, 0)));
	needs_ipc(attach_memory(self->shm, 0));
	needs_ipc(attach_memory(self->shm, SHM_RDONLY));
	needs_ipc(sys(shmctl(self->shm, IPC_STAT, &ds)));
	refused(EPERM, self->none, sys(shmctl(self->shm, IPC_RMID, NULL)));
	allowed(self->all, sys(shmctl(self->shm, IPC_RMID, NULL)));
}

TEST_F(ipc, semaphores_need_it)
{
	struct sembuf up = { .sem_op = 1 };

	needs_ipc(sys(semget(KEY, 1, 0)));
	needs_ipc(sys(semop(self->sem, &up, 1)));
	needs_ipc(sys(semctl(self->sem, 0, GETVAL)));
	refused(EPERM, self->none, sys(semctl(self->sem, 0, IPC_RMID)));
	allowed(self->all, sys(semctl(self->sem, 0, IPC_RMID)));
}

TEST_F(ipc, message_queues_need_it)
{
	struct { long type; char byte; } m = { 1, 'T' };

	needs_ipc(sys(msgget(KEY, 0)));
	needs_ipc(sys(msgsnd(self->msg, &m, 1, IPC_NOWAIT)));
	refused(EACCES, self->none, sys(msgrcv(self->msg, &m, 1, 0, IPC_NOWAIT)));
	allowed(self->all, sys(msgrcv(self->msg, &m, 1, 0, IPC_NOWAIT)));
	refused(EPERM, self->none, sys(msgctl(self->msg, IPC_RMID, NULL)));
	allowed(self->all, sys(msgctl(self->msg, IPC_RMID, NULL)));
}

/* IPC_PRIVATE gives a number that others can find. */
static int make_private(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);

	return id < 0 ? -errno : shmctl(id, IPC_RMID, NULL) ? -errno : 0;
}

TEST_F(ipc, a_private_segment_needs_it_too)
{
	refused(EPERM, self->none, make_private());
	allowed(self->all, make_private());
}

static int open_queue(const char *name, int flags)
{
	mqd_t q = mq_open(name, flags | O_NONBLOCK, 0600, NULL);

	return q < 0 ? -errno : mq_close(q);
}

TEST_F(ipc, a_message_queue_with_a_name_needs_it)
{
	struct krepis_domain *alone = domain("sys ipc");

	/* Whatever is allowed of files: its name is no path. */
	EXPECT_GT(0, in_domain(self->none, open_queue(QUEUE, O_RDONLY)));
	EXPECT_GT(0, in_domain(self->none, open_queue(QUEUE, O_RDWR)));
	EXPECT_GT(0, in_domain(self->none, open_queue(QUEUE "-new", O_RDWR | O_CREAT)));
	EXPECT_GT(0, in_domain(domain(NULL), open_queue(QUEUE, O_RDONLY)));
	allowed(alone, open_queue(QUEUE, O_RDONLY));
	allowed(alone, open_queue(QUEUE, O_RDWR));
	allowed(self->all, open_queue(QUEUE, O_RDWR));
	allowed(self->all, open_queue(QUEUE "-new", O_RDWR | O_CREAT));
	EXPECT_GT(0, in_domain(self->none, sys(mq_unlink(QUEUE "-new"))));
	allowed(self->all, sys(mq_unlink(QUEUE "-new")));
}

TEST_F(ipc, what_was_open_stays_usable)
{
	char *p = shmat(self->shm, NULL, 0), bytes[8192];

	ASSERT_NE((void *)-1, p);
	allowed(self->none, (p[0] = 'T', 0));
	EXPECT_EQ('T', p[0]);
	allowed(self->none, sys(mq_send(self->queue, "T", 1, 0)));
	allowed(self->none, sys(mq_receive(self->queue, bytes, sizeof(bytes), NULL)));
}

/* These are files. */
static int open_shared(const char *name, int flags)
{
	int fd = shm_open(name, flags, 0600);

	return fd < 0 ? -errno : close(fd);
}

TEST_F(ipc, posix_shared_memory_is_a_file)
{
	struct krepis_domain *d = domain("read,write /dev/shm");

	shm_unlink(QUEUE);
	refused(EACCES, domain("read,write " A, "sys ipc"), open_shared(QUEUE, O_RDWR | O_CREAT));
	allowed(d, open_shared(QUEUE, O_RDWR | O_CREAT));
	refused(EACCES, domain("read /dev/shm"), open_shared(QUEUE, O_RDWR));
	allowed(d, sys(shm_unlink(QUEUE)));
}

TEST_HARNESS_MAIN
