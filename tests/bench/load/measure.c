#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- latencies: buckets that are 1/128 of their value wide */

#define FINE 128
#define FINE_BITS 7

struct histogram { uint64_t count, highest, buckets[(64 - FINE_BITS + 1) * FINE]; };
struct histogram *latencies, *lateness;

void measure_init(void)
{
    latencies = calloc(1, sizeof *latencies);
    lateness = calloc(1, sizeof *lateness);
}

void record(struct histogram *h, uint64_t ns)
{
    size_t bucket = ns;
    if (ns >= FINE) {
        int shift = 63 - __builtin_clzll(ns) - FINE_BITS;
        bucket = (size_t)(shift + 1) * FINE + ((ns >> shift) - FINE);
    }
    h->buckets[bucket]++;
    h->count++;
    if (ns > h->highest) h->highest = ns;
}

void forget(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

double percentile(const struct histogram *h, double fraction)
{
    uint64_t wanted = (uint64_t)(fraction * (double)h->count), seen = 0;
    for (size_t bucket = 0; bucket < sizeof h->buckets / sizeof *h->buckets; bucket++) {
        seen += h->buckets[bucket];
        if (seen > wanted) {
            if (bucket < FINE) return (double)bucket;
            return (double)((bucket % FINE + FINE) << (bucket / FINE - 1));
        }
    }
    return (double)h->highest;
}

/* --- what the server uses */

static int pids[MAX_LIST], pid_count;
static clockid_t pid_clocks[MAX_LIST];

void watch(const char *list)
{
    for (char *end; *list && pid_count < MAX_LIST; list = *end ? end + 1 : end) {
        int pid = (int)strtol(list, &end, 10);
        if (end == list) fail("--pids wants numbers with commas between them");
        if (clock_getcpuclockid(pid, &pid_clocks[pid_count])) fail("there is no process %d to watch", pid);
        pids[pid_count++] = pid;
    }
}

static double seconds_on(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;         /* that process has ended */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of all processes and of the kernel, on all cores, and what the machine beneath took away. */
static double seconds_of_all(void)
{
    unsigned long long user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft_irq = 0, stolen = 0;
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return 0;
    int found = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft_irq, &stolen);
    fclose(file);
    return found == 8 ? (double)(user + nice + system + irq + soft_irq + stolen) / (double)sysconf(_SC_CLK_TCK) : 0;
}

struct usage usage_now(void)
{
    struct usage u = {.at = now_ns(), .own = seconds_on(CLOCK_PROCESS_CPUTIME_ID), .all = seconds_of_all()};
    for (int i = 0; i < pid_count; i++) u.server += seconds_on(pid_clocks[i]);
    return u;
}

struct memory memory_now(void)
{
    struct memory m = {0};
    for (int i = 0; i < pid_count; i++) {
        char line[256];
        snprintf(line, sizeof line, "/proc/%d/status", pids[i]);
        FILE *file = fopen(line, "r");
        if (!file) continue;
        while (fgets(line, sizeof line, file)) {
            long value;
            if (sscanf(line, "VmRSS: %ld", &value) == 1) m.rss_kb += value;
            if (sscanf(line, "VmHWM: %ld", &value) == 1) m.peak_kb += value;
            if (sscanf(line, "Threads: %ld", &value) == 1) m.threads += value;
        }
        fclose(file);
    }
    return m;
}
