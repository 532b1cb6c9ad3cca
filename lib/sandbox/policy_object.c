// SPDX-License-Identifier: MIT
/*
 * What the object of a sentence may look like, and its canonical form.
 *
 * Every refusal begins with the object and ends with what to type instead.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>
#include "policy.h"
#include "sandbox.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define SHOWN		96	/* bytes of an object in a sentence */
#define ABSTRACT_MAX	(sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* --------------------------------------------------------------------- sentences */

/* How long the UTF-8 character at @s is, or 0: none. RFC 3629, section 4. */
static size_t character(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	for (i = 1; i < len; i++, low = 0x80, high = 0xbf) {
		if (s[i] < low || s[i] > high)
			return 0;
	}
	return len;
}

static bool is_utf8(const char *object)
{
	const unsigned char *s = (const unsigned char *)object;
	size_t len;

	for (; *s; s += len) {
		len = character(s);
		if (!len)
			return false;
	}
	return true;
}

/* What a terminal would not print, but obey. */
static bool is_control(const unsigned char *s)
{
	return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0) ||
	       (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9));
}

/* On one line, and not for long; in quotes if it would not be seen where it ends. */
static void show(const char *object, char *shown, size_t size)
{
	const unsigned char *s = (const unsigned char *)object;
	const char *quote = *object && !strpbrk(object, " \"'") ? "" : "\"";
	size_t n = (size_t)snprintf(shown, size, "%s", quote), len;

	for (; *s && n < SHOWN; s += len) {
		len = character(s);
		if (len && !is_control(s)) {
			memcpy(shown + n, s, len);
			n += len;
		} else {
			len = 1;
			n += (size_t)snprintf(shown + n, size - n, "\\x%02x", *s);
		}
	}
	snprintf(shown + n, size - n, "%s%s", *s ? "..." : "", quote);
}

int krepis_policy_refuse(char *why, size_t size, const char *object, const char *format, ...)
{
	char shown[SHOWN + 16], text[POLICY_WHY];
	va_list args;

	show(object, shown, sizeof(shown));
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(why, size, "%s %s", shown, text);
	return -EINVAL;
}

#define refuse krepis_policy_refuse

/* ------------------------------------------------------------------------- paths */

/*
 * Takes "." and "//" out of an absolute path, in place. ".." stays: what it means
 * depends on links, and the kernel alone knows them.
 */
static void normalise(char *path)
{
	char *from = path, *to = path;

	while (*from) {
		size_t len = strcspn(from + 1, "/");

		if (len && !(len == 1 && from[1] == '.')) {
			memmove(to, from, len + 1);
			to += len + 1;
		}
		from += len + 1;
	}
	if (to == path)
		*to++ = '/';
	*to = 0;
}

/* @shown is what was typed, of which @path is a part; @absolute has POLICY_OBJECT bytes. */
static int make_absolute(const char *shown, const char *path, char *absolute, char *why,
			 size_t size)
{
	char whole[2 * PATH_MAX] = "";
	size_t len = 0;

	if (strlen(path) >= PATH_MAX)
		return refuse(why, size, shown, "is too long: a path has at most %d bytes",
			      PATH_MAX - 1);
	if (*path != '/') {
		if (!getcwd(whole, PATH_MAX))
			return refuse(why, size, shown, "is relative, and the directory where "
				      "this is has no name: type a path that begins with /");
		if (!is_utf8(whole))
			return refuse(why, size, shown, "is relative to a directory whose name "
				      "is not UTF-8: such names cannot stand in a policy");
		len = strlen(whole);
		whole[len++] = '/';
	}
	snprintf(whole + len, sizeof(whole) - len, "%s", path);
	normalise(whole);
	if (strlen(whole) >= PATH_MAX)
		return refuse(why, size, shown, "is too long: with the directory where this is "
			      "in front, it is more than the %d bytes of a path", PATH_MAX - 1);
	memcpy(absolute, whole, strlen(whole) + 1);
	return 0;
}

static int canonical_path(const char *object, char *canonical, char *why, size_t size)
{
	if (!*object)
		return refuse(why, size, object, "is no path: type one, or none at all to mean "
			      "all files");
	return make_absolute(object, object, canonical, why, size);
}

static int canonical_unix(const char *object, char *canonical, char *why, size_t size)
{
	size_t len;

	if (!*object)
		return refuse(why, size, object, "is no socket: type a path or @NAME, or none at "
			      "all to mean all sockets");
	if (*object != '@')
		return make_absolute(object, object, canonical, why, size);
	len = strlen(object + 1);
	if (!len)
		return refuse(why, size, object, "lacks the name: type @NAME, or ./@ for a file");
	if (len > ABSTRACT_MAX)
		return refuse(why, size, object, "is too long: an abstract name has at most %zu "
			      "bytes, not %zu", ABSTRACT_MAX, len);
	snprintf(canonical, POLICY_OBJECT, "%s", object);
	return 0;
}

/* ---------------------------------------------------------------------- channels */

