#define _GNU_SOURCE
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOMENT 20000000                    /* ns that a turn waits when nothing is due */
#define FIRST 20                           /* clients that connect before connecting is measured */

struct options options = {
    .clients = 50, .window = 1, .size = 32, .in_flight = 64, .warm = 0.5, .seconds = 2, .deadline = 60,
    .events = {"echo"}, .event_count = 1,
};
struct client *clients;
static uint64_t started_at;
static FILE *report;                       /* told at the end, whole, or not at all */

void fail(const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    printf("{\"error\": \"%s\", \"ready\": %d, \"failed\": %d}\n", reason, counts.ready, counts.failed);
    fflush(stdout);
    _exit(1);
}

/* --- phases */

static uint64_t after(double seconds)
{
    return now_ns() + (uint64_t)(seconds * 1e9);
}

static void run_turn(uint64_t end)
{
    uint64_t now = now_ns();
    if ((double)(now - started_at) > options.deadline * 1e9) fail("not done after %g s", options.deadline);
    int64_t left = end > now ? (int64_t)(end - now) : 0, wait = left < MOMENT ? left : MOMENT;
    int64_t due = send_what_is_due();
    turn(due < wait ? due : wait);
}

static void run_for(double seconds)
{
    for (uint64_t end = after(seconds); now_ns() < end;) run_turn(end);
}

static void connect_up_to(int wanted)
{
    while (counts.ready + counts.failed < wanted) {
        while (counts.started < wanted && counts.started - counts.ready - counts.failed < options.in_flight) {
            struct client *c = &clients[counts.started++];
            c->began = now_ns();
            open_client(c);
        }
        run_turn(after(1));
    }
}

static void connect_all(void)
{
    connect_up_to(options.clients);
    if (counts.failed) fail("%d of %d clients could not connect", counts.failed, options.clients);
}

/* --- the report */

static uint64_t done(void)
{
    if (options.kind == BROADCAST) return counts.delivered;
    return options.kind == CONNECT || options.kind == UPGRADE ? (uint64_t)counts.ready : counts.answered;
}

static struct usage first;
static uint64_t done_before;

static void begin_measuring(void)
{
    forget(latencies);
    forget(lateness);
    is_measuring = true;
    done_before = done();
    first = usage_now();
}

static double rate_since(void)
{
    return (double)(done() - done_before) * 1e9 / (double)(now_ns() - first.at);
}

static void report_number(const char *name, double value)
{
    fprintf(report, ", \"%s\": %.10g", name, value);
}

/* What was used since `begin_measuring`, of an operation and of a core. */
static void report_usage(void)
{
    struct usage last = usage_now();
    struct memory memory = memory_now();
    double seconds = (double)(last.at - first.at) / 1e9, count = (double)(done() - done_before);
    double server = last.server - first.server, own = last.own - first.own, others = last.all - first.all - server - own;
    is_measuring = false;
    report_number("seconds", seconds);
    report_number("done", count);
    report_number("rate", count / seconds);
    report_number("cpu_us", count ? server * 1e6 / count : 0);
    report_number("server_cpu", server / seconds);
    report_number("load_cpu", own / seconds);
    report_number("others_cpu", others > 0 ? others / seconds : 0);
    report_number("p50_us", percentile(latencies, 0.5) / 1e3);
    report_number("p99_us", percentile(latencies, 0.99) / 1e3);
    report_number("p999_us", percentile(latencies, 0.999) / 1e3);
    report_number("late_p99_us", percentile(lateness, 0.99) / 1e3);
    report_number("rss_kb", (double)memory.rss_kb);
    report_number("peak_kb", (double)memory.peak_kb);
    report_number("threads", (double)memory.threads);
}

/* Of the whole run, warming up included: what the server has counted must be the same. */
static void report_counts(void)
{
    report_number("asked", (double)counts.asked);
    report_number("answered", (double)counts.answered);
    report_number("broadcasts", (double)counts.broadcasts);
    report_number("delivered", (double)counts.delivered);
    report_number("missed", (double)counts.missed);
    report_number("ready", counts.ready);
    report_number("failed", counts.failed);
    report_number("closed", counts.closed);
    report_number("reconnected", counts.reconnected);
    report_number("pings", (double)counts.pings);
    report_number("errors", (double)counts.errors);
}

/* --- the workloads */

static void wait_for_answers(void)
{
    end_work();
    for (uint64_t end = after(5); !is_settled() && now_ns() < end;) run_turn(end);
}

static void run_connects(void)
{
    connect_up_to(options.clients < FIRST ? options.clients / 2 : FIRST);
    begin_measuring();
    connect_up_to(options.clients);
    report_usage();
}

