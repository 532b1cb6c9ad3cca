// SPDX-License-Identifier: MIT
/*
 * The machine: which two processors, what clock, and what disturbs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "bench.h"

struct bench_machine machine;

bool clock_is_counter;
double clock_ticks_per_ns = 1.0;
double clock_cost_ns;
uint32_t clock_step_ticks = 1;

#if defined(__x86_64__) || defined(__i386__)
static bool counter_is_constant(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1U << 8));
}
#else
static bool counter_is_constant(void)
{
	return false;
}
#endif

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * Some counters advance in steps much larger than one tick (26 ticks, 10 ns, have
 * been seen). The step is the common divisor of the differences that occur often.
 */
static uint32_t find_step(unsigned int looks)
{
	uint32_t seen[1024] = { 0 };
	uint64_t last = clock_ticks(), now;
	uint32_t step = 0;
	unsigned int i;

	for (i = 0; i < looks; i++, last = now) {
		now = clock_ticks();
		if (now - last < ARRAY_SIZE(seen))
			seen[now - last]++;
	}
	for (i = 1; i < ARRAY_SIZE(seen); i++)
		if (seen[i] > looks / 100)
			step = common_divisor(i, step);
	return step ? step : 1;
}

void clock_init(void)
{
	const unsigned int looks = 100000;
	uint64_t ns, ticks, now;
	unsigned int i;

	clock_is_counter = counter_is_constant();
	ns = clock_ns();
	ticks = clock_ticks();
	do {
		now = clock_ns();
	} while (now - ns < 50000000);
	clock_ticks_per_ns = (double)(clock_ticks() - ticks) / (double)(now - ns);

	ticks = clock_ticks();
	for (i = 0; i < looks; i++)
		(void)clock_ticks();
	clock_cost_ns = clock_to_ns(clock_ticks() - ticks) / looks;
	clock_step_ticks = find_step(looks);
}

/* The first line of a file without its newline, or "" */
static void read_line(char *line, size_t size, const char *format, int cpu)
{
	char path[128];
	FILE *f;

	line[0] = '\0';
	snprintf(path, sizeof(path), format, cpu);
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(line, (int)size, f))
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

#define CPU_DIR "/sys/devices/system/cpu/cpu%d/"

static bool same(const char *format, int a, int b)
{
	char x[256], y[256];

	read_line(x, sizeof(x), format, a);
	read_line(y, sizeof(y), format, b);
	return x[0] && !strcmp(x, y);
}

/*
 * Two cores that share the last cache: what two processes that talk a lot would
 * be given by a careful administrator. Siblings of one core are the last choice.
 * Among equals the higher numbers, since interrupts prefer the lower ones.
 */
static int rate_pair(int a, int b)
{
	int rate = 0;

	if (!same(CPU_DIR "topology/thread_siblings_list", a, b))
		rate += 4;
	if (same(CPU_DIR "cache/index3/shared_cpu_list", a, b))
		rate += 2;
	if (same(CPU_DIR "topology/physical_package_id", a, b))
		rate += 1;
	return rate;
}

static int choose_cpus(void)
{
	cpu_set_t allowed;
	int a, b, best = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	if (CPU_COUNT(&allowed) < 2)
		return -ENODEV;
	for (a = 0; a < CPU_SETSIZE; a++) {
		if (!CPU_ISSET(a, &allowed))
			continue;
		for (b = a + 1; b < CPU_SETSIZE; b++) {
			int rate;

			if (!CPU_ISSET(b, &allowed))
				continue;
			rate = rate_pair(a, b);
			if (rate < best)
				continue;
			best = rate;
			machine.cpu[0] = a;
			machine.cpu[1] = b;
		}
	}
	snprintf(machine.reason, sizeof(machine.reason), "%s, %s",
		 best & 4 ? "two cores" : "siblings of one core",
		 best & 2 ? "one last-level cache" : "no common last-level cache known");
	return 0;
}

