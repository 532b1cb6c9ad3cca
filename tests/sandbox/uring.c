// SPDX-License-Identifier: MIT
/* What io_uring does for somebody is restricted as if he did it himself. */
#include <liburing.h>
#include <sys/mount.h>
#include "fixture.h"

/* By the thread that submits, or by one of io_uring's. */
FIXTURE(uring)
{
};

FIXTURE_VARIANT(uring)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(uring, here) { .flags = 0 };
FIXTURE_VARIANT_ADD(uring, elsewhere) { .flags = IOSQE_ASYNC };

FIXTURE_SETUP(uring)
{
	ASSERT_EQ(0, tree_make("tmpfs"));
}

FIXTURE_TEARDOWN(uring)
{
	tree_end();
}

/* Does what stands in the queue. */
static int submit(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int err = io_uring_submit(ring);

	if (err != 1)
		return err < 0 ? err : -EIO;
	err = io_uring_wait_cqe(ring, &cqe);
	if (err)
		return err;
	err = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return err;
}

#define queued(sqe_flags, setup_flags, prepare, ...) __extension__ ({		\
	struct io_uring _ring;							\
	struct io_uring_sqe *_sqe;						\
	int _err = io_uring_queue_init(4, &_ring, setup_flags);			\
										\
	if (!_err) {								\
		_sqe = io_uring_get_sqe(&_ring);				\
		prepare(_sqe, ##__VA_ARGS__);					\
		_sqe->flags |= sqe_flags;					\
		_err = submit(&_ring);						\
	}									\
	_err;									\
})

#define by_ring(prepare, ...) queued(variant->flags, 0, prepare, ##__VA_ARGS__)

TEST_F(uring, opens_as_the_system_call)
{
	struct krepis_domain *d = domain("read " A);
	struct open_how how = { .flags = O_RDONLY };

	allowed(d, by_ring(io_uring_prep_openat, AT_FDCWD, A "/f", O_RDONLY, 0));
	refused(EACCES, d, by_ring(io_uring_prep_openat, AT_FDCWD, A "/f", O_WRONLY, 0));
	refused(EACCES, d, by_ring(io_uring_prep_openat, AT_FDCWD, X "/f", O_RDONLY, 0));
	refused(EACCES, d, by_ring(io_uring_prep_openat, AT_FDCWD, A "/n", O_WRONLY | O_CREAT,
				   0600));
	EXPECT_FALSE(exists(A "/n"));
	allowed(d, by_ring(io_uring_prep_openat2, AT_FDCWD, A "/f", &how));
	refused(EACCES, d, by_ring(io_uring_prep_openat2, AT_FDCWD, X "/f", &how));
}

TEST_F(uring, removes_as_the_system_call)
{
	struct krepis_domain *d = domain("write " A);

	refused(EACCES, d, by_ring(io_uring_prep_unlinkat, AT_FDCWD, X "/f", 0));
	refused(EACCES, d, by_ring(io_uring_prep_unlinkat, AT_FDCWD, EMPTY, AT_REMOVEDIR));
	EXPECT_TRUE(exists(X "/f"));
	EXPECT_TRUE(exists(EMPTY));
	allowed(d, by_ring(io_uring_prep_unlinkat, AT_FDCWD, A "/f", 0));
	EXPECT_FALSE(exists(A "/f"));
}

TEST_F(uring, renames_as_the_system_call)
{
	struct krepis_domain *d = domain("write " A, "read " AB);

	refused(EACCES, d, by_ring(io_uring_prep_renameat, AT_FDCWD, A "/f", AT_FDCWD, X "/g", 0));
	refused(EXDEV, d, by_ring(io_uring_prep_renameat, AT_FDCWD, A "/f", AT_FDCWD, AB "/g", 0));
	EXPECT_TRUE(exists(A "/f"));
	allowed(d, by_ring(io_uring_prep_renameat, AT_FDCWD, A "/f", AT_FDCWD, A "/g", 0));
	EXPECT_TRUE(exists(A "/g"));
}

