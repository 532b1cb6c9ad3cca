// SPDX-License-Identifier: MIT
/*
 * Through tracefs, in an instance of our own, so that other tracing is not disturbed.
 * The mark is a system call that nothing here makes otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace.h"

#define INSTANCE	"/sys/kernel/tracing/instances/krepis-bench"
#define MAX_PIDS	8
#define BUFFER_KIB	"4096"	/* of each processor */

/* One process as the trace tells of it. */
struct traced {
	long pid;
	unsigned int marks;
};

static int put(const char *file, const char *text)
{
	char path[128];
	int fd, err = 0;

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void remove_instance(void)
{
	put("events/enable", "0");
	rmdir(INSTANCE);
}

const char *trace_missing(void)
{
	remove_instance();
	if (mkdir(INSTANCE, 0700))
		return "no trace of system calls (/sys/kernel/tracing, by root)";
	remove_instance();
	return NULL;
}

static int switch_on(void)
{
	char comm[16] = "", filter[40];
	int err;

	remove_instance();
	if (mkdir(INSTANCE, 0700))
		return -errno;
	prctl(PR_GET_NAME, comm);
	snprintf(filter, sizeof(filter), "comm == \"%s\"", comm);
	err = put("tracing_on", "0");
	if (!err)
		err = put("buffer_size_kb", BUFFER_KIB);
	if (!err)
		err = put("events/raw_syscalls/sys_enter/filter", filter);
	if (!err)
		err = put("events/raw_syscalls/sys_enter/enable", "1");
	/* Without the module there are none of its events. */
	if (!err && !put("events/krepis/filter", filter))
		err = put("events/krepis/enable", "1");
	return err;
}

static int clear(void)
{
	int fd = open(INSTANCE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/*
 * The events are switched on once, for all runs, and with nothing else running: each
 * switch rewrites code of the kernel, which an emulator was seen to stumble over if another
 * processor is just there. That is also why the filter goes by name, and not by
 * set_event_pid, which rewrites the scheduler.
 */
int trace_begin(void)
{
	static bool on;
	int err = 0;

	if (!on) {
		err = switch_on();
		on = !err;
		atexit(remove_instance);
	}
	if (!err)
		err = clear();
	return err ? err : put("tracing_on", "1");
}

void trace_end(void)
{
	put("tracing_on", "0");
}

void trace_mark(void)
{
	syscall(SYS_getsid, 0);
}

static struct traced *find(struct traced *all, long pid)
{
	unsigned int i;

	for (i = 0; i < MAX_PIDS && all[i].pid && all[i].pid != pid; i++)
		;
	if (i == MAX_PIDS)
		return NULL;
	all[i].pid = pid;
	return &all[i];
}

/*
 * "  comm-PID  [CPU] FLAGS TIME: EVENT: ...". The command's name is ours and has no
 * blank; a system call is told as "sys_enter: NR 110 (...)".
 */
static void take_line(struct trace_count *count, struct traced *all, char *line)
{
	char *bracket = strstr(line, " ["), *event, *end;
	struct traced *who;
	long pid, nr;

	if (line[0] == '#' || !bracket)
		return;
	*bracket = '\0';
	for (end = bracket; end > line && end[-1] == ' '; end--)
		;
	while (end > line && end[-1] != '-')
		end--;
	event = strstr(bracket + 1, ": ");
	if (sscanf(end, "%ld", &pid) != 1 || !event)
		return;
	who = find(all, pid);
	if (!who)
		return;
	event += 2;
	if (sscanf(event, "sys_enter: NR %ld", &nr) != 1)
		nr = -1;
	if (nr == SYS_getsid) {
		who->marks++;
		count->marks++;
		return;
	}
	if (who->marks != 1)
		return;
	if (!count->first[0])
		snprintf(count->first, sizeof(count->first), "%.*s",
			 (int)strcspn(event, "(\n"), event);
	if (nr >= 0)
		count->syscalls++;
	else if (!strncmp(event, "krepis_", 7))
		count->events++;
}

int trace_read(struct trace_count *count)
{
	struct traced all[MAX_PIDS] = { { 0 } };
	char line[512];
	FILE *f;

	memset(count, 0, sizeof(*count));
	/* Or the reading goes into the trace, and has no end. */
	put("tracing_on", "0");
	f = fopen(INSTANCE "/trace", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		take_line(count, all, line);
	fclose(f);
	return 0;
}
