// SPDX-License-Identifier: MIT
/*
 * A sentence is of one file, not of its number: when the file is gone and a new one gets
 * the number, it does not get the rights. Nor are two file systems' numbers mixed up.
 */
#include <sys/mount.h>
#include "fixture.h"

FIXTURE(numbers)
{
};

FIXTURE_VARIANT(numbers)
{
	const char *type;
	bool again;		/* whether it gives a number to another file */
};

FIXTURE_VARIANT_ADD(numbers, ext4) { .type = "ext4", .again = true };
FIXTURE_VARIANT_ADD(numbers, tmpfs) { .type = "tmpfs", .again = false };

FIXTURE_SETUP(numbers)
{
	ASSERT_EQ(0, tree_make(variant->type));
}

FIXTURE_TEARDOWN(numbers)
{
	tree_end();
}

static ino_t number(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

/* Makes files in X until one has the number @ino. Return: whether there is one, at @path. */
static bool get_number(ino_t ino, char *path, size_t size, bool dirs)
{
	int i;

	for (i = 0; i < 50; i++) {
		snprintf(path, size, X "/n%d", i);
		if (dirs ? mkdir(path, 0755) : put_file(path, "text"))
			return false;
		if (number(path) == ino)
			return true;
	}
	return false;
}

TEST_F(numbers, a_file_with_the_number_of_a_deleted_one_has_not_its_rights)
{
	struct krepis_domain *d = domain("read " A "/f", "write " A "/f");
	ino_t ino = number(A "/f");
	char path[64];

	allowed(d, open_file(A "/f", O_RDWR));
	ASSERT_EQ(0, unlink(A "/f"));
	ASSERT_EQ(variant->again, get_number(ino, path, sizeof(path), false));
	refused(EACCES, d, read_file(path));
	refused(EACCES, d, write_file(path));
	allowed(domain("read " X), read_file(path));
}

TEST_F(numbers, a_directory_with_the_number_of_a_deleted_one_has_not_its_rights)
{
	struct krepis_domain *d = domain("read,write " EMPTY);
	ino_t ino = number(EMPTY);
	char path[80];

	allowed(d, list(EMPTY));
	ASSERT_EQ(0, rmdir(EMPTY));
	ASSERT_EQ(variant->again, get_number(ino, path, sizeof(path) - 8, true));
	refused(EACCES, d, list(path));
	strcat(path, "/new");
	refused(EACCES, d, create(path));
}

TEST_F(numbers, a_file_with_the_number_of_a_denied_one_is_not_denied)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " A "/f");
	ino_t ino = number(A "/f");
	char path[64];

	refused(EACCES, d, read_file(A "/f"));
	ASSERT_EQ(0, unlink(A "/f"));
	ASSERT_EQ(variant->again, get_number(ino, path, sizeof(path), false));
	allowed(d, read_file(path));
}

TEST_F(numbers, a_deleted_file_that_is_open_keeps_its_rights)
{
	struct krepis_domain *d = domain("read " A "/f");
	int fd = open(A "/f", O_PATH);

	ASSERT_EQ(0, unlink(A "/f"));
	allowed(d, open_again(fd, O_RDONLY));
	refused(EACCES, d, open_again(fd, O_WRONLY));
}

TEST_F(numbers, the_same_number_in_another_file_system_is_another_file)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, strcmp(variant->type, "ext4") ? mount("none", EMPTY, "tmpfs", 0, NULL) :
		     mount_ext4(EMPTY));
	ASSERT_EQ(0, tree_fill(EMPTY));
	/* Filled alike, they are numbered alike. */
	ASSERT_EQ(number(A "/f"), number(EMPTY "/a/f"));
	d = domain("read " A);
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(EMPTY "/a/f"));
	ASSERT_EQ(0, umount2(EMPTY, MNT_DETACH));
}

TEST_F(numbers, a_file_system_that_is_mounted_anew_is_another_one)
{
	struct krepis_domain *d;

	if (strcmp(variant->type, "tmpfs"))
		return;
	ASSERT_EQ(0, mount("none", EMPTY, "tmpfs", 0, NULL));
	ASSERT_EQ(0, tree_fill(EMPTY));
	d = domain("read " EMPTY "/a", "read " EMPTY "/x/f");
	allowed(d, read_file(EMPTY "/a/f"));
	ASSERT_EQ(0, umount2(EMPTY, 0));
	ASSERT_EQ(0, mount("none", EMPTY, "tmpfs", 0, NULL));
	ASSERT_EQ(0, tree_fill(EMPTY));
	refused(EACCES, d, read_file(EMPTY "/a/f"));
	refused(EACCES, d, read_file(EMPTY "/x/f"));
	ASSERT_EQ(0, umount2(EMPTY, 0));
}

TEST_HARNESS_MAIN
