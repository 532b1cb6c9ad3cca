// SPDX-License-Identifier: MIT
/* Mapping files: to execute them, which goes without execve(2), and files in memory. */
#include <sys/mman.h>
#include <sys/personality.h>
#include "fixture.h"

#define RX	(PROT_READ | PROT_EXEC)

TEST_F(tree, to_map_executably_needs_read_or_exec)
{
	int fd = open(A "/p", O_RDONLY);

	refused(EACCES, domain(NULL), map(fd, RX));
	refused(EACCES, domain("write " A), map(fd, RX));
	refused(EACCES, domain("read,exec " X), map(fd, RX));
	allowed(domain("read " A), map(fd, RX));
	allowed(domain("exec " A), map(fd, RX));
	/* Without exec it is only a way to read what was opened to be read. */
	allowed(domain(NULL), map(fd, PROT_READ));
	allowed(domain(NULL), map(fd, PROT_READ | PROT_WRITE));
}

TEST_F(tree, what_is_denied_to_be_executed_is_not_mapped_executably)
{
	struct krepis_domain *d = domain("read,exec " A, "deny exec " A "/p");
	int fd = open(A "/p", O_RDONLY), other = open(A "/f", O_RDONLY);

	refused(EACCES, d, map(fd, RX));
	refused(EACCES, d, map(fd, PROT_EXEC));
	allowed(d, map(fd, PROT_READ));
	allowed(d, map(other, RX));
	refused(EACCES, domain("read " A, "deny exec"), map(other, RX));
}

static void *mapped(const char *path, int prot)
{
	int fd = open(path, O_RDONLY);
	void *p = mmap(NULL, PAGE, prot, MAP_PRIVATE, fd, 0);

	close(fd);
	return p;
}

TEST_F(tree, a_mapping_is_not_made_executable_later)
{
	struct krepis_domain *d = domain("read " A, "deny exec " A "/p");
	void *p = mapped(A "/p", PROT_READ), *f = mapped(A "/f", PROT_READ);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, f);
	refused(EACCES, d, sys(mprotect(p, PAGE, RX)));
	refused(EACCES, d, sys(pkey_mprotect(p, PAGE, RX, -1)));
	refused(EACCES, domain("write " A), sys(mprotect(p, PAGE, RX)));
	allowed(d, sys(mprotect(f, PAGE, RX)));
	allowed(d, sys(mprotect(p, PAGE, PROT_NONE)));
	allowed(d, sys(mprotect(p, PAGE, PROT_READ | PROT_WRITE)));
	allowed(domain("exec " A), sys(mprotect(p, PAGE, RX)));
}

static int touched_then_executable(void *p)
{
	if (mprotect(p, PAGE, PROT_READ | PROT_WRITE))
		return -errno;
	*(volatile char *)p = 1;
	return sys(mprotect(p, PAGE, RX));
}

TEST_F(tree, a_private_copy_of_a_page_is_still_of_its_file)
{
	void *p = mapped(A "/p", PROT_READ);

	ASSERT_NE(MAP_FAILED, p);
	refused(EACCES, domain("read " A, "deny exec " A "/p"), touched_then_executable(p));
	allowed(domain("read " A), touched_then_executable(p));
}

TEST_F(tree, memory_without_a_file_is_mapped_executably)
{
	struct krepis_domain *d = domain(NULL);
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	allowed(d, sys(mprotect(p, PAGE, RX)));
}

static int map_implied(int fd)
{
	if (personality(READ_IMPLIES_EXEC) < 0)
		return -errno;
	return map(fd, PROT_READ);
}

TEST_F(tree, where_read_implies_exec_to_map_is_to_execute)
{
	int fd = open(A "/p", O_RDONLY);

	refused(EACCES, domain("read " A, "deny exec " A), map_implied(fd));
	allowed(domain("read " A), map_implied(fd));
}

TEST_F(tree, a_file_may_be_mapped_to_be_written_as_it_was_opened)
{
	struct krepis_domain *d = domain(NULL);
	int fd = open(A "/f", O_RDWR), in = open(A "/f", O_RDONLY);
	void *p;

	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, in, 0);
	ASSERT_NE(MAP_FAILED, p);
	refused(EACCES, d, sys(mprotect(p, PAGE, PROT_READ | PROT_WRITE)));
	allowed(d, sys(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
}

/* -------------------------------------------------------------------- files in memory */

static int make_memory(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	return fd < 0 ? -errno : ftruncate(fd, PAGE) ? -errno : fd;
}

static int use_memory(void)
{
	int fd = make_memory();

	if (fd < 0)
		return fd;
	if (write(fd, "text", 4) != 4 || lseek(fd, 0, SEEK_SET))
		return -errno;
	return map(fd, PROT_READ | PROT_WRITE);
}

static int open_memory_again(int flags)
{
	int fd = make_memory();

	return fd < 0 ? fd : open_again(fd, flags);
}

TEST_F(tree, files_in_memory_are_free_to_be_read_and_written)
{
	struct krepis_domain *d = domain(NULL);

	allowed(d, use_memory());
	allowed(d, open_memory_again(O_RDWR));
	allowed(d, open_memory_again(O_RDONLY));
	allowed(d, open_memory_again(O_WRONLY | O_TRUNC));
}

static int execute_memory(void)
{
	int fd = make_memory();

	return fd < 0 ? fd : map(fd, RX);
}

TEST_F(tree, files_in_memory_are_mapped_executably_unless_that_is_denied)
{
	/* As memory without a file is. execve(2) of them is another thing. */
	allowed(domain(NULL), execute_memory());
	allowed(domain("exec"), execute_memory());
	/* To deny another file's is not to deny theirs. */
	allowed(domain("exec", "deny exec " A), execute_memory());
	refused(EACCES, domain("exec", "deny exec"), execute_memory());
}

static int share_memory(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

static int use_pipe(void)
{
	int fd[2];
	char byte;

	if (pipe(fd))
		return -errno;
	if (write(fd[1], "T", 1) != 1 || read(fd[0], &byte, 1) != 1)
		return -errno;
	return open_again(fd[0], O_RDONLY);
}

TEST_F(tree, pipes_and_shared_memory_without_names_are_free)
{
	struct krepis_domain *d = domain(NULL);

	allowed(d, share_memory());
	allowed(d, use_pipe());
}

TEST_HARNESS_MAIN