static int parse_cpus(const char *cpus)
{
	cpu_set_t allowed;
	char junk;
	int i;

	if (sscanf(cpus, "%d,%d%c", &machine.cpu[0], &machine.cpu[1], &junk) != 2)
		return -EINVAL;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	for (i = 0; i < 2; i++)
		if (machine.cpu[i] < 0 || machine.cpu[i] >= CPU_SETSIZE ||
		    !CPU_ISSET(machine.cpu[i], &allowed))
			return -EINVAL;
	if (machine.cpu[0] == machine.cpu[1])
		return -EINVAL;
	snprintf(machine.reason, sizeof(machine.reason), "as asked");
	return 0;
}

int machine_init(const char *cpus)
{
	long hz = sysconf(_SC_CLK_TCK);

	machine.tick_ns = 1000000000L / (hz > 0 ? hz : 100);
	clock_init();
	return cpus ? parse_cpus(cpus) : choose_cpus();
}

static void cpuinfo(char *value, size_t size, const char *key)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[4096];
	char *colon;

	snprintf(value, size, "unknown");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		colon = strchr(line, ':');
		if (!colon)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(value, size, "%.*s", (int)size - 1, colon + 2);
		break;
	}
	fclose(f);
}

void machine_print(void)
{
	char model[128], flags[4096], line[128];
	struct utsname os;
	unsigned int i;

	uname(&os);
	cpuinfo(model, sizeof(model), "model name");
	cpuinfo(flags, sizeof(flags), "flags");
	printf("processor  %s%s, %ld online\n", model,
	       strstr(flags, " hypervisor") ? " (virtual machine)" : "",
	       sysconf(_SC_NPROCESSORS_ONLN));
	printf("kernel     %s %s\n", os.release, os.machine);
	printf("pinned to  %d and %d: %s\n", machine.cpu[0], machine.cpu[1], machine.reason);
	for (i = 0; i < 2; i++) {
		int cpu = machine.cpu[i];

		printf("  cpu %-3d ", cpu);
		read_line(line, sizeof(line), CPU_DIR "topology/physical_package_id", cpu);
		printf(" package %s", line);
		read_line(line, sizeof(line), CPU_DIR "topology/core_id", cpu);
		printf(", core %s", line);
		read_line(line, sizeof(line), CPU_DIR "topology/thread_siblings_list", cpu);
		printf(", siblings %s", line);
		read_line(line, sizeof(line), CPU_DIR "cache/index3/shared_cpu_list", cpu);
		printf(", last-level cache of %s", line[0] ? line : "?");
		read_line(line, sizeof(line), CPU_DIR "cpufreq/scaling_governor", cpu);
		printf(", governor %s\n", line[0] ? line : "none");
	}
	printf("clock      %s, %.3f ticks/ns, steps of %.1f ns, %.1f ns a look\n",
	       clock_is_counter ? "time stamp counter" : "clock_gettime", clock_ticks_per_ns,
	       clock_to_ns(clock_step_ticks), clock_cost_ns);
	read_line(line, sizeof(line), "/proc/loadavg", 0);
	printf("load       %s\n", line);
}

void machine_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

uint64_t machine_steal_ns(void)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long steal;
	uint64_t sum = 0;
	char line[512];
	int cpu;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "cpu", 3))
			break;
		if (sscanf(line, "cpu%d %*u %*u %*u %*u %*u %*u %*u %llu", &cpu, &steal) != 2)
			continue;
		if (cpu == machine.cpu[0] || cpu == machine.cpu[1])
			sum += steal;
	}
	fclose(f);
	return sum * (uint64_t)machine.tick_ns;
}

uint64_t machine_run_delay_ns(void)
{
	unsigned long long run, delay = 0;
	FILE *f = fopen("/proc/self/schedstat", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &run, &delay) != 2)
		delay = 0;
	fclose(f);
	return delay;
}

void machine_switches(uint64_t *own, uint64_t *forced)
{
	struct rusage usage = { 0 };

	getrusage(RUSAGE_SELF, &usage);
	*own = (uint64_t)usage.ru_nvcsw;
	*forced = (uint64_t)usage.ru_nivcsw;
}