TEST_F(uring, creates_as_the_system_call)
{
	struct krepis_domain *d = domain("write " A);

	refused(EACCES, d, by_ring(io_uring_prep_mkdirat, AT_FDCWD, X "/d", 0755));
	allowed(d, by_ring(io_uring_prep_mkdirat, AT_FDCWD, A "/d", 0755));
	refused(EACCES, d, by_ring(io_uring_prep_symlinkat, "f", AT_FDCWD, X "/s"));
	allowed(d, by_ring(io_uring_prep_symlinkat, "f", AT_FDCWD, A "/s"));
	refused(EACCES, d, by_ring(io_uring_prep_linkat, AT_FDCWD, A "/f", AT_FDCWD, X "/g", 0));
	refused(EXDEV, d, by_ring(io_uring_prep_linkat, AT_FDCWD, X "/f", AT_FDCWD, A "/g", 0));
	allowed(d, by_ring(io_uring_prep_linkat, AT_FDCWD, A "/f", AT_FDCWD, A "/g", 0));
	EXPECT_FALSE(exists(X "/d"));
	EXPECT_FALSE(exists(X "/s"));
	EXPECT_FALSE(exists(X "/g"));
}

TEST_F(uring, sets_attributes_as_the_system_call)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, mount_ext4(EMPTY));
	ASSERT_EQ(0, tree_fill(EMPTY));
	d = domain("write " EMPTY "/a", "read " EMPTY "/x");
	refused(EACCES, d, by_ring(io_uring_prep_setxattr, "user.k", "v", EMPTY "/x/f", 0, 1));
	allowed(d, by_ring(io_uring_prep_setxattr, "user.k", "v", EMPTY "/a/f", 0, 1));
	ASSERT_EQ(0, umount2(EMPTY, MNT_DETACH));
}

static void prepare_nothing(struct io_uring_sqe *sqe)
{
	io_uring_prep_nop(sqe);
}

TEST_F(uring, a_thread_that_polls_is_restricted_or_refused)
{
	struct krepis_domain *d = domain("read " A);
	int nop = in_domain(d, queued(0, IORING_SETUP_SQPOLL, prepare_nothing));

	EXPECT_TRUE(!nop || nop == -EPERM || nop == -EACCES)
		TH_LOG("%d", nop);
	EXPECT_GT(0, in_domain(d, queued(variant->flags, IORING_SETUP_SQPOLL, io_uring_prep_openat,
					 AT_FDCWD, X "/f", O_RDONLY, 0)));
	allowed(NULL, queued(variant->flags, IORING_SETUP_SQPOLL, io_uring_prep_openat,
			     AT_FDCWD, X "/f", O_RDONLY, 0));
}

static int inherited(struct io_uring *ring, unsigned int flags, int personality, const char *path)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY, 0);
	sqe->flags |= flags;
	sqe->personality = personality;
	return submit(ring);
}

/* As inherited(), of a ring that the process made before it entered. */
static int own(struct krepis_domain *d, unsigned int setup, unsigned int flags, bool personality,
	       const char *path)
{
	struct io_uring ring;
	int id = 0;

	if (io_uring_queue_init(4, &ring, setup))
		return TRIAL_DIED;
	if (personality)
		id = io_uring_register_personality(&ring);
	if (id < 0)
		return TRIAL_DIED;
	enter(d);
	return inherited(&ring, flags, id, path);
}

TEST_F(uring, a_ring_that_was_inherited_gives_nothing)
{
	struct krepis_domain *d = domain("read " A);
	struct io_uring ring;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	allowed(d, inherited(&ring, variant->flags, 0, A "/f"));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	refused(EACCES, d, inherited(&ring, variant->flags, 0, X "/f"));
	io_uring_queue_exit(&ring);
}

TEST_F(uring, credentials_that_were_registered_outside_give_nothing)
{
	struct krepis_domain *d = domain("read " A);
	struct io_uring ring;
	int id;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	id = io_uring_register_personality(&ring);
	ASSERT_LT(0, id);
	EXPECT_GT(0, in_domain(d, inherited(&ring, variant->flags, id, X "/f")));
	io_uring_queue_exit(&ring);
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	id = io_uring_register_personality(&ring);
	allowed(NULL, inherited(&ring, variant->flags, id, X "/f"));
	io_uring_queue_exit(&ring);
}

TEST_F(uring, a_ring_made_before_the_domain_was_entered_gives_nothing)
{
	struct krepis_domain *d = domain("read " A);

	allowed(NULL, own(d, 0, variant->flags, false, A "/f"));
	refused(EACCES, NULL, own(d, 0, variant->flags, false, X "/f"));
	EXPECT_GT(0, in_domain(NULL, own(d, 0, variant->flags, true, X "/f")));
	EXPECT_GT(0, in_domain(NULL, own(d, IORING_SETUP_SQPOLL, variant->flags, false, X "/f")));
}

TEST_HARNESS_MAIN
