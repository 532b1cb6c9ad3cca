// SPDX-License-Identifier: MIT
/*
 * UNIX sockets: whom a domain may talk to, by paths and by abstract names, and who it may
 * be. What is handed over a socket that is there, is for those to decide who have it.
 */
#include <kselftest_harness.h>
#include <sys/mount.h>
#include "net.h"
#include <sys/un.h>
#include "ring.h"

#define DIR_A	TOP "/a"
#define DIR_X	TOP "/x"

/* Where somebody listens: by a stream, by messages in order, and by messages. */
static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

#define TYPES	3

FIXTURE(un)
{
	int server[2][TYPES];
	int abstract[2][TYPES];
};

/* The address of a path, or of a name after an @. */
static socklen_t address_un(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un) { .sun_family = AF_UNIX };
	memcpy(a->sun_path, name, strlen(name));
	if (*name == '@')
		a->sun_path[0] = '\0';
	return offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
}

static int serve(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_un(&a, name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (bind(fd, (void *)&a, len) || (type != SOCK_DGRAM && listen(fd, 100)))
		return -errno;
	return fd;
}

static int talk(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_un(&a, name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -ENOTUNIQ;
	err = sys(connect(fd, (void *)&a, len));
	close(fd);
	return err;
}

static int send_to(const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_un(&a, name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = sys(sendto(fd, "x", 1, MSG_DONTWAIT, (void *)&a, len));

	close(fd);
	return err;
}

static const char *socket_at(const char *dir, int type)
{
	static char path[4][64];
	static int turn;
	char *to = path[turn++ % 4];

	snprintf(to, sizeof(path[0]), "%s/%d", dir, type);
	return to;
}

FIXTURE_SETUP(un)
{
	int i;

	mkdir(TOP, 0755);
	ASSERT_EQ(0, net_make());
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_EQ(0, mount("none", TOP, "tmpfs", 0, "mode=755"));
	ASSERT_EQ(0, mkdir(DIR_A, 0755));
	ASSERT_EQ(0, mkdir(DIR_X, 0755));
	for (i = 0; i < TYPES; i++) {
		self->server[0][i] = serve(types[i], socket_at(DIR_A, types[i]));
		self->server[1][i] = serve(types[i], socket_at(DIR_X, types[i]));
		self->abstract[0][i] = serve(types[i], socket_at("@a", types[i]));
		self->abstract[1][i] = serve(types[i], socket_at("@x", types[i]));
		ASSERT_LE(0, self->server[0][i]);
		ASSERT_LE(0, self->server[1][i]);
		ASSERT_LE(0, self->abstract[0][i]);
		ASSERT_LE(0, self->abstract[1][i]);
	}
}

FIXTURE_TEARDOWN(un)
{
	domains_end();
	umount2(TOP, MNT_DETACH);
}

/* ---------------------------------------------------------------------------- paths */

TEST_F(un, without_a_rule_there_are_sockets_but_nobody_to_talk_to)
{
	struct krepis_domain *none = domain("read", "write"), *all = domain("unix");
	int i;

	for (i = 0; i < TYPES; i++) {
		allowed(none, sys(socket(AF_UNIX, types[i], 0)));
		refused(EACCES, none, talk(types[i], socket_at(DIR_A, types[i])));
		refused(EACCES, none, talk(types[i], socket_at("@a", types[i])));
		allowed(all, talk(types[i], socket_at(DIR_A, types[i])));
		allowed(all, talk(types[i], socket_at("@a", types[i])));
	}
	refused(EACCES, none, send_to(DIR_A "/2"));
	refused(EACCES, none, send_to("@a/2"));
	allowed(all, send_to(DIR_A "/2"));
	allowed(all, send_to("@a/2"));
}

TEST_F(un, rule_is_for_its_path)
{
	struct krepis_domain *d = domain("unix " DIR_A "/1", "unix " DIR_A "/2");

	allowed(d, talk(SOCK_STREAM, DIR_A "/1"));
	allowed(d, talk(SOCK_DGRAM, DIR_A "/2"));
	allowed(d, send_to(DIR_A "/2"));
	refused(EACCES, d, talk(SOCK_SEQPACKET, DIR_A "/5"));
	refused(EACCES, d, talk(SOCK_STREAM, DIR_X "/1"));
	refused(EACCES, d, talk(SOCK_DGRAM, DIR_X "/2"));
	refused(EACCES, d, send_to(DIR_X "/2"));
}

TEST_F(un, rule_for_a_directory_is_for_what_is_in_it)
{
	struct krepis_domain *d = domain("unix " DIR_A);
	int i;

	for (i = 0; i < TYPES; i++) {
		allowed(d, talk(types[i], socket_at(DIR_A, types[i])));
		refused(EACCES, d, talk(types[i], socket_at(DIR_X, types[i])));
	}
	ASSERT_LE(0, serve(SOCK_STREAM, DIR_A "/new"));
	allowed(d, talk(SOCK_STREAM, DIR_A "/new"));
}

TEST_F(un, denied_path_is_refused_whatever_is_allowed)
{
	struct krepis_domain *d = domain("unix", "unix " DIR_A, "deny unix " DIR_A "/1");
	struct krepis_domain *dir = domain("unix", "unix " DIR_A "/1", "deny unix " DIR_A);

	refused(EACCES, d, talk(SOCK_STREAM, DIR_A "/1"));
	allowed(d, talk(SOCK_SEQPACKET, DIR_A "/5"));
	refused(EACCES, dir, talk(SOCK_STREAM, DIR_A "/1"));
	allowed(dir, talk(SOCK_STREAM, DIR_X "/1"));
}

TEST_F(un, symbolic_link_is_what_it_leads_to)
{
	struct krepis_domain *d = domain("unix " DIR_A "/1");

	ASSERT_EQ(0, symlink(DIR_A "/1", TOP "/to-a"));
	ASSERT_EQ(0, symlink(DIR_X "/1", TOP "/to-x"));
	allowed(d, talk(SOCK_STREAM, TOP "/to-a"));
	refused(EACCES, d, talk(SOCK_STREAM, TOP "/to-x"));
	allowed(domain("unix " TOP "/to-x"), talk(SOCK_STREAM, DIR_X "/1"));
}

TEST_F(un, name_does_not_matter_but_the_socket)
{
	struct krepis_domain *d = domain("unix " DIR_A "/1");

	ASSERT_EQ(0, link(DIR_A "/1", DIR_X "/link"));
	allowed(d, talk(SOCK_STREAM, DIR_A "/1"));
	ASSERT_EQ(0, rename(DIR_A "/1", DIR_A "/was"));
	ASSERT_LE(0, serve(SOCK_STREAM, DIR_A "/1"));
	allowed(d, talk(SOCK_STREAM, DIR_A "/was"));
	refused(EACCES, d, talk(SOCK_STREAM, DIR_A "/1"));
}

TEST_F(un, socket_of_a_path_is_made_by_who_may_write_there)
{
	allowed(domain("write " DIR_A), serve(SOCK_STREAM, DIR_A "/own"));
	refused(EACCES, domain("unix", "write " DIR_X), serve(SOCK_STREAM, DIR_A "/other"));
}

TEST_F(un, reading_and_writing_allow_no_talking)
{
	refused(EACCES, domain("read " DIR_A, "write " DIR_A), talk(SOCK_STREAM, DIR_A "/1"));
	allowed(domain("unix " DIR_A), talk(SOCK_STREAM, DIR_A "/1"));
}

/* ------------------------------------------------------------------- abstract names */

TEST_F(un, rule_is_for_its_abstract_name)
{
	struct krepis_domain *d = domain("unix @a/1", "unix @a/2");

	allowed(d, talk(SOCK_STREAM, "@a/1"));
	allowed(d, talk(SOCK_DGRAM, "@a/2"));
	allowed(d, send_to("@a/2"));
	refused(EACCES, d, talk(SOCK_SEQPACKET, "@a/5"));
	refused(EACCES, d, talk(SOCK_STREAM, "@x/1"));
	refused(EACCES, d, send_to("@x/2"));
	refused(EACCES, d, talk(SOCK_STREAM, DIR_A "/1"));
}

static const char *rule_for(const char *name)
{
	static char sentence[128];

	snprintf(sentence, sizeof(sentence), "unix %s", name);
	return sentence;
}

TEST_F(un, abstract_name_is_all_of_it)
{
	struct krepis_domain *shorter;
	char longest[109];

	memset(longest, 'n', sizeof(longest));
	longest[0] = '@';
	longest[108] = '\0';
	ASSERT_LE(0, serve(SOCK_STREAM, "@a/12"));
	ASSERT_LE(0, serve(SOCK_STREAM, longest));
	longest[107] = '\0';
	ASSERT_LE(0, serve(SOCK_STREAM, longest));
	allowed(domain("unix @a/12"), talk(SOCK_STREAM, "@a/12"));
	refused(EACCES, domain("unix @a/1"), talk(SOCK_STREAM, "@a/12"));
	refused(EACCES, domain("unix @a/12"), talk(SOCK_STREAM, "@a/1"));
	shorter = domain(rule_for(longest));
	allowed(shorter, talk(SOCK_STREAM, longest));
	longest[107] = 'n';
	refused(EACCES, shorter, talk(SOCK_STREAM, longest));
	allowed(domain(rule_for(longest)), talk(SOCK_STREAM, longest));
}

/* Two names, that differ after a 0. */
static int talk_behind_zero(char last, int (*call)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = { 0, 'z', 0, last } };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return sys(call(fd, (void *)&a, offsetof(struct sockaddr_un, sun_path) + 4));
}

TEST_F(un, abstract_name_goes_on_after_a_zero)
{
	refused(EACCES, domain("unix @z"), talk_behind_zero('a', bind));
	allowed(domain("unix"), talk_behind_zero('a', bind));
}

TEST_F(un, denied_abstract_name_is_refused_whatever_is_allowed)
{
	struct krepis_domain *d = domain("unix", "unix @a/1", "deny unix @a/1");

	refused(EACCES, d, talk(SOCK_STREAM, "@a/1"));
	refused(EACCES, d, serve(SOCK_SEQPACKET, "@a/1"));
	allowed(d, talk(SOCK_STREAM, "@x/1"));
	refused(EACCES, domain("unix @a/1", "deny unix"), talk(SOCK_STREAM, "@a/1"));
}

TEST_F(un, abstract_name_is_had_by_its_rule)
{
	struct krepis_domain *d = domain("unix @own");

	allowed(d, serve(SOCK_STREAM, "@own"));
	refused(EACCES, d, serve(SOCK_STREAM, "@other"));
	refused(EACCES, domain("write"), serve(SOCK_STREAM, "@own"));
	allowed(d, serve(SOCK_DGRAM, "@own"));
	refused(EACCES, d, serve(SOCK_DGRAM, "@other"));
}

/* Of the kernel's choice. Nobody else can know it before. */
static int serve_anywhere(struct sockaddr_un *a, socklen_t *len)
{
	struct sockaddr_un none = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (bind(fd, (void *)&none, sizeof(sa_family_t)) || listen(fd, 10))
		return -errno;
	*len = sizeof(*a);
	return getsockname(fd, (void *)a, len) ? -errno : fd;
}

TEST_F(un, name_of_the_kernels_choice_is_free_to_have_but_not_to_talk_to)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a;
	socklen_t len;

	allowed(domain(NULL), serve_anywhere(&a, &len));
	ASSERT_LE(0, serve_anywhere(&a, &len));
	refused(EACCES, domain(NULL), sys(connect(fd, (void *)&a, len)));
	allowed(domain("unix"), sys(connect(fd, (void *)&a, len)));
}

/* ----------------------------------------------------------------- ways to say a word */

static int say(int fd, const char *name)
{
	struct sockaddr_un a;
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_name = &a, .msg_namelen = address_un(&a, name), .msg_iov = &iov,
		.msg_iovlen = 1,
	};

	return sys(sendmsg(fd, &msg, MSG_DONTWAIT));
}