static const struct {
	const char *word;
	uint32_t rights;
} roles[] = {
	{ "r", SANDBOX_CONSUME },
	{ "w", SANDBOX_PRODUCE },
	{ "rw", SANDBOX_CONSUME | SANDBOX_PRODUCE },
};

static const char *role_word(uint32_t rights)
{
	size_t i;

	for (i = 0; roles[i].rights != (rights & ~SANDBOX_PASS); i++)
		;
	return roles[i].word;
}

static uint32_t role_rights(const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(roles); i++) {
		if (strlen(roles[i].word) == len && !memcmp(roles[i].word, word, len))
			return roles[i].rights;
	}
	return 0;
}

/* Where the last of the words between colons begins, of the first @len bytes; @len: none. */
static size_t last_word(const char *object, size_t len)
{
	const char *colon = memrchr(object, ':', len);

	return colon ? (size_t)(colon + 1 - object) : len;
}

/* From the right: a path may contain colons. Return: the bytes of the path, or -EINVAL. */
static int parse_role(const char *object, uint32_t *rights, char *why, size_t size)
{
	size_t len = strlen(object), word = last_word(object, len);
	uint32_t pass = 0;

	if (!strcmp(object + word, "pass") && word < len) {
		pass = SANDBOX_PASS;
		len = word - 1;
		word = last_word(object, len);
	}
	*rights = word < len ? role_rights(object + word, len - word) : 0;
	if (!*rights)
		return refuse(why, size, object, "has no role%s: type PATH:r to consume, PATH:w "
			      "to produce or PATH:rw for both, each with :pass or without",
			      pass ? " in front of :pass" : "");
	*rights |= pass;
	return (int)word - 1;
}

int krepis_policy_parse_channel(const char *object, struct policy_channel *channel, char *why,
				size_t size)
{
	char path[POLICY_OBJECT], absolute[POLICY_OBJECT];
	int len;

	if (strlen(object) >= sizeof(path))
		return refuse(why, size, object, "is too long: a path has at most %d bytes",
			      PATH_MAX - 1);
	len = parse_role(object, &channel->rights, why, size);
	if (len < 0)
		return len;
	snprintf(path, sizeof(path), "%.*s", len, object);
	if (!*path)
		return refuse(why, size, object, "has no path: type it in front of the role");
	if (!strcmp(path, ".") || !strcmp(path, ".."))
		return refuse(why, size, object, "is no name of a channel: type %s/ for the "
			      "directory", path);
	if (!strchr(path, '/')) {
		len = snprintf(path, sizeof(path), POLICY_RUN "/%.*s", len, object);
		if (len >= PATH_MAX)
			return refuse(why, size, object, "is too long: a path has at most %d "
				      "bytes", PATH_MAX - 1);
	}
	if (make_absolute(object, path, absolute, why, size))
		return -EINVAL;
	memcpy(channel->path, absolute, strlen(absolute) + 1);
	return 0;
}

static int canonical_channel(const char *object, char *canonical, char *why, size_t size)
{
	struct policy_channel channel;
	int err;

	err = krepis_policy_parse_channel(object, &channel, why, size);
	if (!err)
		snprintf(canonical, POLICY_OBJECT, "%s:%s%s", channel.path,
			 role_word(channel.rights), channel.rights & SANDBOX_PASS ? ":pass" : "");
	return err;
}

/* ------------------------------------------------------------------- environment */

static int canonical_env(const char *object, char *canonical, char *why, size_t size)
{
	size_t len = strlen(object);

	if (!len)
		return refuse(why, size, object, "is no variable: type its name, or none at all "
			      "to mean all");
	if (strchr(object, '='))
		return refuse(why, size, object, "has a value: type the name alone, what stands "
			      "in front of the =");
	if (memchr(object, '*', len - 1))
		return refuse(why, size, object, "has a * that is not at the end: type NAME or "
			      "PREFIX*");
	if (len >= PATH_MAX)
		return refuse(why, size, object, "is too long: a name has at most %d bytes",
			      PATH_MAX - 1);
	snprintf(canonical, POLICY_OBJECT, "%s", object);
	return 0;
}

/* ------------------------------------------------------------------------ system */