static void run_idle(void)
{
    connect_up_to(options.clients < FIRST ? options.clients / 2 : FIRST);
    run_for(options.warm);
    struct memory base = memory_now();
    int base_clients = counts.ready;
    report_number("base_kb", (double)base.rss_kb);
    fprintf(report, ", \"steps\": [");
    for (int i = 0; i < options.step_count; i++) {
        connect_up_to(options.steps[i]);
        if (counts.failed) fail("%d of %d clients could not connect", counts.failed, options.steps[i]);
        run_for(options.warm);
        struct memory now = memory_now();
        double more = options.steps[i] - base_clients;
        fprintf(report, "%s{\"clients\": %d", i ? ", " : "", options.steps[i]);
        report_number("rss_kb", (double)now.rss_kb);
        report_number("kb_per_client", (double)(now.rss_kb - base.rss_kb) / more);
        report_number("threads_per_client", (double)(now.threads - base.threads) / more);
        fprintf(report, "}");
    }
    fprintf(report, "]");
    begin_measuring();
    run_for(options.seconds);
    report_usage();
}

static void run_work(void)
{
    connect_all();
    run_for(0.2);
    begin_work();
    run_for(options.warm);
    if (options.is_paced) {                /* first, how fast it can go */
        begin_measuring();
        run_for(options.seconds / 2);
        double highest = rate_since();
        wait_for_answers();
        report_number("highest_rate", highest);
        pace(highest / 2);
        run_for(options.warm);
    }
    begin_measuring();
    uint64_t broadcasts = counts.broadcasts;
    run_for(options.seconds);
    while (options.kind == BROADCAST && counts.broadcasts - broadcasts < 3) run_turn(after(1));
    report_usage();
    wait_for_answers();
}

/* --- options */

static const char *const KINDS[] = {"echo", "binary", "broadcast", "connect", "upgrade", "poll", "idle", "page"};

static void read_list(char *list)
{
    for (options.event_count = 0; list && options.event_count < MAX_LIST; options.event_count++) {
        options.events[options.event_count] = strsep(&list, ",");
    }
}

static void read_steps(char *list)
{
    while (list && options.step_count < MAX_LIST) options.steps[options.step_count++] = atoi(strsep(&list, ","));
    options.clients = options.steps[options.step_count - 1];
}

static void read_kind(const char *name)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(KINDS[i], name)) continue;
        options.kind = (enum kind)i;
        return;
    }
    fail("there is no kind of load named %s", name);
}

static void read_option(const char *name, char *value)
{
    const struct { const char *name; int *to; } numbers[] = {
        {"--port", &options.port}, {"--clients", &options.clients}, {"--window", &options.window}, {"--size", &options.size},
        {"--in-flight", &options.in_flight}, {"--active", &options.active}, {"--deaf", &options.deaf},
    };
    const struct { const char *name; double *to; } times[] = {
        {"--warm", &options.warm}, {"--seconds", &options.seconds}, {"--deadline", &options.deadline},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name)) { *numbers[i].to = atoi(value); return; }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (!strcmp(name, times[i].name)) { *times[i].to = atof(value); return; }
    if (!strcmp(name, "--kind")) read_kind(value);
    else if (!strcmp(name, "--pids")) watch(value);
    else if (!strcmp(name, "--events")) read_list(value);
    else if (!strcmp(name, "--steps")) read_steps(value);
    else if (!strcmp(name, "--setup")) options.setup = value;
    else if (!strcmp(name, "--paced")) options.is_paced = atoi(value);
    else if (!strcmp(name, "--browser")) options.is_browser = atoi(value);
    else fail("there is no option %s", name);
}

int main(int argc, char **argv)
{
    struct rlimit descriptors;
    for (int i = 1; i + 1 < argc; i += 2) read_option(argv[i], argv[i + 1]);
    if (options.window < 1 || options.window > MAX_WINDOW) fail("--window is 1 to %d", MAX_WINDOW);
    if (options.kind == BROADCAST && options.size < 10) fail("--size is 10 at least: a broadcast carries its number");

    getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    prctl(PR_SET_TIMERSLACK, 1UL);         /* ns: a load that is paced is to be on time */
    measure_init();
    net_init();
    clients = calloc((size_t)options.clients, sizeof *clients);
    for (int i = 0; i < options.clients; i++) {
        clients[i].fd = clients[i].attachment_of = -1;
        clients[i].index = i;
    }
    work_init();

    char *text;
    size_t size;
    report = open_memstream(&text, &size);
    started_at = now_ns();
    fprintf(report, "{\"kind\": \"%s\"", KINDS[options.kind]);
    if (options.kind == IDLE) run_idle();
    else if (options.kind == CONNECT || options.kind == UPGRADE) run_connects();
    else run_work();
    report_counts();
    fclose(report);
    printf("%s}\n", text);
    fflush(stdout);
    _exit(0);                              /* thousands of descriptors: the kernel closes them */
}