TEST_F(un, message_is_sent_as_its_own_destination_allows)
{
	struct krepis_domain *d = domain("unix " DIR_A "/2", "unix @a/2");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	allowed(d, say(fd, DIR_A "/2"));
	refused(EACCES, d, say(fd, DIR_X "/2"));
	allowed(d, say(fd, "@a/2"));
	refused(EACCES, d, say(fd, "@x/2"));
}

TEST_F(un, pair_is_free)
{
	int i;

	for (i = 0; i < TYPES; i++) {
		allowed(domain(NULL), ({ int fd[2];
					 socketpair(AF_UNIX, types[i], 0, fd) ? -errno :
					 sys(send(fd[0], "x", 1, 0)); }));
	}
}

TEST_F(un, socket_of_before_stays_usable)
{
	struct krepis_domain *none = domain(NULL);
	struct sockaddr_un a;
	socklen_t len = address_un(&a, DIR_A "/1");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ASSERT_EQ(0, connect(fd, (void *)&a, len));
	allowed(none, sys(send(fd, "x", 1, 0)));
	allowed(none, sys(accept(self->server[0][0], NULL, NULL)));
	refused(EACCES, none, talk(SOCK_STREAM, DIR_A "/1"));
}

static int ring_talk(const char *name)
{
	struct sockaddr_un a;
	socklen_t len = address_un(&a, name);

	return by_ring(connect, socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, len);
}