static const char *const capabilities[] = {
	[CAP_CHOWN] = "chown",
	[CAP_DAC_OVERRIDE] = "dac_override",
	[CAP_DAC_READ_SEARCH] = "dac_read_search",
	[CAP_FOWNER] = "fowner",
	[CAP_FSETID] = "fsetid",
	[CAP_KILL] = "kill",
	[CAP_SETGID] = "setgid",
	[CAP_SETUID] = "setuid",
	[CAP_SETPCAP] = "setpcap",
	[CAP_LINUX_IMMUTABLE] = "linux_immutable",
	[CAP_NET_BIND_SERVICE] = "net_bind_service",
	[CAP_NET_BROADCAST] = "net_broadcast",
	[CAP_NET_ADMIN] = "net_admin",
	[CAP_NET_RAW] = "net_raw",
	[CAP_IPC_LOCK] = "ipc_lock",
	[CAP_IPC_OWNER] = "ipc_owner",
	[CAP_SYS_MODULE] = "sys_module",
	[CAP_SYS_RAWIO] = "sys_rawio",
	[CAP_SYS_CHROOT] = "sys_chroot",
	[CAP_SYS_PTRACE] = "sys_ptrace",
	[CAP_SYS_PACCT] = "sys_pacct",
	[CAP_SYS_ADMIN] = "sys_admin",
	[CAP_SYS_BOOT] = "sys_boot",
	[CAP_SYS_NICE] = "sys_nice",
	[CAP_SYS_RESOURCE] = "sys_resource",
	[CAP_SYS_TIME] = "sys_time",
	[CAP_SYS_TTY_CONFIG] = "sys_tty_config",
	[CAP_MKNOD] = "mknod",
	[CAP_LEASE] = "lease",
	[CAP_AUDIT_WRITE] = "audit_write",
	[CAP_AUDIT_CONTROL] = "audit_control",
	[CAP_SETFCAP] = "setfcap",
	[CAP_MAC_OVERRIDE] = "mac_override",
	[CAP_MAC_ADMIN] = "mac_admin",
	[CAP_SYSLOG] = "syslog",
	[CAP_WAKE_ALARM] = "wake_alarm",
	[CAP_BLOCK_SUSPEND] = "block_suspend",
	[CAP_AUDIT_READ] = "audit_read",
	[CAP_PERFMON] = "perfmon",
	[CAP_BPF] = "bpf",
	[CAP_CHECKPOINT_RESTORE] = "checkpoint_restore",
};

static const struct {
	const char *name;
	uint32_t bit;
} facilities[] = {
	{ "ipc", SANDBOX_SYS_IPC },
	{ "userns", SANDBOX_SYS_USERNS },
	{ "netlink", SANDBOX_SYS_NETLINK },
	{ "sockets", SANDBOX_SYS_SOCKETS },
};

const char *krepis_policy_sys_name(int capability)
{
	return capability >= 0 && (size_t)capability < ARRAY_SIZE(capabilities) ?
		       capabilities[capability] : NULL;
}

int krepis_policy_parse_sys(const char *object, struct policy_sys *sys, char *why, size_t size)
{
	const char *name = strncasecmp(object, "cap_", 4) ? object : object + 4;
	size_t i;

	*sys = (struct policy_sys){ .capability = -1 };
	for (i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (!strcasecmp(capabilities[i], name)) {
			sys->capability = (int)i;
			return 0;
		}
	}
	for (i = 0; i < ARRAY_SIZE(facilities); i++) {
		if (!strcasecmp(facilities[i].name, object)) {
			sys->facility = facilities[i].bit;
			return 0;
		}
	}
	return refuse(why, size, object, "is none: type a capability as in capabilities(7), like "
		      "net_admin, or ipc, userns, netlink or sockets");
}

static const char *sys_word(const struct policy_sys *sys)
{
	size_t i;

	if (sys->capability >= 0)
		return capabilities[sys->capability];
	for (i = 0; facilities[i].bit != sys->facility; i++)
		;
	return facilities[i].name;
}

static int canonical_sys(bool allow, const char *object, char *canonical, char *why, size_t size)
{
	struct policy_sys sys;
	int err;

	err = krepis_policy_parse_sys(object, &sys, why, size);
	if (err)
		return err;
	if (allow && sys.capability >= 0 && POLICY_CAPS_NEVER & 1ULL << sys.capability)
		return refuse(why, size, object, "cannot be allowed: with it a domain could undo "
			      "its sandbox. Do what needs it outside, and leave it out here");
	snprintf(canonical, POLICY_OBJECT, "%s", sys_word(&sys));
	return 0;
}

/* --------------------------------------------------------------------------- any */

static int canonical_net(const char *object, char *canonical, char *why, size_t size)
{
	struct policy_net net;
	int err;

	err = krepis_policy_parse_net(object, &net, why, size);
	if (!err)
		krepis_policy_format_net(&net, canonical);
	return err;
}

int krepis_policy_canonical(bool allow, enum krepis_what what, const char *object,
			    char *canonical, char *why, size_t size)
{
	if (!is_utf8(object))
		return refuse(why, size, object, "is not UTF-8, and cannot stand in a policy: "
			      "name the directory above, or rename it");
	switch (what) {
	case KREPIS_NET:
		return canonical_net(object, canonical, why, size);
	case KREPIS_UNIX:
		return canonical_unix(object, canonical, why, size);
	case KREPIS_CHANNEL:
		return canonical_channel(object, canonical, why, size);
	case KREPIS_ENV:
		return canonical_env(object, canonical, why, size);
	case KREPIS_SYS:
		return canonical_sys(allow, object, canonical, why, size);
	default:
		return canonical_path(object, canonical, why, size);
	}
}