TEST_F(un, ring_talks_to_nobody_else)
{
	struct krepis_domain *d = domain("unix " DIR_A "/1", "unix @a/1");

	allowed(d, ring_talk(DIR_A "/1"));
	refused(EACCES, d, ring_talk(DIR_X "/1"));
	allowed(d, ring_talk("@a/1"));
	refused(EACCES, d, ring_talk("@x/1"));
}

/* ------------------------------------------------------------------------ handing over */

static int read_received(int socket)
{
	char byte;
	int fd = recv_fd(socket);

	return fd < 0 ? fd : sys(read(fd, &byte, 1));
}

TEST_F(un, file_that_is_handed_over_is_received)
{
	struct krepis_domain *none = domain(NULL);
	int pair[2], fd;

	ASSERT_EQ(0, put_file(DIR_A "/file", "text"));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	fd = open(DIR_A "/file", O_RDONLY);
	ASSERT_EQ(0, send_fd(pair[0], fd));
	close(fd);
	allowed(none, read_received(pair[1]));
	refused(EACCES, none, read_file(DIR_A "/file"));
}

TEST_F(un, file_that_a_domain_hands_over_is_received)
{
	struct krepis_domain *d = domain("read " DIR_A);
	int pair[2];

	ASSERT_EQ(0, put_file(DIR_A "/file", "text"));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	allowed(d, send_fd(pair[0], open(DIR_A "/file", O_RDONLY)));
	EXPECT_EQ(1, read_received(pair[1]));
}

TEST_F(un, connection_that_is_handed_over_is_received)
{
	struct krepis_domain *none = domain(NULL);
	struct sockaddr_un a;
	socklen_t len = address_un(&a, DIR_A "/1");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];

	ASSERT_EQ(0, connect(fd, (void *)&a, len));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, send_fd(pair[0], fd));
	allowed(none, ({ int got = recv_fd(pair[1]);
			 got < 0 ? got : sys(send(got, "x", 1, 0)); }));
}

/* ------------------------------------------------------------------- another policy */

TEST_F(un, policy_that_changes_is_for_the_next_connection)
{
	struct krepis_domain *d = domain("unix " DIR_A "/1");

	allowed(d, talk(SOCK_STREAM, DIR_A "/1"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("unix " DIR_X "/1", "unix @x/1")));
	refused(EACCES, d, talk(SOCK_STREAM, DIR_A "/1"));
	allowed(d, talk(SOCK_STREAM, DIR_X "/1"));
	allowed(d, talk(SOCK_STREAM, "@x/1"));
}

TEST_HARNESS_MAIN
